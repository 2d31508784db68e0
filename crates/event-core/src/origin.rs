//! Where an event comes from that another store had first.

use std::fmt;

use crate::position::Position;

/// Where an event stands in the store that it comes from.
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

/// `store/timeline/position`, the ids in hex.
impl fmt::Display for EventOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [store_id, timeline] = [self.store_id, self.timeline].map(hex_of_id);
        write!(f, "{store_id}/{timeline}/{}", self.position)
    }
}

/// The id of a store or a timeline as it is written: 32 hex digits in lower case.
#[must_use]
pub fn hex_of_id(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

/// The id of a store or a timeline from 32 hex digits; `None` for other texts.
#[must_use]
pub fn id_of_hex(digits: &str) -> Option<[u8; 16]> {
    let is_hex = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_hex.then(|| u128::from_str_radix(digits, 16).ok()).flatten()?;
    Some(number.to_be_bytes())
}
