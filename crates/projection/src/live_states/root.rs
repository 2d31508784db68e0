//! What readers see of a fold: immutable, put in place whole.

use spacefold_event_core::{EventMark, Position, bytes::to_u64};
use spacefold_state::SpaceStates;

/// The states of the spaces that are in memory, at one position.
#[derive(Clone)]
pub(super) struct LiveRoot {
    /// The last position that is folded.
    pub(super) position: Position,
    /// The last event that is.
    pub(super) last: Option<(Position, EventMark)>,
    /// How many spaces there are at that position, in memory or not.
    pub(super) space_count: u64,
    pub(super) spaces: SpaceStates,
}

impl LiveRoot {
    /// Whether readers would see the same of the two.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.position == other.position && self.spaces.len() == other.spaces.len()
    }

    /// Whether every space that there is, is in memory.
    pub(super) fn is_complete(&self) -> bool {
        to_u64(self.spaces.len()) == self.space_count
    }
}
