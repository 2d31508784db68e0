//! What can go wrong with content.

use std::io;

use crate::{
    content_hash::ContentHash,
    limits::MAX_CONTENT_BYTES,
    storage_error::{StorageError, StorageErrorKind},
};

/// Why content was not taken, or not given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// Content has more bytes than a store takes. It is not stored.
    #[error("the content has more than {MAX_CONTENT_BYTES} bytes, the limit; it is not stored")]
    TooLarge,
    /// Whatever the content was to be read from failed. It is not stored.
    #[error("the content cannot be read from its source: {0}; it is not stored")]
    Source(#[source] io::Error),
    /// There is no content with this hash here. Nothing is wrong with the store.
    #[error("there is no content {hash} here")]
    Missing {
        /// The hash asked for.
        hash: ContentHash,
    },
    /// The bytes that are stored are not the content.
    #[error("the content {hash} is damaged: {what}")]
    Damaged {
        /// The hash asked for.
        hash: ContentHash,
        /// What is wrong, and where.
        what: String,
    },
    /// Content has more bytes than the caller wants at once. Nothing of it was read.
    #[error("the content {hash} has {bytes} bytes: at most {limit} were asked for")]
    PastLimit {
        /// The hash asked for.
        hash: ContentHash,
        /// The bytes it has.
        bytes: u64,
        /// The bytes the caller wants at the most.
        limit: u64,
    },
    /// The store takes no content until it is opened again, since it failed on disk. The content
    /// is not stored.
    #[error("the content store takes nothing until it is opened again: {reason}")]
    Refused {
        /// What kind of failure that was.
        #[source]
        kind: StorageErrorKind,
        /// What happened.
        reason: String,
    },
    /// The store takes as many bytes as it may. The content is not stored; reading goes on, and content
    /// is taken again once the limit is raised or the store takes less.
    #[error(
        "the store takes {used} bytes, and may take {max}: raise the limit; the content is not stored"
    )]
    PastQuota {
        /// Bytes that it takes.
        used: u64,
        /// Bytes that it may take.
        max: u64,
    },
    /// The storage failed. After a put the content is not stored; after a sync, what was put since
    /// the one before may be there after a crash or not.
    #[error("the content store failed: {0}")]
    Storage(#[from] StorageError),
    /// The store is closed.
    #[error("the content store is closed")]
    Closed,
}

impl ContentError {
    /// What went wrong while the content `hash` was read.
    #[must_use]
    pub fn of_reading(hash: ContentHash, error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::Storage(StorageError::new(format!("reading {hash}"), error)),
        }
    }

    /// What kind of failure of the storage is behind it; `None` when it is none.
    #[must_use]
    pub fn storage_kind(&self) -> Option<StorageErrorKind> {
        match self {
            Self::Refused { kind, .. } => Some(*kind),
            Self::Storage(error) => Some(error.kind()),
            _ => None,
        }
    }

    /// Whether the cause is that there is no space left on the disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.storage_kind() == Some(StorageErrorKind::NoRoom)
    }
}

impl From<ContentError> for io::Error {
    /// The error as a reader gives it.
    fn from(error: ContentError) -> Self {
        let kind = match &error {
            ContentError::Damaged { .. } => io::ErrorKind::InvalidData,
            ContentError::Missing { .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
