//! A disk that only reads: whatever would change something on it is refused before it is tried.

use std::{
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
};

use spacefold_event_core::StorageError;

use crate::{
    disk::{Disk, File, Folder, Found},
    layer::{FileLayer, FolderChange, FolderLayer},
};

/// Another disk, to be read only: for looking at what belongs to another process. Nothing is
/// made, written, synced, renamed, removed or locked through it.
///
/// # Errors
/// What would change something fails as on a file system that is mounted to be read only.
#[derive(Debug)]
pub struct ReadOnlyDisk {
    disk: Arc<dyn Disk>,
}

impl ReadOnlyDisk {
    /// A disk as a process has it that may only read.
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

impl FolderLayer for ReadOnlyFolder {
    fn below(&self) -> &dyn Folder {
        &*self.folder
    }

    fn over_folder(&self, folder: Arc<dyn Folder>) -> Arc<dyn Folder> {
        Self::of(folder)
    }

    fn over_file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(ReadOnlyFile { file })
    }

    fn change<T>(
        &self,
        change: FolderChange,
        name: &Path,
        _act: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match change {
            FolderChange::Sync => refuse(change.doing(), self.path()),
            _ => refuse(change.doing(), &self.path().join(name)),
        }
    }
}

#[derive(Debug)]
struct ReadOnlyFile {
    file: Arc<dyn File>,
}

impl FileLayer for ReadOnlyFile {
    fn below(&self) -> &dyn File {
        &*self.file
    }

    fn write(&self, _bytes: &[u8], _offset: u64) -> Result<(), StorageError> {
        refuse("writing", self.path())
    }

    fn cut(&self, _bytes: u64) -> Result<(), StorageError> {
        refuse("cutting", self.path())
    }

    fn sync(&self) -> Result<(), StorageError> {
        refuse("syncing", self.path())
    }

    fn lock(&self) -> io::Result<bool> {
        Err(refusal())
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::StoreMode;

    use super::*;
    use crate::{disk::Access, lock::FolderLock, real::RealDisk};

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
