//! Why a set of runs gave nothing.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use spacefold_event_core::{StorageError, StorageErrorKind};

use crate::page::MAX_KEY_BYTES;

/// Why a set of runs gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunsError {
    /// The bytes of a file are not those that were written. What they held is derived: make the
    /// set anew.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged part begins.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A key is past its limit.
    #[error("a key has {bytes} bytes: the limit is {MAX_KEY_BYTES}")]
    KeyTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// The disk failed. What was durable before still is.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// For callers to whom damage is a failure like any other.
impl From<RunsError> for StorageError {
    fn from(error: RunsError) -> Self {
        match error {
            RunsError::Storage(error) => error,
            other => Self::new("reading or writing sorted runs", other),
        }
    }
}

impl RunsError {
    /// What a read of a file that is there came to: a part that the disk does not give is damaged, whatever
    /// the machine lacks is not.
    pub(crate) fn unreadable(path: &Path, offset: u64, error: StorageError) -> Self {
        match error.kind() {
            StorageErrorKind::Other => Self::damaged(path, offset, error),
            _ => Self::Storage(error),
        }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, what: impl fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.to_string() }
    }
}
