//! The folder of a content store: what its files are called, and who may be in it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use spacefold_disk::{
    Access, Disk, File, Folder as DiskFolder, FolderLock, LockError, NewFile, ReplaceError,
};
use spacefold_event_core::{StorageError, StorageErrorKind, StoreMode};

use crate::error::OpenContentError;

/// The name of the manifest.
pub(crate) const MANIFEST: &str = "MANIFEST";
/// The name of the file that is locked while the store is open.
const LOCK: &str = "LOCK";
/// How long it may take to notice that the folder is gone.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// The folder of a content store, which is there or is made by the first put. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct ContentFolder {
    shared: Arc<SharedFolder>,
}

#[derive(Debug)]
struct SharedFolder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The folder itself: whatever becomes of its name, the store is in it.
    held: OnceLock<Arc<dyn DiskFolder>>,
    /// The folder that it is to be made in.
    above: OnceLock<Arc<dyn DiskFolder>>,
}

impl ContentFolder {
    pub(crate) fn at(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, StorageError> {
        let held = disk.folder(path)?.map(OnceLock::from).unwrap_or_default();
        let path = path.to_owned();
        Ok(Self { shared: Arc::new(SharedFolder { disk, path, held, above: OnceLock::new() }) })
    }

    /// Whether a store was ever made here.
    pub(crate) fn exists(&self) -> bool {
        self.shared.held.get().is_some()
    }

    /// Whether it is there by now, as one that another process makes may be.
    pub(crate) fn look(&self) -> Result<bool, StorageError> {
        if !self.exists()
            && let Some(folder) = self.shared.disk.folder(self.path())?
        {
            let _ = self.shared.held.set(folder);
        }
        Ok(self.exists())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.shared.path
    }

    /// What messages call a pack.
    pub(crate) fn pack_path(&self, number: u32) -> PathBuf {
        self.path().join(pack_name(number))
    }

    pub(crate) fn manifest_path(&self) -> PathBuf {
        self.path().join(MANIFEST)
    }

    fn held(&self) -> Result<&Arc<dyn DiskFolder>, StorageError> {
        self.shared.held.get().ok_or_else(|| {
            let doing = format!("looking into {}", self.path().display());
            StorageError::new(doing, io::Error::from(io::ErrorKind::NotFound))
        })
    }

    /// The file of a pack.
    pub(crate) fn open_pack(
        &self,
        number: u32,
        access: Access,
    ) -> Result<Arc<dyn File>, StorageError> {
        self.held()?.open(&pack_name(number), access)
    }

    /// Whether there is a file with the name of a pack.
    pub(crate) fn has_pack(&self, number: u32) -> Result<bool, StorageError> {
        Ok(self.held()?.find(&pack_name(number), Access::Read)?.is_some())
    }

    /// Begins the file of a pack.
    pub(crate) fn create_pack(&self, number: u32) -> Result<NewFile, StorageError> {
        NewFile::create(self.held()?, &pack_name(number))
    }

    pub(crate) fn remove_pack(&self, number: u32) -> Result<(), StorageError> {
        self.held()?.remove(&pack_name(number))
    }

    /// The numbers of the packs whose files are here, ascending.
    pub(crate) fn packs(&self) -> Result<Vec<u32>, StorageError> {
        let names = self.held()?.names()?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| pack_number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The file of the manifest, if there is one.
    pub(crate) fn find_manifest(&self) -> Result<Option<Arc<dyn File>>, StorageError> {
        self.held()?.find(MANIFEST, Access::Read)
    }

    /// Puts a manifest in the place of the one before.
    pub(crate) fn replace_manifest(&self, bytes: &[u8]) -> Result<(), ReplaceError> {
        let held = self.held().map_err(ReplaceError::OldStays)?;
        NewFile::replace(held, MANIFEST, bytes)
    }

    /// Copies the manifest beside, under a name of its own, before another takes its place.
    pub(crate) fn set_manifest_aside(&self) -> Result<(), StorageError> {
        let held = self.held()?;
        let bytes = held.open(MANIFEST, Access::Read)?.read_all()?;
        let names = held.names()?;
        let aside = |number: u32| format!("{MANIFEST}.set-aside-{number}");
        let free = (0..).map(aside).find(|name| !names.contains(name));
        let name = free.unwrap_or_else(|| aside(u32::MAX));
        NewFile::replace(held, &name, &bytes).map_err(StorageError::from)
    }

    /// Removes what was being written when a process stopped.
    pub(crate) fn remove_unfinished(&self) -> Result<(), StorageError> {
        let held = self.held()?;
        let is_ours = |name: &str| name.starts_with(MANIFEST) || pack_number(name).is_some();
        for name in held.names()? {
            if !NewFile::name_of_unfinished(&name).is_some_and(is_ours) {
                continue;
            }
            match held.remove(&name) {
                // It is in nobody's way.
                Err(error) if error.kind().forbids_writing_only() => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    /// Takes hold of the folder that this one is to be made in. Where that is not there or cannot
    /// be looked at, the first put looks for it again.
    pub(crate) fn hold_above(&self) {
        if let Ok(Some(above)) = self.shared.disk.folder(&parent_of(self.path())) {
            let _ = self.shared.above.set(above);
        }
    }

    fn above(&self) -> Result<Arc<dyn DiskFolder>, StorageError> {
        if let Some(above) = self.shared.above.get() {
            return Ok(Arc::clone(above));
        }
        let path = parent_of(self.path());
        self.shared.disk.folder(&path)?.ok_or_else(|| {
            let doing = format!("opening {}", path.display());
            StorageError::new(doing, io::Error::from(io::ErrorKind::NotFound))
        })
    }

    /// Makes the folder, unless it is there; its name is for the caller to sync.
    pub(crate) fn create(&self, mode: StoreMode) -> Result<(), StorageError> {
        if self.exists() {
            return Ok(());
        }
        let name = self.path().file_name().ok_or_else(|| {
            let doing = format!("creating {}", self.path().display());
            StorageError::new(doing, io::Error::from(io::ErrorKind::NotFound))
        })?;
        let above = self.above()?;
        let made = match above.folder(name)? {
            Some(there) => there,
            None => above.create_folder(name, mode)?,
        };
        let _ = self.shared.held.set(made);
        Ok(())
    }

    /// Makes the name of the folder itself durable.
    pub(crate) fn sync_name(&self) -> Result<(), StorageError> {
        self.above()?.sync()
    }

    /// Makes creations, renames and removals in the folder durable.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        self.held()?.sync()
    }

    pub(crate) fn lock(&self) -> Result<WatchedLock, OpenContentError> {
        let path = || self.path().to_owned();
        match FolderLock::take(self.held()?, LOCK) {
            Ok(lock) => Ok(WatchedLock { lock, path: path(), seen: Instant::now() }),
            Err(LockError::Held { .. }) => Err(OpenContentError::AlreadyOpen { path: path() }),
            Err(LockError::NoLocks(cause)) => {
                Err(OpenContentError::NoLocks { path: path(), cause })
            }
            Err(LockError::Storage(error)) => Err(error.into()),
        }
    }
}

/// The folder that a path is in.
fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

pub(crate) fn pack_name(number: u32) -> String {
    format!("{number:010}.pack")
}

/// The number in the name of a pack.
fn pack_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".pack").filter(|stem| stem.len() == 10);
    let is_number = |stem: &&str| stem.bytes().all(|byte| byte.is_ascii_digit());
    digits.filter(is_number)?.parse().ok()
}

/// The lock of a content store, held until it is dropped.
#[derive(Debug)]
pub(crate) struct WatchedLock {
    lock: FolderLock,
    path: PathBuf,
    /// When it was seen to be in its place last.
    seen: Instant,
}

impl WatchedLock {
    /// Fails when the folder is not where it was: it was deleted, renamed or replaced. Looked at
    /// now and then, since it is a call for what never happens.
    pub(crate) fn check_now_and_then(&mut self) -> Result<(), StorageError> {
        if self.seen.elapsed() < WATCH_INTERVAL {
            return Ok(());
        }
        if self.lock.is_in_place() {
            self.seen = Instant::now();
            return Ok(());
        }
        let what = "the folder of the content was deleted, renamed or replaced while it was open; \
                    what was put into it since is gone with it";
        let doing = format!("looking for {}", self.path.join(LOCK).display());
        Err(StorageError::new(doing, what).of_kind(StorageErrorKind::FolderGone))
    }
}
