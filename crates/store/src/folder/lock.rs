//! The lock of a store: one process at a time.

use std::{
    collections::BTreeSet,
    fs::{File, TryLockError},
    io::{self, Read as _, Seek, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::io::Errno;
use spacefold_event_core::{StorageError, StorageErrorKind};

use super::{Folder, access::open_or_create};
use crate::error::{Doing, OpenError};

/// The lock of a store, held until it is dropped.
#[derive(Debug)]
pub(crate) struct StoreLock {
    file: File,
    id: FileId,
    /// What stood in the file.
    before: Vec<u8>,
}

/// A device and a file on it.
type FileId = (u64, u64);

/// The locks that this process holds: in another container another process may have its number.
fn held() -> MutexGuard<'static, BTreeSet<FileId>> {
    static HELD: Mutex<BTreeSet<FileId>> = Mutex::new(BTreeSet::new());
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn file_id(file: &File) -> io::Result<FileId> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
}

impl Folder {
    /// The file that is locked while the store is open.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    /// Takes the lock of the store.
    pub(crate) fn lock(&self) -> Result<StoreLock, OpenError> {
        let path = self.lock_file();
        let mut file = self.open_lock(&path)?;
        let id = file_id(&file).doing(|| format!("looking at {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = if held().contains(&id) {
                    Some(process::id())
                } else {
                    let mut text = String::new();
                    let pid = file.read_to_string(&mut text).ok();
                    pid.and_then(|_| text.trim().parse().ok()).filter(|pid| *pid != process::id())
                };
                return Err(OpenError::AlreadyOpen { path: self.root.clone(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(self.not_locked(&path, error)),
        }
        let mut before = Vec::new();
        let _ = file.read_to_end(&mut before);
        held().insert(id);
        let mut lock = StoreLock { file, id, before };
        lock.note(format!("{}\n", process::id()).as_bytes());
        Ok(lock)
    }

    /// Opens the file of the lock; where nothing can be written, to read it: that locks as well.
    fn open_lock(&self, path: &Path) -> Result<File, StorageError> {
        let opened = open_or_create(path, self.mode).or_else(|error| {
            let to_read = StorageErrorKind::of_io(&error).forbids_writing_only();
            if to_read { File::open(path).map_err(|_| error) } else { Err(error) }
        });
        opened.doing(|| format!("opening {}", path.display()))
    }

    fn not_locked(&self, path: &Path, cause: io::Error) -> OpenError {
        if has_no_locks(&cause) {
            return OpenError::NoLocks { path: self.root.clone(), cause };
        }
        StorageError::new(format!("locking {}", path.display()), cause).into()
    }
}

/// Whether an attempt to lock a file failed since its file system has no locks.
fn has_no_locks(error: &io::Error) -> bool {
    let without = [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS];
    Errno::from_io_error(error).is_some_and(|errno| without.contains(&errno))
}

impl StoreLock {
    /// Leaves the file as it was: the store was not opened.
    pub(crate) fn give_back(mut self) {
        let before = std::mem::take(&mut self.before);
        self.note(&before);
    }

    /// Only a help for whoever is refused: nothing rests on what stands in the file.
    fn note(&mut self, text: &[u8]) {
        let rewound = self.file.set_len(0).and_then(|()| self.file.rewind());
        let _ = rewound.and_then(|()| self.file.write_all(text));
    }

    /// The file that is locked.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        // A child that was forked meanwhile shares the lock until its program replaces it: closing
        // the file alone would leave the store locked until then. Should this fail, closing follows.
        held().remove(&self.id);
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_named_as_such() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path());
        let path = folder.lock_file();
        let refused = |errno: i32| folder.not_locked(&path, io::Error::from_raw_os_error(errno));
        // ENOLCK, EOPNOTSUPP, ENOSYS.
        for errno in [37, 95, 38] {
            let error = refused(errno);
            assert!(matches!(error, OpenError::NoLocks { .. }), "{errno}: {error:?}");
            let text = error.to_string();
            assert!(text.contains("has no locks"), "{text}");
            assert!(text.contains(&scratch.path().display().to_string()), "{text}");
        }
        assert!(matches!(refused(5), OpenError::Storage(_)));
    }
}
