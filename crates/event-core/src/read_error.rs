//! Why a read gave nothing.

use crate::{
    corrupt_records::CorruptRecords, limits::LimitExceeded, position::Position,
    storage_error::StorageError,
};

/// Why a read gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes at a position are no event, in any copy.
    #[error("position {position} does not decode: {cause}")]
    Corrupt {
        /// Where.
        position: Position,
        /// What is wrong.
        cause: CorruptRecords,
    },
    /// A page of no events was asked for: reading on from it would never end. Nothing was read.
    #[error("a page of 0 events was asked for, which leads nowhere: ask for at least 1")]
    NothingAsked,
    /// The query is past a limit. Nothing was read.
    #[error("{0}; nothing was read")]
    Query(#[from] LimitExceeded),
    /// The log has a head, and does not give the events before it. What was read before is whole;
    /// what follows is missing, and not to be taken for the end.
    #[error(
        "the log gives nothing from position {position} on, though it is read up to {to}: \
         what follows is missing; verify the log"
    )]
    NothingGiven {
        /// The first position that is missing.
        position: Position,
        /// The last position that was to be read.
        to: Position,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
}
