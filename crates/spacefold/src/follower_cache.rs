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
/// The name of the file that is locked while a cache is used.
const LOCK: &str = "LOCK";
/// The name of the file that says which of the caches of a store was used last.
const USED: &str = "USED";
/// The name of the file that is written whenever a cache of a store is used.
const STORE_USED: &str = "used";
/// The timelines of a store whose caches are kept: those that were used last.
const MAX_TIMELINES: usize = 4;
/// The stores whose caches are kept: those that were used last.
const MAX_STORES: usize = 64;

/// The cache of one timeline of a store, in use.
pub(crate) struct FollowerCache {
    folder: Arc<dyn Folder>,
    /// Ends, with the follower, what is written.
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
        let stores = made(&above, name)?;
        let is_new = stores.part(store_id.as_ref())?.is_none();
        let store = made(&stores, store_id.as_ref())?;
        let folder = made(&store, timeline.as_ref())?;
        let Ok(lock) = FolderLock::take(&folder, LOCK) else { return Ok(None) };
        // A lock is also to be had of a file that is only read.
        folder.open(LOCK, Access::ReadWrite)?;
        store.create(STORE_USED)?.write_all_at(b"1", 0)?;
        if is_new && let Err(error) = leave_newest_stores(&stores, store_id) {
            tracing::info!(%error, "caches of other stores stay");
        }
        if let Err(error) = leave_newest(&store, timeline, &folder) {
            tracing::info!(%error, "caches of earlier timelines of the followed store stay");
        }
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

/// Removes the caches of the stores that were used before [`MAX_STORES`] others, one of which is new, and
/// of which nobody uses any.
fn leave_newest_stores(stores: &Arc<dyn Folder>, new: &str) -> Result<(), StorageError> {
    let mut others = Vec::new();
    for name in stores.names()?.into_iter().filter(|name| name != new) {
        if let Some(other) = stores.part(name.as_ref())? {
            let used = other.stamp(STORE_USED)?.map(|stamp| stamp.changed_at);
            others.push((used, name, other));
        }
    }
    others.sort_unstable_by(|one, two| (one.0, &one.1).cmp(&(two.0, &two.1)));
    let too_many = (others.len() + 1).saturating_sub(MAX_STORES);
    for (_, name, other) in others.into_iter().take(too_many) {
        let timelines =
            other.names()?.into_iter().filter_map(|name| other.part(name.as_ref()).ok()?);
        let locks: Result<Vec<_>, _> =
            timelines.map(|timeline| FolderLock::take(&timeline, LOCK)).collect();
        if let Ok(_locks) = locks {
            stores.remove_folder(name.as_ref())?;
        }
    }
    Ok(())
}

/// Notes that the cache of a timeline is used, and removes those of the same store that were used
/// before [`MAX_TIMELINES`] others and that nobody uses.
fn leave_newest(
    store: &Arc<dyn Folder>,
    timeline: &str,
    folder: &Arc<dyn Folder>,
) -> Result<(), StorageError> {
    let mut others = Vec::new();
    let is_other = |name: &String| name != timeline && name != STORE_USED;
    for name in store.names()?.into_iter().filter(is_other) {
        if let Some(other) = store.part(name.as_ref())? {
            others.push((used(&other)?, name));
        }
    }
    others.sort_unstable();
    let newest = others.last().map_or(0, |(used, _)| *used);
    if used(folder)? <= newest {
        folder.create(USED)?.write_all_at(&newest.saturating_add(1).to_le_bytes(), 0)?;
    }
    let too_many = (others.len() + 1).saturating_sub(MAX_TIMELINES);
    for (_, name) in others.into_iter().take(too_many) {
        let Some(other) = store.part(name.as_ref())? else { continue };
        if let Ok(_lock) = FolderLock::take(&other, LOCK) {
            store.remove_folder(name.as_ref())?;
        }
    }
    Ok(())
}

/// When a cache was used, by a count over those of its store; 0 where it does not say so.
fn used(folder: &Arc<dyn Folder>) -> Result<u64, StorageError> {
    let Some(file) = folder.find(USED, Access::Read)? else { return Ok(0) };
    let mut bytes = [0; size_of::<u64>()];
    Ok(if file.read_if_there(&mut bytes, 0)? { u64::from_le_bytes(bytes) } else { 0 })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn open(caches: &Path, timeline: &str) -> FollowerCache {
        FollowerCache::open_in(caches, "store", timeline).unwrap().unwrap()
    }

    fn kept(caches: &Path) -> Vec<String> {
        let mut names = names(&caches.join("store"));
        names.retain(|name| name != STORE_USED);
        names
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_caches_of_the_stores_that_were_used_last_are_kept_and_those_in_use() {
        let scratch = tempfile::tempdir().unwrap();
        let caches = scratch.path().join("caches");
        let open = |number: usize| {
            let cache = FollowerCache::open_in(&caches, &format!("{number:02}"), "timeline");
            cache.unwrap().unwrap()
        };
        let held = open(0);
        (1..MAX_STORES).for_each(|number| open(number).close());
        assert_eq!(names(&caches).len(), MAX_STORES);
        // One that was there makes none go.
        open(5).close();
        assert_eq!(names(&caches).len(), MAX_STORES);
        // The oldest is in use.
        open(MAX_STORES).close();
        assert_eq!(names(&caches).len(), MAX_STORES + 1);
        open(MAX_STORES + 1).close();
        assert_eq!(names(&caches)[..3], ["00", "02", "03"]);
        held.close();
        open(MAX_STORES + 2).close();
        assert_eq!(names(&caches).len(), MAX_STORES);
        assert_eq!(names(&caches)[0], "03");
    }

    #[test]
    fn the_caches_of_the_timelines_that_were_used_last_are_kept_and_those_in_use() {
        let scratch = tempfile::tempdir().unwrap();
        let caches = scratch.path().join("caches");
        let held = open(&caches, "a");
        for timeline in ["b", "c", "d"] {
            open(&caches, timeline).close();
        }
        std::fs::write(caches.join("store/b/file"), "what is folded").unwrap();
        assert_eq!(kept(&caches), ["a", "b", "c", "d"]);
        open(&caches, "b").close();
        open(&caches, "e").close();
        // The oldest is in use.
        assert_eq!(kept(&caches), ["a", "b", "c", "d", "e"]);
        held.close();
        open(&caches, "f").close();
        assert_eq!(kept(&caches), ["b", "d", "e", "f"]);
        open(&caches, "f").close();
        assert_eq!(kept(&caches), ["b", "d", "e", "f"]);
        assert!(caches.join("store/b/file").exists());
    }
}
