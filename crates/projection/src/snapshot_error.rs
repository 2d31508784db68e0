//! Why there is no snapshot.

use spacefold_event_core::{Position, ReadError, StorageError};

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The space has had no event, at the position that was asked for.
    #[error("there is no space {space_id:?}")]
    UnknownSpace {
        /// The id that was asked for.
        space_id: String,
    },
    /// The position lies beyond the durable head.
    #[error("position {asked} lies beyond the head, which is {head}")]
    BeyondHead {
        /// The position that was asked for.
        asked: Position,
        /// The durable head.
        head: Position,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The position did not become durable in time.
    #[error("position {position} is not durable yet: the durable head is {durable_head}")]
    TimedOut {
        /// The position that was waited for.
        position: Position,
        /// The durable head at the end.
        durable_head: Position,
    },
    /// The store of persisted states failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
