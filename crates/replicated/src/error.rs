//! What is wrong with the blocks that a backend gives, and why a replicated log does not open.

use spacefold_event_core::{AppendError, Position, StorageError};

use crate::group_block::GroupBlockError;

/// What is wrong with the blocks of a log. It is damage, never absence: nothing beyond it is taken in,
/// and it is asked for again, since another replica may have it whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockDamage {
    /// The bytes are no block.
    #[error("the block in place {place} cannot be read: {cause}")]
    Unreadable {
        /// Where.
        place: u64,
        /// What is wrong with it.
        cause: GroupBlockError,
    },
    /// The block says that it belongs elsewhere.
    #[error("in place {place} is the block of place {found}")]
    Misplaced {
        /// Where it is.
        place: u64,
        /// Where it says that it belongs.
        found: u64,
    },
    /// The block is of another log.
    #[error("the block in place {place} is of another log")]
    OtherLog {
        /// Where.
        place: u64,
    },
    /// Its writer had read another block in the place before.
    #[error("the block in place {place} follows another one than the one before it")]
    BrokenChain {
        /// Where.
        place: u64,
    },
    /// Its events do not go on where those before it end.
    #[error("the block in place {place} goes on at position {found}, not at {expected}")]
    WrongPosition {
        /// Where.
        place: u64,
        /// The next position.
        expected: Position,
        /// The position that it goes on at.
        found: Position,
    },
    /// The backend says that there are blocks beyond, and does not give this one.
    #[error("the block in place {place} is missing, though there are blocks up to {head}")]
    Missing {
        /// Where.
        place: u64,
        /// Up to where the backend says that there are blocks.
        head: u64,
    },
    /// The events of the block do not follow those that this replica keeps.
    #[error("the block in place {place} does not follow the events that this replica keeps: {why}")]
    Divergent {
        /// Where.
        place: u64,
        /// What does not fit.
        why: String,
    },
}

/// Why a replicated log does not open. Nothing that is stored was changed, but for the first block of
/// a log that was empty.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicatedOpenError {
    /// The backend has not answered within the time there was.
    #[error("{backend} did not answer: {cause}")]
    Unreachable {
        /// Which backend.
        backend: String,
        /// What it answered last.
        cause: StorageError,
    },
    /// The blocks are damaged, or not those of the events that this replica keeps.
    #[error("{backend}: {cause}")]
    Damaged {
        /// Which backend.
        backend: String,
        /// What is wrong.
        cause: BlockDamage,
    },
    /// What the backend takes is less than a replicated log needs.
    #[error("{backend} takes blocks of {max_block_bytes} bytes, which are too small")]
    TooSmall {
        /// Which backend.
        backend: String,
        /// What it takes.
        max_block_bytes: usize,
    },
    /// The log of this replica cannot be written.
    #[error("the log that this replica keeps takes nothing: {0}")]
    Cache(#[source] AppendError),
    /// A file of this replica, or a thread, failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
