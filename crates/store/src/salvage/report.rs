//! What was salvaged, and an account of the rest.

use std::path::PathBuf;

use spacefold_event_core::{Position, Timestamp};

use crate::remake::{LostRevisions, MovedStretch, RefusedEvent};

/// Places of which the account tells one by one; of more it says how many there are.
pub(super) const MAX_PLACES: usize = 1_000;

/// What came of [`salvage`](super::salvage): what the new log has, and an account of what it has not.
///
/// Positions and revisions are those of the damaged log, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The id of the store that the events come from.
    pub store_id: [u8; 16],
    /// The id of the new one.
    pub new_store_id: [u8; 16],
    /// Events that the new log has.
    pub events: u64,
    /// The last position that anything in the folder says the log had.
    pub known_head: Position,
    /// Something in the folder says that all up to this position was on disk. What was salvaged behind
    /// it was written, and perhaps never acknowledged.
    pub durable_head: Position,
    /// Stretches of positions of which there is nothing in the new log, ascending.
    pub gaps: Vec<SalvageGap>,
    /// What is missing of spaces, in the order in which it was noticed: of a space that has an event
    /// behind a gap it is known exactly what it lacks before, of another one nothing.
    pub lost: Vec<LostRevisions>,
    /// Where the events were and where they are.
    pub stretches: Vec<MovedStretch>,
    /// Events that were recorded before their predecessor, as no store does, and have its time now.
    pub retimed: u64,
    /// Whole events of the store that the new log does not have, since it has others in their place: of
    /// a copy that went on apart, of a time that was taken back, or not of this log at all.
    pub left_out: Vec<LeftOut>,
    /// Events that the new log does not take.
    pub refused: Vec<RefusedEvent>,
    /// Places that do not read, up to a thousand of them.
    pub damage: Vec<SalvageDamage>,
    /// How many places do not read.
    pub damaged_places: u64,
    /// Other stores of which there are events in the folder: they are left where they are.
    pub other_stores: Vec<OtherStore>,
}

impl SalvageReport {
    /// How many positions there is nothing of in the new log, but for what it refused.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.last.since(gap.first) + 1).sum()
    }

    /// Whether nothing is missing that anything in the folder tells of.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Self { gaps, lost, left_out, refused, .. } = self;
        gaps.is_empty() && lost.is_empty() && left_out.is_empty() && refused.is_empty()
    }
}

/// A stretch of positions of which nothing is in the new log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageGap {
    /// The first position.
    pub first: Position,
    /// The last position.
    pub last: Position,
    /// When the event before was recorded; `None` where there is none.
    pub after: Option<Timestamp>,
    /// When the event behind was recorded; `None` where there is none.
    pub before: Option<Timestamp>,
    /// What is wrong with an event that is there; `None` where there is none.
    pub unreadable: Option<String>,
}

/// Whole events that the new log does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The position that the first one says it had.
    pub first: Position,
    /// The position that the last one says it had.
    pub last: Position,
    /// How many they are.
    pub events: u64,
    /// The file that they are in.
    pub file: PathBuf,
}

/// A place that does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageDamage {
    /// The file.
    pub file: PathBuf,
    /// The byte in it; `None` where it is all of the file.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// A store of which there is something in the folder of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherStore {
    /// Its id.
    pub store_id: [u8; 16],
    /// How many of its events there are, each copy counted.
    pub events: u64,
}
