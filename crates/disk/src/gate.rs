//! A folder whose owner can end every change of it.

use std::{fmt, path::Path, sync::Arc};

use spacefold_event_core::{StorageError, lock::SharedLock};

use crate::{
    disk::Folder,
    layer::{FolderChange, FolderLayer},
};

/// What a folder is handed out behind: once it is [`closed`](FolderGate::close), names in the folder and in
/// those below it change no more through what was handed out. Clones are the same gate.
///
/// For folders that another process may use from then on, as those of a store that was closed.
#[derive(Clone, Default)]
pub struct FolderGate {
    is_closed: Arc<SharedLock<bool>>,
    before_renames: Option<Arc<BeforeRename>>,
}

type BeforeRename = dyn Fn() -> Result<(), StorageError> + Send + Sync;

impl fmt::Debug for FolderGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderGate").field("is_closed", &self.is_closed).finish_non_exhaustive()
    }
}

impl FolderGate {
    /// A gate at which this is done before anything behind it is renamed, as every file is that takes
    /// another's place: what it says may depend on what was done. A failure is that of the renaming.
    #[must_use]
    pub fn before_renames(
        before: impl Fn() -> Result<(), StorageError> + Send + Sync + 'static,
    ) -> Self {
        Self { before_renames: Some(Arc::new(before)), ..Self::default() }
    }

    /// A folder behind the gate.
    #[must_use]
    pub fn around(&self, folder: Arc<dyn Folder>) -> Arc<dyn Folder> {
        Arc::new(GatedFolder { folder, gate: self.clone() })
    }

    /// Refuses changes from now on, after those that are under way.
    pub fn close(&self) {
        *self.is_closed.write() = true;
    }
}

#[derive(Debug)]
struct GatedFolder {
    folder: Arc<dyn Folder>,
    gate: FolderGate,
}

impl FolderLayer for GatedFolder {
    fn below(&self) -> &dyn Folder {
        &*self.folder
    }

    fn over_folder(&self, folder: Arc<dyn Folder>) -> Arc<dyn Folder> {
        self.gate.around(folder)
    }

    fn change<T>(
        &self,
        change: FolderChange,
        _name: &Path,
        act: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if matches!(change, FolderChange::Open | FolderChange::Sync) {
            return act();
        }
        let is_closed = self.gate.is_closed.read();
        if *is_closed {
            return Err(StorageError::closed(format!("changing {}", self.path().display())));
        }
        match &self.gate.before_renames {
            Some(before) if change == FolderChange::Rename => before().and_then(|()| act()),
            _ => act(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryDisk, NewFile, disk::Access};

    #[test]
    fn nothing_is_renamed_before_what_is_to_be_done_before() {
        let disk = MemoryDisk::new();
        let outside = disk.root();
        let refuses = Arc::new(SharedLock::new(false));
        let told = Arc::clone(&refuses);
        let gate = FolderGate::before_renames(move || match *told.read() {
            true => Err(StorageError::new("noting", "it was refused")),
            false => Ok(()),
        });
        let root = gate.around(outside.clone());
        NewFile::replace(&root, "file", b"first").unwrap();
        *refuses.write() = true;
        let refused = NewFile::replace(&root, "file", b"second").map_err(StorageError::from);
        assert!(refused.unwrap_err().to_string().contains("it was refused"));
        let file = outside.open("file", Access::Read).unwrap();
        assert_eq!(file.read_all().unwrap(), b"first");
    }

    #[test]
    fn nothing_changes_through_a_folder_whose_gate_is_closed_however_deep() {
        let disk = MemoryDisk::new();
        let gate = FolderGate::default();
        let outside = disk.root();
        let root = gate.around(outside.clone());
        let below = root.create_folder("below".as_ref(), root.mode()).unwrap();
        for folder in [&root, &below] {
            NewFile::replace(folder, "file", b"before").unwrap();
        }
        gate.close();
        let found = [root.folder("below".as_ref()), root.part("below".as_ref())];
        let found = found.map(|folder| folder.unwrap().unwrap());
        for folder in [&root, &below, &found[0], &found[1]] {
            let refused = [
                NewFile::replace(folder, "file", b"after").map_err(StorageError::from),
                folder.create("other").map(drop),
                folder.create_folder("other".as_ref(), folder.mode()).map(drop),
                folder.rename("file".as_ref(), "other".as_ref()),
                folder.remove("file"),
                folder.remove_folder("below".as_ref()),
            ];
            for refused in refused {
                let said = refused.unwrap_err().to_string();
                assert!(said.contains("the store is closed"), "{said}");
            }
            let file = folder.open("file", Access::Read).unwrap();
            assert_eq!(file.read_all().unwrap(), b"before", "it can be read");
        }
        assert!(NewFile::replace(&outside, "file", b"theirs").is_ok());
    }
}
