//! Events as another log recorded them: what came of taking them, and why they were not taken.

use crate::{
    log::Receipt,
    position::{Position, Revision},
    timestamp::Timestamp,
};

/// What came of [`LogWriter::ingest`](crate::LogWriter::ingest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingested {
    skipped: u64,
    receipt: Option<Receipt>,
}

impl Ingested {
    /// The first `skipped` events were stored already, equal; the others have this receipt.
    #[must_use]
    pub const fn new(skipped: u64, receipt: Option<Receipt>) -> Self {
        Self { skipped, receipt }
    }

    /// How many events were stored already, equal to those that were given.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many events were stored.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.receipt.map_or(0, |receipt| receipt.count())
    }

    /// The receipt of the events that were stored; `None` when there was none to store.
    #[must_use]
    pub const fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }
}

/// Why a recorded event does not follow what a log holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Discontinuity {
    /// Its position is not the next.
    #[error("the next position is {expected}")]
    Position {
        /// The next position.
        expected: Position,
    },
    /// Its revision is not the next of its space.
    #[error("it is revision {found} of space {space_id:?}, whose next is {expected}")]
    Revision {
        /// The space.
        space_id: String,
        /// The next revision of the space.
        expected: Revision,
        /// The revision that the event has.
        found: Revision,
    },
    /// It was recorded before its predecessor: times never decrease along a log.
    #[error("it was recorded at {found}, its predecessor at {last}")]
    Time {
        /// When its predecessor was recorded.
        last: Timestamp,
        /// When it was recorded itself.
        found: Timestamp,
    },
    /// The log has another event there, or the same one with another revision or recording time.
    #[error("another one is stored there")]
    Stored,
}
