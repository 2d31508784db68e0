//! Objects as files of a folder: each is written under another name, synced, renamed, and its folder
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

use crate::{
    error::{ObjectError, ObjectErrorKind},
    key::{ObjectKey, UNFINISHED},
    storage::ObjectStorage,
};

/// A folder that objects are kept in. It is made by the first object that is put, for its owner alone
/// (0700).
///
/// # Durability
/// A call that put or removed an object answers once the file and its folder are synced. What was being put
/// when a process stopped has a name that ends in `.unfinished`, and is in nobody's way.
#[derive(Debug)]
pub struct FolderStorage {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    root: OnceLock<Arc<dyn Folder>>,
    /// The folders whose names this value has made durable: whoever made one may have been stopped
    /// before it came to that.
    made: Lock<BTreeMap<String, Arc<dyn Folder>>>,
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

    /// A folder in it, if it is there.
    fn folder(&self, path: &str) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        let Some(root) = self.root()? else { return Ok(None) };
        let mut folder = Arc::clone(root);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Some(next) = folder.folder(name.as_ref())? else { return Ok(None) };
            folder = next;
        }
        Ok(Some(folder))
    }

    /// A folder in it, made where it is missing; its name, and those before it, are durable.
    fn made_folder(&self, path: &str) -> Result<Arc<dyn Folder>, StorageError> {
        if let Some(made) = self.made.lock().get(path) {
            return Ok(Arc::clone(made));
        }
        let folder = match path.rsplit_once('/') {
            None if path.is_empty() => self.made_root()?,
            None => made_in(self.made_folder("")?.as_ref(), path.as_ref())?,
            Some((above, name)) => made_in(self.made_folder(above)?.as_ref(), name.as_ref())?,
        };
        self.made.lock().insert(path.to_owned(), Arc::clone(&folder));
        Ok(folder)
    }

    /// Writes an object under a name of its own, and hands that over to be given its name.
    fn write(
        &self,
        key: &ObjectKey,
        bytes: &[u8],
        name_it: impl FnOnce(&dyn Folder, &str) -> Result<bool, StorageError>,
    ) -> Result<bool, ObjectError> {
        let folder = self.made_folder(key.folder()).map_err(not_done)?;
        // Two may be putting one object at a time.
        let written = format!("{}.{}{UNFINISHED}", key.name(), Uuid::new_v4().simple());
        let file = folder.create_to_become(&written, key.name()).map_err(not_done)?;
        let put = file
            .write_whole(&[bytes])
            .and_then(|()| file.sync_all())
            .map_err(not_done)
            .and_then(|()| name_it(folder.as_ref(), &written).map_err(unknown));
        if !matches!(put, Ok(true)) {
            // What stays is for whoever tidies up.
            let _ = folder.remove(&written);
        }
        let is_put = put?;
        // What another has put is durable too by then: something may rest on it next.
        folder.sync().map_err(unknown)?;
        Ok(is_put)
    }
}

/// A failure before anything was changed.
fn not_done(cause: StorageError) -> ObjectError {
    use StorageErrorKind::{FileTooLarge, NotPermitted, ReadOnly};
    let kind = match cause.kind() {
        NotPermitted | ReadOnly | FileTooLarge => ObjectErrorKind::Refused,
        _ => ObjectErrorKind::Unavailable,
    };
    ObjectError::new(kind, cause)
}

/// A failure after which it may have been done, or be undone by a power cut.
fn unknown(cause: StorageError) -> ObjectError {
    ObjectError::new(ObjectErrorKind::OutcomeUnknown, cause)
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

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), ObjectError> {
        let rename = |folder: &dyn Folder, written: &str| {
            folder.rename(Path::new(written), Path::new(key.name())).map(|()| true)
        };
        self.write(key, bytes, rename).map(|_| ())
    }

    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<bool, ObjectError> {
        self.write(key, bytes, |folder, written| folder.rename_new(written, key.name()))
    }

    fn get(&self, key: &ObjectKey, most: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        let find = || {
            let Some(folder) = self.folder(key.folder())? else { return Ok(None) };
            let Some(file) = folder.find(key.name(), Access::Read)? else { return Ok(None) };
            let read = file.bytes()?.min(most.saturating_add(1));
            file.read_begin(to_usize(read)).map(Some)
        };
        find().map_err(not_done)
    }

    fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, ObjectError> {
        let mut names = self.list_all(folder)?;
        let begin = after.map_or(0, |after| names.partition_point(|name| name.as_str() <= after));
        names.drain(..begin);
        names.truncate(most);
        Ok(names)
    }

    fn list_all(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        let find = || self.folder(folder)?.map_or(Ok(Vec::new()), |folder| folder.names());
        let mut names = find().map_err(not_done)?;
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, keys: &[ObjectKey]) -> Result<(), ObjectError> {
        let mut folders: BTreeMap<&str, Option<Arc<dyn Folder>>> = BTreeMap::new();
        for key in keys {
            let folder = match folders.get(key.folder()) {
                Some(known) => known.clone(),
                None => {
                    let found = self.folder(key.folder()).map_err(unknown)?;
                    folders.insert(key.folder(), found.clone());
                    found
                }
            };
            let Some(folder) = folder else { continue };
            // Another process may have removed the same.
            if let Err(error) = folder.remove(key.name())
                && folder.find(key.name(), Access::Read).map_err(unknown)?.is_some()
            {
                return Err(unknown(error));
            }
        }
        for folder in folders.values().flatten() {
            folder.sync().map_err(unknown)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text)
    }

    #[test]
    fn an_object_is_put_once_by_one_of_many() {
        let scratch = tempfile::tempdir().unwrap();
        let storage = Arc::new(FolderStorage::at(scratch.path().join("a/b")));
        let put = |who: u8| {
            let storage = Arc::clone(&storage);
            thread::spawn(move || storage.put_new(&key("log/x/1"), &[who; 100_000]).unwrap())
        };
        let all: Vec<_> = (0..8).map(put).collect();
        let won: Vec<bool> = all.into_iter().map(|it| it.join().unwrap()).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = (0..8_u8).zip(&won).find(|(_, won)| **won).unwrap().0;
        let there = storage.get(&key("log/x/1"), 100_000).unwrap().unwrap();
        assert_eq!(there, [winner; 100_000]);
        assert_eq!(storage.list_all("log/x").unwrap(), ["1"]);
        // Of one that is longer a byte more is read.
        assert_eq!(storage.get(&key("log/x/1"), 9).unwrap().unwrap().len(), 10);
        storage.put(&key("log/x/1"), b"other").unwrap();
        assert_eq!(storage.get(&key("log/x/1"), 9).unwrap().unwrap(), b"other");
        storage.remove(&[key("log/x/1"), key("log/x/2"), key("none/1")]).unwrap();
        storage.remove(&[key("log/x/1")]).unwrap();
        assert_eq!(storage.get(&key("log/x/1"), 9).unwrap(), None);
    }

    #[test]
    fn names_are_listed_in_order_page_by_page() {
        let scratch = tempfile::tempdir().unwrap();
        let storage = FolderStorage::at(scratch.path().join("a"));
        assert_eq!(storage.list("log", None, 5).unwrap(), Vec::<String>::new());
        let names: Vec<String> = (0..25).map(|it| format!("{it:02}")).collect();
        for name in names.iter().rev() {
            storage.put_new(&key(&format!("log/{name}")), b"").unwrap();
        }
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = storage.list("log", after.as_deref(), 7).unwrap();
            assert!(page.len() <= 7);
            after = page.last().cloned().or(after);
            let is_last = page.len() < 7;
            listed.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(listed, names);
        assert_eq!(storage.list("log", Some("215"), 3).unwrap(), ["22", "23", "24"]);
    }
}
