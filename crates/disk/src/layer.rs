//! Folders and files over others: whatever a layer does not change is handed on here, once.

use std::{
    ffi::OsStr,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use spacefold_event_core::{StorageError, StoreMode};

use crate::disk::{Access, File, FileId, FileStamp, Folder};

/// What a layer is asked about before it is done to the folder below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FolderChange {
    /// A file is opened to be written.
    Open,
    Create,
    Rename,
    Remove,
    Sync,
}

impl FolderChange {
    /// What is being done, as messages begin.
    pub(crate) const fn doing(self) -> &'static str {
        match self {
            Self::Open => "opening",
            Self::Create => "creating",
            Self::Rename => "renaming",
            Self::Remove => "removing",
            Self::Sync => "syncing the folder",
        }
    }
}

/// A folder over another.
pub(crate) trait FolderLayer: fmt::Debug + Send + Sync {
    /// The folder below.
    fn below(&self) -> &dyn Folder;

    /// What is over a folder that is found or made in the one below.
    fn over_folder(&self, folder: Arc<dyn Folder>) -> Arc<dyn Folder>;

    /// What is over a file of the one below.
    fn over_file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        file
    }

    /// Does what changes the folder below at a name, or refuses it.
    fn change<T>(
        &self,
        _change: FolderChange,
        _name: &Path,
        act: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        act()
    }
}

impl<L: FolderLayer> Folder for L {
    fn path(&self) -> &Path {
        self.below().path()
    }

    fn held_path(&self) -> Option<PathBuf> {
        self.below().held_path()
    }

    fn id(&self) -> Result<FileId, StorageError> {
        self.below().id()
    }

    fn mode(&self) -> StoreMode {
        self.below().mode()
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.below().names()
    }

    fn find(&self, name: &str, access: Access) -> Result<Option<Arc<dyn File>>, StorageError> {
        let find = || self.below().find(name, access);
        let found = match access {
            Access::Read => find(),
            Access::ReadWrite => self.change(FolderChange::Open, name.as_ref(), find),
        };
        Ok(found?.map(|file| self.over_file(file)))
    }

    fn create_to_become(&self, name: &str, later: &str) -> Result<Arc<dyn File>, StorageError> {
        self.change(FolderChange::Create, name.as_ref(), || {
            Ok(self.over_file(self.below().create_to_become(name, later)?))
        })
    }

    fn folder(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        Ok(self.below().folder(name)?.map(|folder| self.over_folder(folder)))
    }

    fn part(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        Ok(self.below().part(name)?.map(|folder| self.over_folder(folder)))
    }

    fn create_folder(
        &self,
        name: &OsStr,
        mode: StoreMode,
    ) -> Result<Arc<dyn Folder>, StorageError> {
        self.change(FolderChange::Create, name.as_ref(), || {
            Ok(self.over_folder(self.below().create_folder(name, mode)?))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.change(FolderChange::Rename, from, || self.below().rename(from, to))
    }

    fn rename_new(&self, from: &str, to: &str) -> Result<bool, StorageError> {
        self.change(FolderChange::Rename, from.as_ref(), || self.below().rename_new(from, to))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.change(FolderChange::Remove, name.as_ref(), || self.below().remove(name))
    }

    fn remove_folder(&self, name: &OsStr) -> Result<(), StorageError> {
        self.change(FolderChange::Remove, name.as_ref(), || self.below().remove_folder(name))
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.change(FolderChange::Sync, Path::new(""), || self.below().sync())
    }

    fn stamp(&self, name: &str) -> Result<Option<FileStamp>, StorageError> {
        self.below().stamp(name)
    }

    fn id_by_path(&self, name: &str) -> Result<Option<FileId>, StorageError> {
        self.below().id_by_path(name)
    }
}

/// A file over another, which it changes in ways of its own. Nothing that is faster than writes from
/// an offset on is handed on.
pub(crate) trait FileLayer: fmt::Debug + Send + Sync {
    /// The file below.
    fn below(&self) -> &dyn File;

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError>;

    fn cut(&self, bytes: u64) -> Result<(), StorageError>;

    fn sync(&self) -> Result<(), StorageError>;

    fn lock(&self) -> io::Result<bool> {
        self.below().try_lock()
    }
}

impl<L: FileLayer> File for L {
    fn path(&self) -> &Path {
        self.below().path()
    }

    fn id(&self) -> Result<FileId, StorageError> {
        self.below().id()
    }

    fn bytes(&self) -> Result<u64, StorageError> {
        self.below().bytes()
    }

    fn read_if_there(&self, buffer: &mut [u8], offset: u64) -> Result<bool, StorageError> {
        self.below().read_if_there(buffer, offset)
    }

    fn will_be_read_in_order(&self) {
        self.below().will_be_read_in_order();
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        self.write(bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> Result<(), StorageError> {
        self.cut(bytes)
    }

    fn sync_data(&self) -> Result<(), StorageError> {
        self.sync()
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        self.sync()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.lock()
    }

    fn is_locked(&self) -> io::Result<bool> {
        self.below().is_locked()
    }

    fn unlock(&self) {
        self.below().unlock();
    }
}
