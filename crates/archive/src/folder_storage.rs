//! A repository in a folder: every file is written under another name, synced, renamed, and its folder
//! synced, before anything rests on it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use spacefold_disk::{Access, Disk, Folder, RealDisk};
use spacefold_event_core::{
    StorageError, StorageErrorKind, StoreMode, bytes::to_usize, lock::Lock,
};
use uuid::Uuid;

use crate::storage::{ObjectKey, ObjectKind, ObjectStorage};

/// What the name of a file ends in until it is complete.
const UNFINISHED: &str = ".unfinished";

/// A folder that a repository is kept in. It is made by the first object that is put, for its owner
/// alone (0700).
#[derive(Debug)]
pub struct FolderStorage {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    root: OnceLock<Arc<dyn Folder>>,
    /// The folders whose names this value has made durable: whoever made one may have been stopped
    /// before it came to that.
    made: Lock<BTreeMap<ObjectKind, Arc<dyn Folder>>>,
}

impl FolderStorage {
    /// The folder at a path, which need not be there.
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self::on(Arc::new(RealDisk), path)
    }

    /// As [`FolderStorage::at`], on any disk.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>, path: impl AsRef<Path>) -> Self {
        Self { disk, path: path.as_ref().to_owned(), root: OnceLock::new(), made: Lock::default() }
    }

    fn root(&self) -> Result<Option<&Arc<dyn Folder>>, StorageError> {
        if self.root.get().is_none()
            && let Some(found) = self.disk.folder(&self.path)?
        {
            let _ = self.root.set(found);
        }
        Ok(self.root.get())
    }

    /// The folder itself, made where it is missing; its name is durable.
    fn made_root(&self) -> Result<Arc<dyn Folder>, StorageError> {
        let missing = || {
            let doing = format!("creating {}", self.path.display());
            StorageError::new(doing, io::Error::from(io::ErrorKind::NotFound))
        };
        let there = self.root()?;
        let Some(name) = self.path.file_name() else {
            return there.cloned().ok_or_else(missing);
        };
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        self.disk.create_folders(parent)?;
        let above = match self.disk.folder(parent) {
            // A folder that was given by somebody else, who made it durable.
            Err(error) if error.kind() == StorageErrorKind::NotPermitted && there.is_some() => None,
            found => Some(found?.ok_or_else(missing)?),
        };
        let made = match (above, there) {
            (Some(above), _) => made_in(above.as_ref(), name)?,
            (None, there) => Arc::clone(there.ok_or_else(missing)?),
        };
        Ok(Arc::clone(self.root.get_or_init(|| made)))
    }

    /// The folder of a kind, if it is there.
    fn folder(&self, kind: ObjectKind) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        let Some(root) = self.root()? else { return Ok(None) };
        match kind.folder() {
            Some(name) => root.folder(name.as_ref()),
            None => Ok(Some(Arc::clone(root))),
        }
    }

    fn made_folder(&self, kind: ObjectKind) -> Result<Arc<dyn Folder>, StorageError> {
        if let Some(made) = self.made.lock().get(&kind) {
            return Ok(Arc::clone(made));
        }
        let root = match self.made.lock().get(&ObjectKind::Repository) {
            Some(made) => Arc::clone(made),
            None => self.made_root()?,
        };
        let folder = match kind.folder() {
            Some(name) => made_in(root.as_ref(), name.as_ref())?,
            None => Arc::clone(&root),
        };
        let mut made = self.made.lock();
        made.insert(ObjectKind::Repository, root);
        made.insert(kind, Arc::clone(&folder));
        Ok(folder)
    }

    /// Writes an object under a name of its own, and hands that over to be given its name.
    fn write(
        &self,
        key: &ObjectKey,
        bytes: &[u8],
        name_it: impl FnOnce(&dyn Folder, &str) -> Result<bool, StorageError>,
    ) -> Result<bool, StorageError> {
        let folder = self.made_folder(key.kind())?;
        // Two may be putting one object at a time.
        let written = format!("{}.{}{UNFINISHED}", key.name(), Uuid::new_v4().simple());
        let file = folder.create_to_become(&written, key.name())?;
        let put = file
            .write_whole(&[bytes])
            .and_then(|()| file.sync_all())
            .and_then(|()| name_it(folder.as_ref(), &written));
        if !matches!(put, Ok(true)) {
            // What stays is removed when backups are pruned.
            let _ = folder.remove(&written);
        }
        if put? {
            folder.sync()?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// A folder in another one, made where it is missing; its name is durable.
fn made_in(above: &dyn Folder, name: &OsStr) -> Result<Arc<dyn Folder>, StorageError> {
    let made = match above.folder(name)? {
        Some(there) => there,
        None => match above.create_folder(name, StoreMode::default()) {
            Ok(made) => made,
            // Another process may have been first.
            Err(error) => above.folder(name)?.ok_or(error)?,
        },
    };
    above.sync()?;
    Ok(made)
}

impl ObjectStorage for FolderStorage {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), StorageError> {
        let rename = |folder: &dyn Folder, written: &str| {
            folder.rename(Path::new(written), Path::new(key.name())).map(|()| true)
        };
        self.write(key, bytes, rename).map(|_| ())
    }

    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<bool, StorageError> {
        self.write(key, bytes, |folder, written| folder.rename_new(written, key.name()))
    }

    fn get(&self, key: &ObjectKey, most: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(folder) = self.folder(key.kind())? else { return Ok(None) };
        let Some(file) = folder.find(key.name(), Access::Read)? else { return Ok(None) };
        let read = file.bytes()?.min(most.saturating_add(1));
        file.read_begin(to_usize(read)).map(Some)
    }

    fn names(&self, kind: ObjectKind) -> Result<Vec<String>, StorageError> {
        self.folder(kind)?.map_or(Ok(Vec::new()), |folder| folder.names())
    }

    fn remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let Some(folder) = self.folder(key.kind())? else { return Ok(()) };
        match folder.remove(key.name()) {
            // Another process may be removing the same.
            Err(error) => match folder.find(key.name(), Access::Read)? {
                Some(_) => Err(error),
                None => Ok(()),
            },
            removed => removed,
        }
    }
}
