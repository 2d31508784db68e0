//! `spacefold import`

use std::{
    collections::BTreeMap,
    io::{self, Write},
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
    EventType, Folding, Position, Spacefold,
    admin::{
        BYTE_ORDER_MARK, BadLine, ClampedLine, FutureTimes, ImportError, ImportFailure,
        ImportHooks, ImportOptions, ImportReport, MissingIds, OnBadLine, RecordingTimes,
    },
    event::{JsonError, JsonReader, UtcOffset},
};
use spacefold_event_core::KeyMap;

use crate::{
    error::{Failure, Status, hint_about},
    input::{self, Input},
    interrupt,
    output::{CellTable, grouped, number, text},
    progress,
    session::{CliSession, NewStore},
    target::{Existing, TargetFile},
};

/// Events that are folded into the states of the spaces after an import, rather than at the next
/// question: some tens of milliseconds.
const FOLDED_EVENTS: u64 = 65_536;

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

    /// Replace the file of --rejects if it is there.
    #[arg(long, requires = "rejects")]
    force: bool,

    /// Treat a line whose time is in the future as a bad one. Otherwise its event, and later ones
    /// that say an earlier time, are recorded at the present.
    #[arg(long, conflicts_with = "now")]
    reject_future: bool,

    /// Make the ids of events whose lines have none of what the lines say, so that a second import
    /// knows them.
    #[arg(long)]
    derive_ids: bool,

    /// Take times without an offset to be at this one, such as +09:00, instead of UTC; a date alone is
    /// its first instant.
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    naive_offset: Option<UtcOffset>,

    /// Rename payload keys as this JSON file says: {type: {old_key: new_key}}.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,

    #[command(flatten)]
    new_store: NewStore,
}

#[derive(Serialize)]
struct PrintedImport {
    read: u64,
    appended: u64,
    already_present: u64,
    rejected: u64,
    head: u64,
    ids_made_up: u64,
    ids_derived: u64,
    times_made_up: u64,
    naive_times: u64,
    clamped: u64,
    first_clamped: Option<PrintedClamped>,
}

/// The first event that was recorded at another time than its line says.
#[derive(Serialize)]
struct PrintedClamped {
    line: u64,
    time: String,
    recorded_at: String,
}

impl Import {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let input = Input::open(&self.file)?;
        let key_map = self.map.as_deref().map(read_key_map).transpose()?;
        let rejects = match &self.rejects {
            Some(path) => Some(self.rejects_at(path, &session.data)?),
            None => None,
        };
        let options = ImportOptions {
            reader: JsonReader {
                naive_offset: self.naive_offset.unwrap_or(UtcOffset::UTC),
                key_map: key_map.unwrap_or_default(),
            },
            times: if self.now { RecordingTimes::Now } else { RecordingTimes::FromInput },
            future: if self.reject_future { FutureTimes::Reject } else { FutureTimes::Clamp },
            ids: if self.derive_ids { MissingIds::Derive } else { MissingIds::MakeUp },
        };
        let store = session.open(Folding::OnDemand, self.new_store)?;
        let mut hooks =
            Hooks { rejects, progress: progress::input(input.bytes), bytes_read: input.bytes_read };
        let outcome = store.import(input.reader, &options, &mut hooks);
        hooks.progress.finish_and_clear();
        let report = match &outcome {
            Ok(report) => report,
            Err(error) => error.report(),
        };
        let told = print(report, self.naive_offset, session);
        let folded = if outcome.is_ok() { fold_what_is_little(&store) } else { Ok(()) };
        let kept = hooks.rejects.map_or(Ok(()), Rejects::finish);
        let closed = store.close();
        outcome.map_err(|error| failure(error, &input.name))?;
        told?;
        kept?;
        folded?;
        Ok(closed?)
    }
}

impl Import {
    fn rejects_at(&self, path: &Path, data: &Path) -> Result<Rejects, Failure> {
        let read = [Some(self.file.as_path()), self.map.as_deref()];
        if read.into_iter().flatten().any(|read| input::same_file(path, read)) {
            return Err(Failure::new(
                Status::Usage,
                "the rejected lines would overwrite the input",
                path.display(),
                "name another file with --rejects",
            ));
        }
        Ok(Rejects { out: TargetFile::create(path, Existing::forced(self.force), data)? })
    }
}

/// Folds what was imported into the states of the spaces, where that takes no time to speak of: the next
/// question finds them ready then. Else it folds them.
fn fold_what_is_little(store: &Spacefold) -> Result<(), Failure> {
    let kept = store.admin().checkpoints()?;
    let folded = kept.first().map_or(Position::START, |states| states.position);
    if store.durable_head().since(folded) <= FOLDED_EVENTS {
        store.catch_up()?;
    }
    Ok(())
}

fn print(
    report: &ImportReport,
    naive_offset: Option<UtcOffset>,
    session: &mut CliSession,
) -> Result<(), Failure> {
    if session.json {
        session.output.json(&PrintedImport {
            read: report.read,
            appended: report.appended,
            already_present: report.already_present,
            rejected: report.rejected,
            head: report.head.get(),
            ids_made_up: report.ids_made_up,
            ids_derived: report.ids_derived,
            times_made_up: report.times_made_up,
            naive_times: report.naive_times,
            clamped: report.clamped,
            first_clamped: report.first_clamped.map(|first| PrintedClamped {
                line: first.line,
                time: first.asked.to_string(),
                recorded_at: first.recorded.to_string(),
            }),
        })?;
    } else {
        let mut table = CellTable::new();
        table.row([text("read"), number(report.read)]);
        table.row([text("appended"), number(report.appended)]);
        table.row([text("already present"), number(report.already_present)]);
        table.row([text("rejected"), number(report.rejected)]);
        table.row([text("head"), number(report.head.get())]);
        let naive = match naive_offset {
            None => "times read as UTC",
            Some(_) => "times read at --naive-offset",
        };
        for (what, count) in [
            ("ids made up", report.ids_made_up),
            ("ids derived", report.ids_derived),
            ("times made up", report.times_made_up),
            (naive, report.naive_times),
            ("recorded at another time", report.clamped),
        ] {
            if count > 0 {
                table.row([text(what), number(count)]);
            }
        }
        session.output.table(&table)?;
        if let Some(first) = report.first_clamped {
            session.output.line(&shown(&first))?;
        }
    }
    session.output.flush()
}

/// Why an event was recorded at another time than its line says.
fn shown(first: &ClampedLine) -> String {
    let ClampedLine { line, asked, recorded } = first;
    let why = if recorded < asked { "in the future" } else { "earlier than an event before it" };
    format!(
        "first at another time: line {line}, whose time {asked} is {why}: recorded at {recorded}"
    )
}

fn failure(error: ImportError, name: &str) -> Failure {
    let place = error.line().map_or_else(|| name.to_owned(), |line| Input::place(name, line));
    let hint = match error.failure() {
        ImportFailure::Stopped => return Failure::interrupted(),
        ImportFailure::Append { source: spacefold::AppendError::Closed, .. }
        | ImportFailure::Read(spacefold::ReadError::Closed) => return Failure::interrupted(),
        ImportFailure::BadLine { reason: JsonError::InFuture { .. }, .. } => {
            "every line before it is stored: set such lines aside with --rejects OUT, or leave out \
             --reject-future"
        }
        ImportFailure::BadLine { .. } => {
            "every line before it is stored: correct it and import the file again, or set bad \
             lines aside with --rejects OUT, or rename payload keys with --map FILE"
        }
        ImportFailure::IdReused { .. } => {
            "every line before it is stored: `spacefold find ID` prints the event that has the id; \
             give the line another id, or leave it out"
        }
        ImportFailure::OriginReused { .. } => {
            "every line before it is stored: leave the line out, or give it no origin if it is \
             another event"
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
        let hint = r#"name a file with {"event.type": {"old_key": "new_key"}}"#;
        Failure::new(Status::Failed, what, path.display(), hint)
    };
    let json = std::fs::read(path)
        .map_err(|error| failed(format!("the key map cannot be read: {error}")))?;
    let json = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&json);
    let named: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(json)
        .map_err(|error| failed(format!("the key map is not valid: {error}")))?;
    let mut key_map = KeyMap::new();
    for (event_type, keys) in named {
        EventType::of_name(&event_type)
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
    out: TargetFile,
}

#[derive(Serialize)]
struct Reject<'a> {
    line: u64,
    error: String,
    text: &'a str,
}

impl Rejects {
    fn write(&mut self, bad: &BadLine<'_>) -> io::Result<()> {
        let reject = Reject {
            line: bad.number,
            error: bad.reason.to_string(),
            text: &String::from_utf8_lossy(bad.text),
        };
        serde_json::to_writer(&mut self.out, &reject)?;
        self.out.write_all(b"\n")
    }

    fn finish(self) -> Result<(), Failure> {
        self.out.finish()
    }
}
