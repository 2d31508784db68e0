//! Where what is folded of a followed store is kept: beside the user's other caches, never in the store.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use spacefold_disk::{Access, Disk, Folder, FolderGate, FolderLock, RealDisk};
use spacefold_event_core::{LogIdentity, StorageError, StoreMode, id_text, lock::Lock};
use spacefold_projection::DerivedState;

use crate::options::CachePlace;

/// The folder of all caches.
const CACHES: &str = "spacefold";
/// The name of the file that is locked by whoever uses a cache.
const LOCK: &str = "LOCK";

/// The cache of one timeline of a store, in use.
pub(crate) struct FollowerCache {
    folder: Arc<dyn Folder>,
    /// Ends, with whoever follows, what is written.
    gate: FolderGate,
    lock: Lock<Option<FolderLock>>,
}

impl FollowerCache {
    /// The cache at a place; `None` where there is none to be had: then everything is in memory.
    pub(crate) fn open(
        place: &CachePlace,
        store_id: [u8; 16],
        identity: &LogIdentity,
    ) -> Option<Self> {
        let caches = match place {
            CachePlace::User => user_caches()?.join(CACHES),
            CachePlace::Folder(path) => path.clone(),
            CachePlace::Memory => return None,
        };
        match Self::open_in(&caches, &id_text(store_id), &identity.timeline.to_string()) {
            Ok(cache) => cache,
            Err(error) => {
                tracing::info!(%error, "states of the followed store are folded in memory");
                None
            }
        }
    }

    fn open_in(
        caches: &Path,
        store_id: &str,
        timeline: &str,
    ) -> Result<Option<Self>, StorageError> {
        // What is folded of a store is for whoever may read that: nobody else reads it here.
        let parent = match caches.parent() {
            // Of a relative path of one name.
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent.unwrap_or(caches),
        };
        RealDisk.create_folders(parent)?;
        let Some(above) = RealDisk.folder(parent)? else {
            return Ok(None);
        };
        let name = caches.file_name().unwrap_or_else(|| OsStr::new(CACHES));
        let names = [name, store_id.as_ref(), timeline.as_ref()];
        let folder = names.into_iter().try_fold(above, |above, name| made(&above, name))?;
        let Ok(lock) = FolderLock::take(&folder, LOCK) else { return Ok(None) };
        // A lock is also to be had of a file that is only read.
        folder.open(LOCK, Access::ReadWrite)?;
        let gate = FolderGate::default();
        Ok(Some(Self { folder, gate, lock: Lock::new(Some(lock)) }))
    }

    /// What is folded, kept in the cache.
    pub(crate) fn derived(&self) -> DerivedState {
        DerivedState::in_folder(self.gate.around(Arc::clone(&self.folder)))
    }

    /// Leaves the cache to the next one: nothing is written there any more.
    pub(crate) fn close(&self) {
        self.gate.close();
        drop(self.lock.lock().take());
    }
}

/// A folder in another one, made where it is not there.
fn made(above: &Arc<dyn Folder>, name: &OsStr) -> Result<Arc<dyn Folder>, StorageError> {
    if let Some(folder) = above.part(name)? {
        return Ok(folder);
    }
    match above.create_folder(name, StoreMode::PRIVATE) {
        Ok(folder) => Ok(folder),
        // Another one may have been first.
        Err(error) => above.part(name)?.ok_or(error),
    }
}

/// The folder of the user's caches, as the XDG base directory specification has it: relative paths
/// do not count.
fn user_caches() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let of = |name: &str| env::var_os(name).map(PathBuf::from).and_then(absolute);
    of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))
}
