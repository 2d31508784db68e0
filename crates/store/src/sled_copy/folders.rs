//! Where sled's copies are in the folder of a store.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use spacefold_disk::{Access, Doing as _, Folder as DiskFolder};
use spacefold_event_core::StorageError;

use super::{
    SledCopy,
    files::{copy_folder, held_path, remove_if_any},
};
use crate::{
    aside,
    lineage::{self, LINEAGE_BYTES, Lineage},
    log_copy::{LogCopies, LogCopy, SledError},
};

/// The folder of the copy in use.
pub(crate) const SLED: &str = "sled";
/// Where a copy is made, to take the place of the one in use.
const BESIDE: &str = "sled.unfinished";

/// Sled's copies in the folder of a store.
#[derive(Debug)]
pub(crate) struct SledFolders {
    root: Arc<dyn DiskFolder>,
}

impl SledFolders {
    pub(crate) fn of(root: &Arc<dyn DiskFolder>) -> Self {
        Self { root: Arc::clone(root) }
    }

    /// Where sled finds a folder.
    fn held(&self, name: &str) -> PathBuf {
        held_path(&self.root).join(name)
    }

    fn shown(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

impl LogCopies for SledFolders {
    fn is_there(&self) -> bool {
        fs::symlink_metadata(self.held(SLED)).is_ok()
    }

    fn lineage(&self) -> Option<Lineage> {
        let path = format!("{SLED}/{}", lineage::FILE_NAME);
        let file = self.root.find(&path, Access::Read).ok()??;
        // A byte more, so that a file that is longer is none.
        Lineage::parse(&file.read_begin(LINEAGE_BYTES + 1).ok()?)
    }

    fn open(&self) -> Result<Arc<dyn LogCopy>, SledError> {
        Ok(Arc::new(SledCopy::open(&self.root, SLED)?))
    }

    fn open_beside(&self) -> Result<Arc<dyn LogCopy>, SledError> {
        Ok(Arc::new(SledCopy::open(&self.root, BESIDE)?))
    }

    fn duplicate(&self) -> Result<(), StorageError> {
        let (from, to) = (self.shown(SLED), self.shown(BESIDE));
        let doing = || format!("copy {} to {}", from.display(), to.display());
        copy_folder(&self.held(SLED), &self.held(BESIDE)).doing(doing)
    }

    fn remove_beside(&self) -> Result<(), StorageError> {
        let doing = || format!("remove {}", self.shown(BESIDE).display());
        remove_if_any(&self.held(BESIDE)).doing(doing)
    }

    fn put_in_place(&self) -> Result<(), StorageError> {
        if self.is_there() {
            // Those that are there stay: what was set aside may turn out to be what was needed.
            let aside = aside::free_name(self.root.as_ref(), SLED)?;
            self.root.rename(SLED.as_ref(), aside.as_ref())?;
            self.root.sync()?;
        }
        self.root.rename(BESIDE.as_ref(), SLED.as_ref())?;
        self.root.sync()
    }

    fn disk_bytes(&self) -> u64 {
        disk_bytes(&self.held(SLED))
    }
}

/// The bytes of all files below a folder.
fn disk_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}
