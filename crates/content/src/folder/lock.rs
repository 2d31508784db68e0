//! The lock of a content store, and noticing that its folder is gone.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use spacefold_event_core::{StorageError, StorageErrorKind};

use super::{Folder, access};
use crate::error::{Doing, OpenContentError};

/// How long it may take to notice that the folder is gone.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// What lock calls answer on a file system without locks: ENOLCK, EOPNOTSUPP, ENOSYS.
const NO_LOCKS: [i32; 3] = [37, 95, 38];

/// The lock of a content store, held until it is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
    /// Absolute: the process may go to another folder.
    path: PathBuf,
    /// When it was seen to be in its place last.
    seen: Instant,
}

impl Folder {
    pub(crate) fn lock(&self) -> Result<FolderLock, OpenContentError> {
        let path = self.root.join("LOCK");
        let opening = || format!("opening {}", path.display());
        let file = self.open_lock(&path).doing(opening)?;
        match file.try_lock() {
            Ok(()) => {
                let path = std::path::absolute(&path).doing(opening)?;
                Ok(FolderLock { file, path, seen: Instant::now() })
            }
            Err(TryLockError::WouldBlock) => {
                Err(OpenContentError::AlreadyOpen { path: self.root.clone() })
            }
            Err(TryLockError::Error(error)) => Err(self.not_locked(&path, error)),
        }
    }

    /// Opens the file of the lock; where nothing can be written, to read it: that locks as well.
    fn open_lock(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let opened = match options.write(true).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                access::open_new(options.create(true), path, self.mode)
            }
            opened => opened,
        };
        opened.or_else(|error| {
            let to_read = StorageErrorKind::of_io(&error).forbids_writing_only();
            if to_read { File::open(path).map_err(|_| error) } else { Err(error) }
        })
    }

    fn not_locked(&self, path: &Path, cause: io::Error) -> OpenContentError {
        if cause.raw_os_error().is_some_and(|errno| NO_LOCKS.contains(&errno)) {
            return OpenContentError::NoLocks { path: self.root.clone(), cause };
        }
        StorageError::new(format!("locking {}", path.display()), cause).into()
    }
}

impl FolderLock {
    /// Fails when the file that is locked is not where it was: the folder was deleted, renamed or
    /// replaced. Looked at now and then, since it is a call for what never happens.
    pub(crate) fn check_now_and_then(&mut self) -> Result<(), StorageError> {
        if self.seen.elapsed() < WATCH_INTERVAL {
            return Ok(());
        }
        let doing = || format!("looking for {}", self.path.display());
        let own = self.file.metadata().doing(doing)?;
        let is_there = match fs::metadata(&self.path) {
            Ok(found) => (found.dev(), found.ino()) == (own.dev(), own.ino()),
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        if is_there {
            self.seen = Instant::now();
            return Ok(());
        }
        let what = "the folder of the content was deleted, renamed or replaced while it was open; \
                    what was put into it since is gone with it";
        Err(StorageError::new(doing(), what).of_kind(StorageErrorKind::FolderGone))
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // A child that was forked meanwhile shares the lock until its program replaces it.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::StoreMode;

    use super::*;

    #[test]
    fn a_file_system_without_locks_is_named_as_such() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path(), StoreMode::PRIVATE);
        let path = scratch.path().join("LOCK");
        let refused = |errno: i32| folder.not_locked(&path, io::Error::from_raw_os_error(errno));
        for errno in NO_LOCKS {
            let error = refused(errno);
            assert!(matches!(error, OpenContentError::NoLocks { .. }), "{errno}: {error:?}");
            assert!(error.to_string().contains("has no locks"), "{error}");
        }
        assert!(matches!(refused(5), OpenContentError::Storage(_)));
    }
}
