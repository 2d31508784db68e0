//! Why there is no snapshot.

use spacefold_event_core::{LogReader, Position, ReadError, StorageError};

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

impl SnapshotError {
    /// Fails for positions beyond the durable head of a log, which is answered.
    pub(crate) fn check_head(log: &dyn LogReader, asked: Position) -> Result<Position, Self> {
        let head = log.durable_head();
        if asked > head { Err(Self::BeyondHead { asked, head }) } else { Ok(head) }
    }

    pub(crate) fn unknown(space_id: &str) -> Self {
        Self::UnknownSpace { space_id: space_id.to_owned() }
    }
}
