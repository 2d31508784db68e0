//! A folder that is made when something is made in it.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use spacefold_event_core::{StorageError, StoreMode};

use crate::{
    disk::{Access, File, FileId, FileStamp, Folder},
    doing::Doing,
};

/// A folder in another one that is made when the first file or folder in it is: until then it is
/// empty, and reading it changes nothing.
#[derive(Debug)]
pub struct LazyFolder {
    parent: Arc<dyn Folder>,
    name: OsString,
    path: PathBuf,
    folder: OnceLock<Arc<dyn Folder>>,
}

impl LazyFolder {
    /// The folder of this name in another one, whether it is there or not.
    #[must_use]
    pub fn within(parent: &Arc<dyn Folder>, name: impl Into<OsString>) -> Arc<dyn Folder> {
        let (parent, name) = (Arc::clone(parent), name.into());
        let path = parent.path().join(&name);
        Arc::new(Self { parent, name, path, folder: OnceLock::new() })
    }

    fn found(&self) -> Result<Option<&Arc<dyn Folder>>, StorageError> {
        if self.folder.get().is_none()
            && let Some(folder) = self.parent.part(&self.name)?
        {
            return Ok(Some(self.folder.get_or_init(|| folder)));
        }
        Ok(self.folder.get())
    }

    fn made(&self) -> Result<&Arc<dyn Folder>, StorageError> {
        if let Some(folder) = self.found()? {
            return Ok(folder);
        }
        let folder = match self.parent.create_folder(&self.name, self.parent.mode()) {
            Ok(folder) => folder,
            // Another one of the same name may have been first; its sync may be yet to come.
            Err(error) => self.parent.part(&self.name)?.ok_or(error)?,
        };
        self.parent.sync()?;
        Ok(self.folder.get_or_init(|| folder))
    }

    /// The folder, for what needs something in it.
    fn there(&self) -> Result<&Arc<dyn Folder>, StorageError> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let found = self.found()?.ok_or_else(missing);
        found.doing(|| format!("opening {}", self.path.display()))
    }
}

impl Folder for LazyFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn held_path(&self) -> Option<PathBuf> {
        self.folder.get().and_then(|folder| folder.held_path())
    }

    fn id(&self) -> Result<FileId, StorageError> {
        self.there()?.id()
    }

    fn mode(&self) -> StoreMode {
        self.folder.get().unwrap_or(&self.parent).mode()
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.found()?.map_or_else(|| Ok(Vec::new()), |folder| folder.names())
    }

    fn find(&self, name: &str, access: Access) -> Result<Option<Arc<dyn File>>, StorageError> {
        self.found()?.map_or(Ok(None), |folder| folder.find(name, access))
    }

    fn create_to_become(&self, name: &str, later: &str) -> Result<Arc<dyn File>, StorageError> {
        self.made()?.create_to_become(name, later)
    }

    fn folder(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        self.found()?.map_or(Ok(None), |folder| folder.folder(name))
    }

    fn part(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        self.found()?.map_or(Ok(None), |folder| folder.part(name))
    }

    fn create_folder(
        &self,
        name: &OsStr,
        mode: StoreMode,
    ) -> Result<Arc<dyn Folder>, StorageError> {
        self.made()?.create_folder(name, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.there()?.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.there()?.remove(name)
    }

    fn remove_folder(&self, name: &OsStr) -> Result<(), StorageError> {
        self.found()?.map_or(Ok(()), |folder| folder.remove_folder(name))
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.found()?.map_or(Ok(()), |folder| folder.sync())
    }

    fn stamp(&self, name: &str) -> Result<Option<FileStamp>, StorageError> {
        self.found()?.map_or(Ok(None), |folder| folder.stamp(name))
    }

    fn id_by_path(&self, name: &str) -> Result<Option<FileId>, StorageError> {
        self.found()?.map_or(Ok(None), |folder| folder.id_by_path(name))
    }
}
