//! Where an event comes from that another store had first.

use std::fmt;

use uuid::Uuid;

use crate::position::Position;

/// Where an event is in the store that it comes from.
///
/// A position means something outside of its store with the store's id and timeline alone. An event
/// has one origin at the most, and a log one event of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventOrigin {
    /// The id of that store.
    pub store_id: [u8; 16],
    /// The timeline of the store.
    pub timeline: [u8; 16],
    /// The position of the event there, from 1.
    pub position: Position,
}

/// `store/timeline/position`, the ids as UUIDs.
impl fmt::Display for EventOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [store_id, timeline] = [self.store_id, self.timeline].map(id_text);
        write!(f, "{store_id}/{timeline}/{}", self.position)
    }
}

/// The id of a store or a timeline as it is written: a UUID, lower-case with hyphens.
#[must_use]
pub fn id_text(id: [u8; 16]) -> String {
    Uuid::from_bytes(id).to_string()
}

/// The id of a store or a timeline from a UUID, with hyphens or without; `None` for other texts.
#[must_use]
pub fn id_of_text(text: &str) -> Option<[u8; 16]> {
    let is_plain = matches!(text.len(), 32 | 36);
    is_plain.then(|| Uuid::try_parse(text).ok()).flatten().map(Uuid::into_bytes)
}
