//! Imports: events of other logs, line by line, none of them twice.

mod clamped;
mod occurrences;
mod stored_events;

use std::{
    io::{self, BufRead},
    mem,
    ops::ControlFlow,
};

use spacefold_event_core::{
    AppendError, AppendRequest, EventId, EventOrigin, JsonError, JsonReader, LimitExceeded,
    LogReader, MAX_APPEND_EVENTS, MAX_EVENT_BYTES, PendingAppend, Position, ReadError, Receipt,
    SpaceEvent, Timestamp, bytes::to_u64,
};
use spacefold_store::EmbeddedLog;

pub use self::clamped::Clamped;
use self::{
    occurrences::Occurrences,
    stored_events::{ClashOf, Known, find_known},
};
use crate::lines::{Line, LineReader, LineText};

/// Events that are looked up among the stored ones together.
const MAX_WINDOW_EVENTS: usize = 16_384;

/// Bytes of text that are held back to be looked up together.
const MAX_WINDOW_TEXT_BYTES: usize = 8 << 20;

/// Bytes of text that are appended together. An event encodes to less than eight times its text,
/// so that an append stays within its limit.
const MAX_RUN_TEXT_BYTES: usize = 2 << 20;

/// Text from which on an event may be too large when it is encoded, for the same reason.
const MEASURED_TEXT_BYTES: usize = MAX_EVENT_BYTES / 8;

/// How lines are read and recorded.
///
/// ```
/// use spacefold::{admin::{ImportOptions, RecordingTimes}, event::JsonReader};
/// let reader = JsonReader { naive_offset: "+09:00".parse()?, ..JsonReader::default() };
/// let times = RecordingTimes::FromInput;
/// let options = ImportOptions { reader, times, ..ImportOptions::default() };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// How a line is read.
    pub reader: JsonReader,
    /// When the events count as recorded.
    pub times: RecordingTimes,
    /// What becomes of a line whose time lies ahead of the clock.
    pub future: FutureTimes,
    /// What id an event gets whose line has none.
    pub ids: MissingIds,
}

/// When imported events count as recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordingTimes {
    /// When the line says that another log took the event, else when it happened; clamped up to
    /// the predecessor's time and down to the present.
    #[default]
    FromInput,
    /// When this log takes them.
    Now,
}

/// What becomes of a line whose time lies ahead of the clock, where times are taken from the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FutureTimes {
    /// The event is recorded at the present. So is every later one with an earlier time: the times
    /// of a log never decrease. [`ImportReport::clamped`] counts them.
    #[default]
    Clamp,
    /// The line is a bad one: [`JsonError::InFuture`].
    Reject,
}

/// What id an event gets whose line has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingIds {
    /// A fresh one: imported again, the line is another event.
    #[default]
    MakeUp,
    /// One made of what the line says, and of how many lines before it in the input say the same
    /// ([`JsonEvent::derived_id`](spacefold_event_core::JsonEvent::derived_id)): imported again, it
    /// is the same event. This takes some 20 bytes of memory a line.
    Derive,
}

/// What an import asks and tells while it runs. `()` stops at the first bad line.
pub trait ImportHooks {
    /// Decides about a line that is no event.
    ///
    /// # Errors
    /// Ends the import as a bad line does, with this error as the reason.
    fn bad_line(&mut self, bad: &BadLine<'_>) -> io::Result<OnBadLine> {
        let _ = bad;
        Ok(OnBadLine::Stop)
    }

    /// Hears how far the import is, every few thousand lines; `Break` ends it there.
    fn progress(&mut self, report: &ImportReport) -> ControlFlow<()> {
        let _ = report;
        ControlFlow::Continue(())
    }
}

impl ImportHooks for () {}

/// A line that is no event.
#[derive(Debug)]
pub struct BadLine<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// What is wrong with it.
    pub reason: &'a JsonError,
    /// What it holds; only the beginning when it is too long.
    pub text: &'a [u8],
}

/// What happens after a bad line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBadLine {
    /// The import ends; everything before the line is stored.
    Stop,
    /// The line counts as rejected, and the import goes on.
    Reject,
}

/// What an import has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Lines dealt with, blank ones and the one that ended the import apart.
    pub read: u64,
    /// Events that were stored, durably.
    pub appended: u64,
    /// Events that were skipped, since they are stored already, or are earlier in the input.
    pub already_present: u64,
    /// Lines that were set aside.
    pub rejected: u64,
    /// The durable head at the end.
    pub head: Position,
    /// Events whose line has no id and that got a fresh one: a second import does not know them.
    pub ids_made_up: u64,
    /// Events whose line has no id and that got one made of what it says.
    pub ids_derived: u64,
    /// Events whose line has no time and that got the present one.
    pub times_made_up: u64,
    /// Times without an offset, taken to be at [`JsonReader::naive_offset`].
    pub naive_times: u64,
    /// Events that were recorded at another time than their lines say: these were not in order, or
    /// lie ahead of the clock.
    pub clamped: u64,
    /// The first of them.
    pub first_clamped: Option<ClampedLine>,
}

/// A line whose event was recorded at another time than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClampedLine {
    /// Its number, from 1.
    pub line: u64,
    /// The time that it says.
    pub asked: Timestamp,
    /// When the event was recorded: later where an event before it was recorded then, earlier where
    /// the clock had not come to the time asked for.
    pub recorded: Timestamp,
}

/// Why an import ended early, and what it had done by then.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct ImportError {
    report: ImportReport,
    #[source]
    failure: Box<ImportFailure>,
}

impl ImportError {
    /// What was done.
    #[must_use]
    pub const fn report(&self) -> &ImportReport {
        &self.report
    }

    /// Why it ended.
    #[must_use]
    pub fn failure(&self) -> &ImportFailure {
        &self.failure
    }

    /// The number of the line that it ended at, where it was a line.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        match &*self.failure {
            ImportFailure::BadLine { line, .. }
            | ImportFailure::Input { line, .. }
            | ImportFailure::Hook { line, .. }
            | ImportFailure::IdReused { line, .. }
            | ImportFailure::OriginReused { line, .. }
            | ImportFailure::Append { line, .. } => Some(*line),
            ImportFailure::Read(_) | ImportFailure::Stopped => None,
        }
    }
}

/// Why an import ended early. Every event before the line is stored, unless that is the failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportFailure {
    /// A line is no event.
    #[error("{reason}")]
    BadLine {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        reason: JsonError,
    },
    /// The input broke off.
    #[error("the input cannot be read on: {source}")]
    Input {
        /// The line in which it did.
        line: u64,
        /// What it answered.
        source: io::Error,
    },
    /// A hook failed at a bad line.
    #[error("a rejected line cannot be kept: {source}")]
    Hook {
        /// The number of that line.
        line: u64,
        /// What the hook answered.
        source: io::Error,
    },
    /// A line has the id of another event: one that is stored, or was stored of an earlier line.
    #[error("event id {id} is stored at position {position} with other content")]
    IdReused {
        /// Its number, from 1.
        line: u64,
        /// The id.
        id: EventId,
        /// Where the other event is.
        position: Position,
    },
    /// A line comes from where another event comes from: one that is stored, or was stored of an
    /// earlier line.
    #[error("the event at position {position} has the origin {origin} already")]
    OriginReused {
        /// Its number, from 1.
        line: u64,
        /// Where both come from.
        origin: EventOrigin,
        /// Where the other event is.
        position: Position,
    },
    /// The log refused events.
    #[error("{source}")]
    Append {
        /// The line of the first of them.
        line: u64,
        /// What the log answered.
        source: AppendError,
    },
    /// The log cannot be read.
    #[error("the stored events cannot be compared with: {0}")]
    Read(#[from] ReadError),
    /// A hook asked for the end.
    #[error("the import was stopped")]
    Stopped,
}

pub(crate) fn import(
    log: &EmbeddedLog,
    input: impl BufRead,
    options: &ImportOptions,
    hooks: &mut dyn ImportHooks,
) -> Result<ImportReport, ImportError> {
    let mut importer = LineImporter {
        log,
        options,
        hooks,
        report: ImportReport::default(),
        occurrences: Occurrences::default(),
        window: Vec::new(),
        window_bytes: 0,
        in_flight: Vec::new(),
    };
    let outcome = importer.run(LineReader::new(input));
    // Runs that are still in flight after a failure are on disk or refused before it is told.
    let settled = importer.settle();
    let report = ImportReport { head: log.durable_head(), ..importer.report };
    outcome
        .and(settled)
        .map(|()| report)
        .map_err(|failure| ImportError { report, failure: Box::new(failure) })
}

struct LineImporter<'a> {
    log: &'a EmbeddedLog,
    options: &'a ImportOptions,
    hooks: &'a mut dyn ImportHooks,
    report: ImportReport,
    occurrences: Occurrences,
    /// Events that were read and not yet looked up.
    window: Vec<ReadEvent>,
    window_bytes: usize,
    /// Runs whose events are being made durable while the next window is read.
    in_flight: Vec<InFlight>,
}

struct ReadEvent {
    line: u64,
    text_bytes: usize,
    event: SpaceEvent,
    recorded_at: Timestamp,
}

struct InFlight {
    lines: Vec<u64>,
    /// When they are to be recorded, where the lines say that.
    times: Vec<Timestamp>,
    pending: PendingAppend,
}

impl LineImporter<'_> {
    fn run(&mut self, mut lines: LineReader<impl BufRead>) -> Result<(), ImportFailure> {
        loop {
            match lines.next_line() {
                Ok(Some(line)) => self.take(line)?,
                Ok(None) => return self.store_all(),
                Err(source) => {
                    let line = lines.number();
                    self.store_all()?;
                    return Err(ImportFailure::Input { line, source });
                }
            }
            if self.window.len() >= MAX_WINDOW_EVENTS || self.window_bytes >= MAX_WINDOW_TEXT_BYTES
            {
                self.store_window()?;
            }
            if self.report.read.is_multiple_of(MAX_APPEND_EVENTS as u64)
                && self.hooks.progress(&self.report).is_break()
            {
                self.store_all()?;
                return Err(ImportFailure::Stopped);
            }
        }
    }

    fn take(&mut self, line: Line<'_>) -> Result<(), ImportFailure> {
        let (text, outcome) = match line.text {
            LineText::Whole(text) => (text, self.read_event(line.number, text)),
            LineText::TooLong { beginning, bytes } => {
                (beginning, Err(JsonError::TooLong { bytes }))
            }
        };
        let reason = match outcome {
            Ok(event) => {
                self.report.read += 1;
                self.window_bytes += event.text_bytes;
                self.window.push(event);
                return Ok(());
            }
            Err(reason) => reason,
        };
        let bad = BadLine { number: line.number, reason: &reason, text };
        let line = line.number;
        match self.hooks.bad_line(&bad) {
            Ok(OnBadLine::Reject) => {
                self.report.read += 1;
                self.report.rejected += 1;
                Ok(())
            }
            Ok(OnBadLine::Stop) => {
                self.store_all()?;
                Err(ImportFailure::BadLine { line, reason })
            }
            Err(source) => {
                self.store_all()?;
                Err(ImportFailure::Hook { line, source })
            }
        }
    }

    fn store_all(&mut self) -> Result<(), ImportFailure> {
        self.store_window()?;
        self.settle()
    }

    /// Looks the events of the window up and hands the new ones to the log.
    fn store_window(&mut self) -> Result<(), ImportFailure> {
        self.settle()?;
        self.window_bytes = 0;
        let mut window = mem::take(&mut self.window);
        let Known { is_known, clash } = find_known(self.log, &window)?;
        let mut is_known = is_known.into_iter();
        // Where an event is another one than that of its id or origin, those before it are stored.
        let refused = clash.map(|clash| (clash.of, window.split_off(clash.place)));
        let before = window.len();
        window.retain(|_| !is_known.next().unwrap_or_default());
        self.report.already_present += to_u64(before - window.len());

        let mut run = Vec::new();
        let mut run_bytes = 0;
        for read in window {
            if run.len() >= MAX_APPEND_EVENTS || run_bytes + read.text_bytes > MAX_RUN_TEXT_BYTES {
                self.submit(mem::take(&mut run))?;
                run_bytes = 0;
            }
            run_bytes += read.text_bytes;
            run.push(read);
        }
        self.submit(run)?;
        refused.map_or(Ok(()), |(of, refused)| self.refuse(of, &refused))
    }

    /// Ends at the first of these events, whose id or origin another event has.
    fn refuse(&mut self, of: ClashOf, refused: &[ReadEvent]) -> Result<(), ImportFailure> {
        self.settle()?;
        // Neither it nor what was read after it is dealt with.
        self.report.read -= to_u64(refused.len());
        let Some(ReadEvent { line, event, .. }) = refused.first() else { return Ok(()) };
        let line = *line;
        if let (ClashOf::Origin, Some(origin)) = (of, event.origin) {
            let found = self.log.find_origins(&[origin])?.into_iter().flatten().next();
            let position = found.unwrap_or(Position::START);
            return Err(ImportFailure::OriginReused { line, origin, position });
        }
        let id = event.event_id;
        let position = self.log.find_event(id)?.unwrap_or(Position::START);
        Err(ImportFailure::IdReused { line, id, position })
    }

    fn submit(&mut self, run: Vec<ReadEvent>) -> Result<(), ImportFailure> {
        let Some(line) = run.first().map(|read| read.line) else {
            return Ok(());
        };
        let lines = run.iter().map(|read| read.line).collect();
        let mut times: Vec<Timestamp> = run.iter().map(|read| read.recorded_at).collect();
        let events: Vec<SpaceEvent> = run.into_iter().map(|read| read.event).collect();
        let append = match self.options.times {
            RecordingTimes::FromInput => {
                AppendRequest::new(&events).with_reserved_types().recorded_at(&times)
            }
            RecordingTimes::Now => AppendRequest::new(&events).with_reserved_types(),
        };
        let pending =
            self.log.submit(&append).map_err(|source| ImportFailure::Append { line, source })?;
        if self.options.times == RecordingTimes::Now {
            times.clear();
        }
        self.in_flight.push(InFlight { lines, times, pending });
        Ok(())
    }

    /// Waits until everything that the log was handed is durable, or refused.
    fn settle(&mut self) -> Result<(), ImportFailure> {
        let mut outcome = Ok(());
        for InFlight { lines, times, pending } in mem::take(&mut self.in_flight) {
            match pending.wait() {
                Ok(receipt) => {
                    self.report.appended += receipt.count();
                    outcome = outcome.and(self.note_clamped(&receipt, &lines, &times));
                }
                Err(source) => {
                    let line = lines.first().copied().unwrap_or_default();
                    outcome = outcome.and(Err(ImportFailure::Append { line, source }));
                }
            }
        }
        outcome
    }

    /// Counts the events of an append that were recorded at another time than their lines say.
    fn note_clamped(
        &mut self,
        receipt: &Receipt,
        lines: &[u64],
        times: &[Timestamp],
    ) -> Result<(), ImportFailure> {
        if times.is_empty() {
            return Ok(());
        }
        if let Some(clamped) = Clamped::of(self.log, receipt, times)? {
            self.report.clamped += clamped.events;
            let line = lines.get(clamped.first).copied().unwrap_or_default();
            let Clamped { asked, recorded, .. } = clamped;
            self.report.first_clamped.get_or_insert(ClampedLine { line, asked, recorded });
        }
        Ok(())
    }

    /// Reads a line, and counts what it does not say.
    fn read_event(&mut self, line: u64, text: &[u8]) -> Result<ReadEvent, JsonError> {
        let mut read = self.options.reader.read(text)?;
        if text.len() >= MEASURED_TEXT_BYTES {
            let bytes = read.event.encoded_len();
            if bytes > MAX_EVENT_BYTES {
                return Err(LimitExceeded::EventTooLarge { bytes }.into());
            }
        }
        let (key, recorded_at) = match read.recorded_at {
            Some(time) => ("recorded_at", time),
            None => ("timestamp", read.event.timestamp),
        };
        if self.options.future == FutureTimes::Reject
            && self.options.times == RecordingTimes::FromInput
        {
            let now = Timestamp::now();
            if recorded_at > now {
                return Err(JsonError::InFuture { key, time: recorded_at, now });
            }
        }
        match (read.filled_in.event_id, self.options.ids) {
            (false, _) => {}
            (true, MissingIds::MakeUp) => self.report.ids_made_up += 1,
            (true, MissingIds::Derive) => {
                read.event.event_id = self.occurrences.id_of(&read);
                self.report.ids_derived += 1;
            }
        }
        self.report.times_made_up += u64::from(read.filled_in.timestamp);
        self.report.naive_times += u64::from(read.naive_times);
        Ok(ReadEvent { line, text_bytes: text.len(), recorded_at, event: read.event })
    }
}

#[cfg(test)]
mod tests;
