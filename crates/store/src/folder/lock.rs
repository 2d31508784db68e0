//! The lock of a store: one process at a time.

use spacefold_disk::{FolderLock, LockError};

use super::{LOCK, StoreFolder};
use crate::error::OpenError;

impl StoreFolder {
    /// Takes the lock of the store, and notes in it who holds it.
    pub(crate) fn lock(&self) -> Result<FolderLock, OpenError> {
        let path = || self.root().to_owned();
        match FolderLock::take(&self.held.root, LOCK) {
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
