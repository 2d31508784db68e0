//! The lock of a store: one process at a time.

use std::path::PathBuf;

use spacefold_disk::{Disk as _, FolderLock, LockError, RealDisk};
use spacefold_event_core::StorageError;

use super::Folder;
use crate::error::OpenError;

/// The name of the file that is locked while the store is open.
const LOCK: &str = "LOCK";

impl Folder {
    /// The file that is locked while the store is open.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    /// Takes the lock of the store, and notes in it who holds it.
    pub(crate) fn lock(&self) -> Result<FolderLock, OpenError> {
        let path = || self.root.clone();
        let folder = RealDisk.folder(&self.root)?.ok_or_else(|| {
            let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
            StorageError::new(format!("opening {}", self.root.display()), gone)
        })?;
        match FolderLock::take(&folder, LOCK) {
            Ok(mut lock) => {
                lock.note_holder();
                Ok(lock)
            }
            Err(LockError::Held { pid }) => Err(OpenError::AlreadyOpen { path: path(), pid }),
            Err(LockError::NoLocks(cause)) => Err(OpenError::NoLocks { path: path(), cause }),
            Err(LockError::Storage(error)) => Err(error.into()),
        }
    }
}
