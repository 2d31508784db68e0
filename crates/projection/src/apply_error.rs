//! Why a projection did not take an event in.

use std::fmt;

use spacefold_event_core::ContentHash;

use crate::table::TableError;

/// Bytes of content that a projection reads at once.
pub const MAX_APPLY_CONTENT_BYTES: u64 = 16 << 20;

/// Why an event was not taken in.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The projection cannot make sense of the event.
    #[error("the projection refuses the event: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// Content has more bytes than a projection reads.
    #[error(
        "the content {hash} has {bytes} bytes: a projection reads at most {MAX_APPLY_CONTENT_BYTES}"
    )]
    ContentPastLimit {
        /// Its hash.
        hash: ContentHash,
        /// The bytes it has.
        bytes: u64,
    },
    /// The table failed.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl ApplyError {
    /// The refusal of an event.
    pub fn refused(reason: impl fmt::Display) -> Self {
        Self::Refused { reason: reason.to_string() }
    }
}
