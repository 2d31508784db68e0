//! `spacefold import`

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use spacefold::{
    BadLine, Folding, ImportError, ImportFailure, ImportHooks, ImportOptions, ImportReport,
    JsonReader, KeyMap, OnBadLine, RecordingTimes, UtcOffset,
};

use crate::{
    error::{Failure, Status, hint_about},
    input::{self, Input},
    interrupt,
    output::{Table, grouped, number, text},
    progress,
    session::{NewStore, Session},
};

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// JSON lines, plain or compressed with gzip or zstd; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Record the events as taken now, not when the lines say.
    #[arg(long)]
    now: bool,

    /// Go on after a bad line, and write it to this file.
    #[arg(long, value_name = "OUT")]
    rejects: Option<PathBuf>,

    /// Take times without an offset to be at this one, such as +09:00.
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    naive_offset: Option<UtcOffset>,

    /// Rename payload keys as this JSON file says: {type: {old_key: new_key}}.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,

    #[command(flatten)]
    new_store: NewStore,
}

#[derive(Serialize)]
struct Printed {
    read: u64,
    appended: u64,
    already_present: u64,
    rejected: u64,
    head: u64,
}

impl Import {
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let input = Input::open(&self.file)?;
        let key_map = self.map.as_deref().map(read_key_map).transpose()?;
        let rejects = match &self.rejects {
            Some(path) => Some(Rejects::create(path, &self.file)?),
            None => None,
        };
        let options = ImportOptions {
            reader: JsonReader {
                naive_offset: self.naive_offset.unwrap_or(UtcOffset::UTC),
                key_map: key_map.unwrap_or_default(),
            },
            times: if self.now { RecordingTimes::Now } else { RecordingTimes::FromInput },
        };
        let store = session.open(Folding::Live, self.new_store)?;
        let mut hooks =
            Hooks { rejects, progress: progress::input(input.bytes), bytes_read: input.bytes_read };
        let outcome = store.import(input.reader, &options, &mut hooks);
        hooks.progress.finish_and_clear();
        let report = match &outcome {
            Ok(report) => report,
            Err(error) => error.report(),
        };
        let told = print(report, session);
        let kept = hooks.rejects.map_or(Ok(()), Rejects::finish);
        let closed = store.close();
        outcome.map_err(|error| failure(error, &input.name))?;
        told?;
        kept?;
        Ok(closed?)
    }
}

fn print(report: &ImportReport, session: &mut Session) -> Result<(), Failure> {
    if session.json {
        session.output.json(&Printed {
            read: report.read,
            appended: report.appended,
            already_present: report.already_present,
            rejected: report.rejected,
            head: report.head.get(),
        })?;
    } else {
        let mut table = Table::new();
        table.row([text("read"), number(report.read)]);
        table.row([text("appended"), number(report.appended)]);
        table.row([text("already present"), number(report.already_present)]);
        table.row([text("rejected"), number(report.rejected)]);
        table.row([text("head"), number(report.head.get())]);
        session.output.table(&table)?;
    }
    session.output.flush()
}

fn failure(error: ImportError, name: &str) -> Failure {
    let place = error.line().map_or_else(|| name.to_owned(), |line| Input::place(name, line));
    let hint = match error.failure() {
        ImportFailure::Stopped => return Failure::interrupted(),
        ImportFailure::Append { source: spacefold::AppendError::Closed, .. }
        | ImportFailure::Read(spacefold::ReadError::Closed) => return Failure::interrupted(),
        ImportFailure::BadLine { .. } => {
            "every line before it is stored: correct it and import the file again, or set bad \
             lines aside with --rejects OUT, or rename payload keys with --map FILE"
        }
        ImportFailure::Input { .. } => {
            "every line before it is stored: get the whole file and import it again"
        }
        ImportFailure::Hook { source, .. } => {
            hint_about(source, "make room for the file of --rejects, then import again")
        }
        failure => hint_about(failure, "run the import again: what is stored is skipped"),
    };
    Failure::new(Status::Failed, error.failure(), place, hint)
}

fn read_key_map(path: &Path) -> Result<KeyMap, Failure> {
    let failed = |what: String| {
        let hint = r#"write {"event.type": {"old_key": "new_key"}}"#;
        Failure::new(Status::Failed, what, path.display(), hint)
    };
    let json = std::fs::read(path)
        .map_err(|error| failed(format!("the key map cannot be read: {error}")))?;
    let named: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&json)
        .map_err(|error| failed(format!("the key map is not valid: {error}")))?;
    let mut key_map = KeyMap::new();
    for (event_type, keys) in named {
        let event_type = event_type
            .parse()
            .map_err(|error| failed(format!("the key map is not valid: {error}")))?;
        key_map.insert(event_type, keys.into_iter().collect());
    }
    Ok(key_map)
}

struct Hooks {
    rejects: Option<Rejects>,
    progress: ProgressBar,
    bytes_read: Arc<AtomicU64>,
}

impl ImportHooks for Hooks {
    fn bad_line(&mut self, bad: &BadLine<'_>) -> io::Result<OnBadLine> {
        let Some(rejects) = &mut self.rejects else {
            return Ok(OnBadLine::Stop);
        };
        rejects.write(bad)?;
        Ok(OnBadLine::Reject)
    }

    fn progress(&mut self, report: &ImportReport) -> ControlFlow<()> {
        self.progress.set_position(self.bytes_read.load(Ordering::Relaxed));
        if !self.progress.is_hidden() {
            let seconds = self.progress.elapsed().as_secs().max(1);
            let rate = grouped(report.read / seconds);
            let message = format!("{} events, {rate}/s", grouped(report.read));
            self.progress.set_message(message);
        }
        if interrupt::requested() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// The file of lines that are no events.
struct Rejects {
    path: PathBuf,
    out: BufWriter<File>,
}

#[derive(Serialize)]
struct Reject<'a> {
    line: u64,
    error: String,
    text: &'a str,
}

impl Rejects {
    fn create(path: &Path, input: &Path) -> Result<Self, Failure> {
        if input::same_file(path, input) {
            return Err(Failure::new(
                Status::Usage,
                "the rejected lines would overwrite the input",
                path.display(),
                "name another file with --rejects",
            ));
        }
        let file = File::create(path).map_err(|error| Self::failed(path, &error))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file) })
    }

    fn failed(path: &Path, error: &io::Error) -> Failure {
        Failure::new(
            Status::Failed,
            format_args!("the file for rejected lines cannot be written: {error}"),
            path.display(),
            hint_about(error, "name a file that can be written with --rejects"),
        )
    }

    fn write(&mut self, bad: &BadLine<'_>) -> io::Result<()> {
        let reject = Reject {
            line: bad.number,
            error: bad.reason.to_string(),
            text: &String::from_utf8_lossy(bad.text),
        };
        serde_json::to_writer(&mut self.out, &reject)?;
        self.out.write_all(b"\n")
    }

    fn finish(mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        flushed.map_err(|error| Self::failed(&self.path, &error))
    }
}
