//! Another copy of a store, to take from it what a damaged one lacks.

use spacefold_event_core::{Position, StorageError};

use crate::journal::frame::Frame;

/// Another copy of the store, wherever it is kept. What of it fits is for the chain to say.
pub(crate) trait OtherCopy {
    /// The blocks that begin at a position.
    fn blocks_at(&self, first: Position) -> Vec<Vec<u8>>;

    /// Calls `visit` with every frame.
    fn visit_frames(&self, visit: &mut dyn FnMut(&Frame<'_>)) -> Result<(), StorageError>;
}
