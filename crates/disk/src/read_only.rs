//! A disk that only reads: whatever would change something on it is refused before it is tried.

use std::{
    ffi::OsStr,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use spacefold_event_core::{StorageError, StoreMode};

use crate::disk::{Access, Disk, File, FileId, FileStamp, Folder, Found};

/// Another disk, to be read only: for whoever looks at what belongs to another process. Nothing is
/// made, written, synced, renamed, removed or locked through it.
///
/// # Errors
/// What would change something fails as on a file system that is mounted to be read only.
#[derive(Debug)]
pub struct ReadOnlyDisk {
    disk: Arc<dyn Disk>,
}

impl ReadOnlyDisk {
    /// A disk as whoever may only read it has it.
    #[must_use]
    pub fn over(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }
}

fn refusal() -> io::Error {
    ErrorKind::ReadOnlyFilesystem.into()
}

fn refuse<T>(doing: &str, path: &Path) -> Result<T, StorageError> {
    Err(StorageError::new(format!("{doing} {}", path.display()), refusal()))
}

impl Disk for ReadOnlyDisk {
    fn look(&self, path: &Path) -> Result<Option<Found>, StorageError> {
        self.disk.look(path)
    }

    fn create_folders(&self, path: &Path) -> Result<(), StorageError> {
        refuse("creating", path)
    }

    fn folder(&self, path: &Path) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        Ok(self.disk.folder(path)?.map(ReadOnlyFolder::of))
    }
}

#[derive(Debug)]
struct ReadOnlyFolder {
    folder: Arc<dyn Folder>,
}

impl ReadOnlyFolder {
    fn of(folder: Arc<dyn Folder>) -> Arc<dyn Folder> {
        Arc::new(Self { folder })
    }
}

impl Folder for ReadOnlyFolder {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn held_path(&self) -> Option<PathBuf> {
        self.folder.held_path()
    }

    fn id(&self) -> Result<FileId, StorageError> {
        self.folder.id()
    }

    fn mode(&self) -> StoreMode {
        self.folder.mode()
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.folder.names()
    }

    fn find(&self, name: &str, access: Access) -> Result<Option<Arc<dyn File>>, StorageError> {
        match access {
            Access::Read => Ok(self.folder.find(name, access)?.map(ReadOnlyFile::of)),
            Access::ReadWrite => refuse("opening", &self.path().join(name)),
        }
    }

    fn create_to_become(&self, name: &str, _later: &str) -> Result<Arc<dyn File>, StorageError> {
        refuse("creating", &self.path().join(name))
    }

    fn folder(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        Ok(self.folder.folder(name)?.map(Self::of))
    }

    fn part(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        Ok(self.folder.part(name)?.map(Self::of))
    }

    fn create_folder(
        &self,
        name: &OsStr,
        _mode: StoreMode,
    ) -> Result<Arc<dyn Folder>, StorageError> {
        refuse("creating", &self.path().join(name))
    }

    fn rename(&self, from: &Path, _to: &Path) -> Result<(), StorageError> {
        refuse("renaming", &self.path().join(from))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        refuse("removing", &self.path().join(name))
    }

    fn remove_folder(&self, name: &OsStr) -> Result<(), StorageError> {
        refuse("removing", &self.path().join(name))
    }

    fn sync(&self) -> Result<(), StorageError> {
        refuse("syncing the folder", self.path())
    }

    fn stamp(&self, name: &str) -> Result<Option<FileStamp>, StorageError> {
        self.folder.stamp(name)
    }

    fn id_by_path(&self, name: &str) -> Result<Option<FileId>, StorageError> {
        self.folder.id_by_path(name)
    }
}

#[derive(Debug)]
struct ReadOnlyFile {
    file: Arc<dyn File>,
}

impl ReadOnlyFile {
    fn of(file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(Self { file })
    }
}

impl File for ReadOnlyFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn id(&self) -> Result<FileId, StorageError> {
        self.file.id()
    }

    fn bytes(&self) -> Result<u64, StorageError> {
        self.file.bytes()
    }

    fn read_if_there(&self, buffer: &mut [u8], offset: u64) -> Result<bool, StorageError> {
        self.file.read_if_there(buffer, offset)
    }

    fn will_be_read_in_order(&self) {
        self.file.will_be_read_in_order();
    }

    fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> Result<(), StorageError> {
        refuse("writing", self.path())
    }

    fn set_len(&self, _bytes: u64) -> Result<(), StorageError> {
        refuse("cutting", self.path())
    }

    fn sync_data(&self) -> Result<(), StorageError> {
        refuse("syncing", self.path())
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        refuse("syncing", self.path())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Err(refusal())
    }

    fn is_locked(&self) -> io::Result<bool> {
        self.file.is_locked()
    }

    fn unlock(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lock::FolderLock, real::RealDisk};

    #[test]
    fn whatever_would_change_something_is_refused_and_changes_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("there"), "bytes").unwrap();
        std::fs::create_dir(scratch.path().join("folder")).unwrap();
        let disk = ReadOnlyDisk::over(Arc::new(RealDisk));
        let folder = disk.folder(scratch.path()).unwrap().unwrap();
        let file = folder.open("there", Access::Read).unwrap();
        let within = folder.part("folder".as_ref()).unwrap().unwrap();
        let name = Path::new("there");
        let refused = [
            disk.create_folders(&scratch.path().join("new")),
            folder.find("there", Access::ReadWrite).map(drop),
            folder.find("missing", Access::ReadWrite).map(drop),
            folder.create("new").map(drop),
            folder.create_folder("new".as_ref(), StoreMode::PRIVATE).map(drop),
            within.create("new").map(drop),
            folder.rename(name, Path::new("other")),
            folder.remove("there"),
            folder.remove_folder("folder".as_ref()),
            folder.sync(),
            file.write_all_at(b"x", 0),
            file.write_whole(&[b"x"]),
            file.fill_with_zeros(0, 1),
            file.set_len(0),
            file.sync_data(),
            file.sync_all(),
        ];
        for (place, refused) in refused.into_iter().enumerate() {
            let error = refused.expect_err(&place.to_string());
            assert!(error.kind().forbids_writing_only(), "{place}: {error}");
        }
        assert!(FolderLock::take(&folder, "LOCK").is_err());
        assert!(file.try_lock().is_err());
        file.unlock();
        assert_eq!(file.read_all().unwrap(), b"bytes");
        let mut names = folder.names().unwrap();
        names.sort();
        assert_eq!(names, ["folder", "there"]);
        assert!(within.names().unwrap().is_empty());
    }
}
