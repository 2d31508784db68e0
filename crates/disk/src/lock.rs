//! The lock of a folder: one handle at a time.

use std::{io, sync::Arc};

use rustix::io::Errno;
use spacefold_event_core::StorageError;

use crate::disk::{Access, File, FileId, Folder};

/// The lock of a folder, a file in it that is locked; held until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    folder: Arc<dyn Folder>,
    name: String,
    file: Arc<dyn File>,
    id: FileId,
}

/// Why a folder is not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another handle holds it.
    #[error("it is in use")]
    Held,
    /// The file system has no locks: nothing would keep two processes apart.
    #[error("the file system has no locks: {0}")]
    NoLocks(#[source] io::Error),
    /// The disk or the operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl FolderLock {
    /// Locks a folder by the file of this name, which is made when it is missing. Where nothing can
    /// be written the file is opened to be read: that locks as well.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(folder: &Arc<dyn Folder>, name: &str) -> Result<Self, LockError> {
        let file = open(folder.as_ref(), name)?;
        match file.try_lock() {
            Ok(true) => {}
            Ok(false) => return Err(LockError::Held),
            Err(error) => return Err(not_locked(file.as_ref(), error)),
        }
        let id = file.id()?;
        Ok(Self { folder: Arc::clone(folder), name: name.to_owned(), file, id })
    }

    /// Whether the file that is locked is where it was: `false` once the folder was deleted,
    /// renamed or replaced. What cannot be looked at counts as there.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.folder.id_by_path(&self.name).map_or(true, |found| found == Some(self.id))
    }
}

fn open(folder: &dyn Folder, name: &str) -> Result<Arc<dyn File>, StorageError> {
    let opened = match folder.find(name, Access::ReadWrite) {
        Ok(None) => folder.create(name),
        Ok(Some(file)) => Ok(file),
        Err(error) => Err(error),
    };
    opened.or_else(|error| {
        let to_read = error.kind().forbids_writing_only();
        if to_read { folder.open(name, Access::Read).map_err(|_| error) } else { Err(error) }
    })
}

fn not_locked(file: &dyn File, cause: io::Error) -> LockError {
    let without = [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS];
    if Errno::from_io_error(&cause).is_some_and(|errno| without.contains(&errno)) {
        return LockError::NoLocks(cause);
    }
    StorageError::new(format!("locking {}", file.path().display()), cause).into()
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // A child that was forked meanwhile shares the lock until its program replaces it: closing
        // the file alone would leave the folder locked until then.
        self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{disk::Disk, real::RealDisk};

    fn folder(path: &std::path::Path) -> Arc<dyn Folder> {
        RealDisk.folder(path).unwrap().unwrap()
    }

    #[test]
    fn a_file_system_without_locks_is_named_as_such() {
        let scratch = tempfile::tempdir().unwrap();
        let file = folder(scratch.path()).create("LOCK").unwrap();
        let refused = |errno| not_locked(file.as_ref(), io::Error::from_raw_os_error(errno));
        // ENOLCK, EOPNOTSUPP, ENOSYS.
        for errno in [37, 95, 38] {
            let error = refused(errno);
            assert!(matches!(error, LockError::NoLocks(_)), "{errno}: {error:?}");
            assert!(error.to_string().contains("has no locks"), "{error}");
        }
        assert!(matches!(refused(5), LockError::Storage(_)));
    }

    #[test]
    fn one_handle_at_a_time_and_the_next_one_after_it() {
        let scratch = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(&folder(scratch.path()), "LOCK").unwrap();
        let second = FolderLock::take(&folder(scratch.path()), "LOCK");
        assert!(matches!(second, Err(LockError::Held)), "{second:?}");
        drop(lock);
        FolderLock::take(&folder(scratch.path()), "LOCK").unwrap();
    }

    #[test]
    fn a_folder_that_was_renamed_replaced_or_deleted_is_not_in_place() {
        let scratch = tempfile::tempdir().unwrap();
        let (path, other) = (scratch.path().join("a"), scratch.path().join("b"));
        std::fs::create_dir(&path).unwrap();
        let lock = FolderLock::take(&folder(&path), "LOCK").unwrap();
        assert!(lock.is_in_place());
        std::fs::rename(&path, &other).unwrap();
        assert!(!lock.is_in_place(), "renamed");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("LOCK"), "").unwrap();
        assert!(!lock.is_in_place(), "replaced");
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(!lock.is_in_place(), "a file is there");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(lock.is_in_place(), "put back");
    }
}
