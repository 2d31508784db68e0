//! Why a content store does not open.

use std::{io, path::PathBuf};

use spacefold_event_core::StorageError;

/// Why a content store does not open. Nothing is changed by a refused open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenContentError {
    /// Another process, or another handle of this one, has it open.
    #[error("the content in {} is in use", path.display())]
    AlreadyOpen {
        /// Its folder.
        path: PathBuf,
    },
    /// It has a format that this version does not know.
    #[error("{} has format {found}: this version knows format {known}", path.display())]
    UnknownFormat {
        /// The file that says so.
        path: PathBuf,
        /// The format it has.
        found: u16,
        /// The newest format this version knows.
        known: u16,
    },
    /// The file system of the folder has no locks: nothing would keep two processes from writing
    /// one store.
    #[error(
        "the file system of {} has no locks, without which two processes could write one store: \
         {cause}",
        path.display()
    )]
    NoLocks {
        /// Its folder.
        path: PathBuf,
        /// What it says when it is asked for one.
        #[source]
        cause: io::Error,
    },
    /// The disk or the operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
