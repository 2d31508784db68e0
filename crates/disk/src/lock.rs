//! The lock of a folder: one handle at a time.

use std::{
    collections::BTreeSet,
    io, process,
    sync::{Arc, MutexGuard},
};

use rustix::io::Errno;
use spacefold_event_core::{StorageError, lock::Lock};

use crate::disk::{Access, File, FileId, Folder};

/// The lock of a folder, a file in it that is locked; held until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    folder: Arc<dyn Folder>,
    name: String,
    file: Arc<dyn File>,
    id: FileId,
    /// What stood in the file before the holder was noted in it.
    before: Vec<u8>,
}

/// Why a folder is not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another handle holds it.
    #[error("it is in use")]
    Held {
        /// The process that has the handle, where that is known.
        pid: Option<u32>,
    },
    /// The file system has no locks: nothing would keep two processes apart.
    #[error("the file system has no locks: {0}")]
    NoLocks(#[source] io::Error),
    /// The disk or the operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The locks that this process holds: in another container another process may have its number.
fn held() -> MutexGuard<'static, BTreeSet<FileId>> {
    static HELD: Lock<BTreeSet<FileId>> = Lock::new(BTreeSet::new());
    HELD.lock()
}

impl FolderLock {
    /// Locks a folder by the file of this name, which is made when it is missing. Where nothing can
    /// be written the file is opened to be read: that locks as well.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(folder: &Arc<dyn Folder>, name: &str) -> Result<Self, LockError> {
        let file = open(folder.as_ref(), name)?;
        let id = file.id()?;
        match file.try_lock() {
            Ok(true) => {}
            Ok(false) => return Err(LockError::Held { pid: holder(file.as_ref(), id) }),
            Err(error) => return Err(not_locked(file.as_ref(), error)),
        }
        held().insert(id);
        let (folder, name) = (Arc::clone(folder), name.to_owned());
        Ok(Self { folder, name, file, id, before: Vec::new() })
    }

    /// Whether another handle holds the lock of a folder. Nothing is taken or made for it.
    ///
    /// # Errors
    /// As [`FolderLock::take`], but for a lock that is held.
    pub fn is_held(folder: &dyn Folder, name: &str) -> Result<bool, LockError> {
        let Some(file) = folder.find(name, Access::Read)? else { return Ok(false) };
        file.is_locked().map_err(|error| not_locked(file.as_ref(), error))
    }

    /// The process that holds a lock, as far as its file says so: whoever was there before is named
    /// where the holder has not noted itself yet, or cannot.
    #[must_use]
    pub fn noted_holder(file: &dyn File) -> Option<u32> {
        holder(file, file.id().ok()?)
    }

    /// Notes in the file which process holds it: only a help for whoever is refused.
    pub fn note_holder(&mut self) {
        self.before = self.file.read_all().unwrap_or_default();
        self.write(format!("{}\n", process::id()).as_bytes());
    }

    /// Gives the lock back, and leaves the file as it was before the holder was noted.
    pub fn give_back(mut self) {
        let before = std::mem::take(&mut self.before);
        self.write(&before);
    }

    /// Nothing rests on what is in the file.
    fn write(&self, text: &[u8]) {
        let _ = self.file.set_len(0).and_then(|()| self.file.write_all_at(text, 0));
    }

    /// The file that is locked.
    #[must_use]
    pub const fn id(&self) -> FileId {
        self.id
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

/// The process that holds a lock, by what its file says.
fn holder(file: &dyn File, id: FileId) -> Option<u32> {
    if held().contains(&id) {
        return Some(process::id());
    }
    let text = String::from_utf8(file.read_all().ok()?).ok()?;
    text.trim().parse().ok().filter(|pid| *pid != process::id())
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
        held().remove(&self.id);
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
    fn whether_it_is_held_is_asked_without_being_taken() {
        let scratch = tempfile::tempdir().unwrap();
        let held = folder(scratch.path());
        assert!(!FolderLock::is_held(held.as_ref(), "LOCK").unwrap());
        assert!(held.names().unwrap().is_empty(), "asking made something");
        let lock = FolderLock::take(&held, "LOCK").unwrap();
        assert!(FolderLock::is_held(held.as_ref(), "LOCK").unwrap());
        drop(lock);
        assert!(!FolderLock::is_held(held.as_ref(), "LOCK").unwrap());
        let _asked = held.open("LOCK", Access::ReadWrite).unwrap().is_locked().unwrap();
        FolderLock::take(&held, "LOCK").unwrap();
    }

    #[test]
    fn of_two_that_can_only_read_one_gets_it_and_a_writer_not_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        let held = folder(scratch.path());
        held.create("LOCK").unwrap();
        let [first, second] = [Access::Read; 2].map(|access| held.open("LOCK", access).unwrap());
        assert!(first.try_lock().unwrap());
        assert!(!second.try_lock().unwrap());
        let writer = held.open("LOCK", Access::ReadWrite).unwrap();
        assert!(!writer.try_lock().unwrap());
        first.unlock();
        assert!(writer.try_lock().unwrap());
        assert!(!second.try_lock().unwrap());
        drop(writer);
        assert!(second.try_lock().unwrap());
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
        let own = std::process::id();
        assert!(matches!(second, Err(LockError::Held { pid: Some(pid) }) if pid == own));
        drop(lock);
        FolderLock::take(&folder(scratch.path()), "LOCK").unwrap();
    }

    #[test]
    fn the_holder_is_noted_and_forgotten_where_the_lock_is_given_back() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("LOCK");
        std::fs::write(&path, "77\n").unwrap();
        let mut lock = FolderLock::take(&folder(scratch.path()), "LOCK").unwrap();
        let id = lock.id();
        let file = folder(scratch.path()).open("LOCK", Access::Read).unwrap();
        assert_eq!(file.id().unwrap(), id);
        held().remove(&id);
        assert_eq!(holder(file.as_ref(), id), Some(77), "of a process in another container");
        assert_eq!(FolderLock::noted_holder(file.as_ref()), Some(77));
        lock.note_holder();
        let own = format!("{}\n", std::process::id());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), own);
        assert_eq!(holder(file.as_ref(), id), None, "that number is this process's here");
        lock.give_back();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "77\n");
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
