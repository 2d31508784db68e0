//! Why an acknowledgement is not kept.

use spacefold_event_core::{Position, ReadError, StorageError};

/// Why an acknowledgement was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// Nothing is known of what was not received yet.
    #[error("position {position} was not received yet: received is {received}")]
    NotReceived {
        /// The position to be acknowledged.
        position: Position,
        /// How far was received.
        received: Position,
    },
    /// A result would be kept that is older than the one that is there.
    #[error("the result at position {position} is older than the one kept at {acknowledged}")]
    Backwards {
        /// The position to be acknowledged.
        position: Position,
        /// The position that is acknowledged.
        acknowledged: Position,
    },
    /// The result is past its limit.
    #[error("the result has {bytes} bytes, at most {max} are allowed")]
    ResultTooLong {
        /// Its bytes.
        bytes: usize,
        /// The most that are allowed.
        max: usize,
    },
    /// The event to be acknowledged could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed: the old place or the new one is kept.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
