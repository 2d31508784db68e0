//! Imports: events of other logs, line by line, none of them twice.

mod blocks;
mod clamped;
mod encoding;
mod importer;
mod occurrences;
mod stored_events;
mod window;

use std::{
    io::{self, BufRead, BufReader},
    ops::ControlFlow,
};

use spacefold_event_core::{
    AppendError, EventId, EventOrigin, JsonError, JsonReader, LogReader, Position, ReadError,
    Timestamp,
};
use spacefold_store::EmbeddedLog;

pub use self::clamped::Clamped;
use self::{blocks::BlockReader, importer::LineImporter};

/// Bytes that are asked for at once: less is what a slow input gives.
const READ_BYTES: usize = 256 << 10;

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
    let mut importer = LineImporter::new(log, options, hooks);
    // What is read at once is encoded at once, and what a slow input has for now is not waited for.
    let input = BufReader::with_capacity(READ_BYTES, input);
    let outcome = importer.run(BlockReader::new(input));
    // Runs that are still in flight after a failure are on disk or refused before it is told.
    let settled = importer.settle();
    let report = ImportReport { head: log.durable_head(), ..*importer.report() };
    outcome
        .and(settled)
        .map(|()| report)
        .map_err(|failure| ImportError { report, failure: Box::new(failure) })
}

#[cfg(test)]
mod tests;
