//! `spacefold content`

use std::{
    fs::File,
    io::{self, BufRead as _, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::Serialize;
use spacefold::content::{CollectError, ContentError, ContentHash, ContentReader};

use crate::{
    error::{Failure, Status, hint_about},
    interrupt,
    output::{CellTable, number, text},
    session::CliSession,
    target::{Existing, TargetFile},
};

#[derive(Debug, Args)]
pub(crate) struct ContentArgs {
    #[command(subcommand)]
    command: ContentCommand,
}

#[derive(Debug, Subcommand)]
enum ContentCommand {
    /// Store content, and print the hash that events name it by.
    Put {
        /// A file; - for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print content, or write it to a file.
    Get {
        /// Its hash: 64 hexadecimal digits.
        #[arg(value_name = "HASH")]
        hash: ContentHash,

        /// The file that is written, once all of the content has been checked.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,

        /// Replace the file if it is there.
        #[arg(long, requires = "out")]
        force: bool,
    },
    /// Remove the content that no event names.
    Gc,
}

#[derive(Serialize)]
struct PrintedPut {
    hash: String,
    bytes: u64,
}

#[derive(Serialize)]
struct PrintedGc {
    removed_entries: u64,
    removed_bytes: u64,
    kept_entries: u64,
    rewritten_packs: u64,
    damaged_packs: u64,
    freed_bytes: u64,
}

impl ContentArgs {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        match &self.command {
            ContentCommand::Put { file } => put(file, session),
            ContentCommand::Get { hash, out, force } => {
                get(hash, out.as_deref(), Existing::forced(*force), session)
            }
            ContentCommand::Gc => collect(session),
        }
    }
}

fn put(file: &Path, session: &mut CliSession) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let what = format_args!("the file cannot be read: {error}");
        Failure::new(Status::Failed, what, file.display(), "name a file that can be read")
    };
    let mut input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(failed)?)
    };
    let store = session.write_existing()?;
    let mut noted = NotedSource { from: &mut input, failed: None };
    let stored = store.put_content(&mut noted);
    let stored = match (stored, noted.failed) {
        (Err(_), _) if interrupt::requested() => return Err(Failure::interrupted()),
        (Err(_), Some(error)) => return Err(failed(error)),
        (stored, _) => stored?,
    };
    if session.json {
        let printed = PrintedPut { hash: stored.hash.to_string(), bytes: stored.bytes };
        session.output.json(&printed)?;
    } else {
        session.output.line(&stored.hash.to_string())?;
    }
    session.output.flush()?;
    store.close()
}

/// A source that fails once Ctrl-C was pressed, and notes why else it does.
struct NotedSource<'a> {
    from: &'a mut dyn Read,
    failed: Option<io::Error>,
}

impl Read for NotedSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.from.read(buffer).map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            self.failed = Some(error);
            told
        })
    }
}

fn get(
    hash: &ContentHash,
    out: Option<&Path>,
    existing: Existing,
    session: &mut CliSession,
) -> Result<(), Failure> {
    let store = session.read_log()?;
    let mut content = store.open_content(hash)?;
    match out {
        Some(path) => {
            let file = TargetFile::create(path, existing, &session.data)?;
            write_file(&mut content, hash, path, file)?;
        }
        None => copy(&mut content, hash, &mut |bytes| session.output.bytes(bytes))?,
    }
    session.output.flush()?;
    store.close()
}

/// Writes the file whole or not at all.
fn write_file(
    content: &mut ContentReader,
    hash: &ContentHash,
    path: &Path,
    mut file: TargetFile,
) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let what = format_args!("the file cannot be written: {error}");
        let hint = hint_about(&error, "make room where it goes");
        Failure::new(Status::Failed, what, path.display(), hint)
    };
    copy(content, hash, &mut |bytes| file.write_all(bytes).map_err(failed))?;
    file.finish()
}

/// Hands the content on, a piece at a time.
pub(crate) fn copy<E: From<Failure> + From<ContentError>>(
    content: &mut ContentReader,
    hash: &ContentHash,
    take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        interrupt::check()?;
        let bytes = content.fill_buf().map_err(|error| ContentError::of_reading(*hash, error))?;
        if bytes.is_empty() {
            return Ok(());
        }
        take(bytes)?;
        let taken = bytes.len();
        content.consume(taken);
    }
}

fn collect(session: &mut CliSession) -> Result<(), Failure> {
    if let Some(server) = session.server() {
        return Err(Failure::through_no_server("content gc", server.endpoint()));
    }
    let store = session.open_existing()?;
    let report = store.admin().collect_garbage().map_err(|error| match error {
        CollectError::Read(error) => Failure::from(error),
        CollectError::Content(error) => Failure::from(error),
        other => Failure::caused(&other, "collecting", "run `spacefold verify`"),
    })?;
    if session.json {
        session.output.json(&PrintedGc {
            removed_entries: report.removed_entries,
            removed_bytes: report.removed_bytes,
            kept_entries: report.kept_entries,
            rewritten_packs: report.rewritten_packs,
            damaged_packs: report.damaged_packs,
            freed_bytes: report.freed_bytes,
        })?;
    } else {
        let mut table = CellTable::new();
        table.row([text("removed entries"), number(report.removed_entries)]);
        table.row([text("removed bytes"), number(report.removed_bytes)]);
        table.row([text("kept entries"), number(report.kept_entries)]);
        table.row([text("rewritten packs"), number(report.rewritten_packs)]);
        table.row([text("damaged packs"), number(report.damaged_packs)]);
        table.row([text("freed bytes"), number(report.freed_bytes)]);
        session.output.table(&table)?;
    }
    session.output.flush()?;
    Ok(store.close()?)
}
