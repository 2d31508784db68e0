//! Disks that say what is not so, over any other: what a harness must notice.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use spacefold_event_core::{StorageError, StoreMode, lock::Lock};

use crate::disk::{Access, Disk, File, FileId, FileStamp, Folder, Found};

/// What disks write whole.
const SECTOR_BYTES: u64 = 512;

/// What a disk says that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Syncs of files answer at once and do nothing.
    SkipsSyncs,
    /// Syncs of files answer before what they cover is kept: the next write to the file waits for
    /// that.
    SyncsLate,
    /// The last sector of a write is written with the next one to the file only, whatever is synced.
    ForgetsLastSector,
    /// A sync of a file that fails answers as if it had not: programs read what was written, and the
    /// disk does not have it.
    HidesFailedSyncs,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::SkipsSyncs, Self::SyncsLate, Self::ForgetsLastSector, Self::HidesFailedSyncs];

    /// Its name, for command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipsSyncs => "skips-syncs",
            Self::SyncsLate => "syncs-late",
            Self::ForgetsLastSector => "forgets-last-sector",
            Self::HidesFailedSyncs => "hides-failed-syncs",
        }
    }
}

/// A disk that lies.
#[derive(Clone, Debug)]
pub struct LyingDisk {
    disk: Arc<dyn Disk>,
    lie: Lie,
}

impl LyingDisk {
    /// Has a disk lie.
    #[must_use]
    pub fn over(disk: Arc<dyn Disk>, lie: Lie) -> Self {
        Self { disk, lie }
    }
}

impl Disk for LyingDisk {
    fn look(&self, path: &Path) -> Result<Option<Found>, StorageError> {
        self.disk.look(path)
    }

    fn create_folders(&self, path: &Path) -> Result<(), StorageError> {
        self.disk.create_folders(path)
    }

    fn folder(&self, path: &Path) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        Ok(self.disk.folder(path)?.map(|folder| LyingFolder::of(folder, self.lie)))
    }
}

#[derive(Debug)]
struct LyingFolder {
    folder: Arc<dyn Folder>,
    lie: Lie,
}

impl LyingFolder {
    fn of(folder: Arc<dyn Folder>, lie: Lie) -> Arc<dyn Folder> {
        Arc::new(Self { folder, lie })
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        let (is_late, held_back) = (AtomicBool::new(false), Lock::default());
        Arc::new(LyingFile { file, lie: self.lie, is_late, held_back })
    }
}

impl Folder for LyingFolder {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn held_path(&self) -> Option<PathBuf> {
        self.folder.held_path()
    }

    fn id(&self) -> Result<FileId, StorageError> {
        self.folder.id()
    }

    fn mode(&self) -> StoreMode {
        self.folder.mode()
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.folder.names()
    }

    fn find(&self, name: &str, access: Access) -> Result<Option<Arc<dyn File>>, StorageError> {
        Ok(self.folder.find(name, access)?.map(|file| self.file(file)))
    }

    fn create_to_become(&self, name: &str, later: &str) -> Result<Arc<dyn File>, StorageError> {
        Ok(self.file(self.folder.create_to_become(name, later)?))
    }

    fn folder(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        Ok(self.folder.folder(name)?.map(|folder| Self::of(folder, self.lie)))
    }

    fn part(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        Ok(self.folder.part(name)?.map(|folder| Self::of(folder, self.lie)))
    }

    fn create_folder(
        &self,
        name: &OsStr,
        mode: StoreMode,
    ) -> Result<Arc<dyn Folder>, StorageError> {
        Ok(Self::of(self.folder.create_folder(name, mode)?, self.lie))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.folder.remove(name)
    }

    fn remove_folder(&self, name: &OsStr) -> Result<(), StorageError> {
        self.folder.remove_folder(name)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.folder.sync()
    }

    fn stamp(&self, name: &str) -> Result<Option<FileStamp>, StorageError> {
        self.folder.stamp(name)
    }

    fn id_by_path(&self, name: &str) -> Result<Option<FileId>, StorageError> {
        self.folder.id_by_path(name)
    }
}

#[derive(Debug)]
struct LyingFile {
    file: Arc<dyn File>,
    lie: Lie,
    /// Whether a sync has answered that is still to be done.
    is_late: AtomicBool,
    /// The end of the last write, and where it belongs.
    held_back: Lock<Option<(Vec<u8>, u64)>>,
}

impl LyingFile {
    /// Does what was said to be done.
    fn catch_up(&self) -> Result<(), StorageError> {
        if self.is_late.swap(false, Ordering::Relaxed) {
            self.file.sync_all()?;
        }
        let mut held_back = self.held_back.lock();
        match held_back.take() {
            Some((bytes, offset)) => self.file.write_all_at(&bytes, offset),
            None => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), StorageError> {
        match self.lie {
            Lie::SkipsSyncs => {}
            Lie::SyncsLate => self.is_late.store(true, Ordering::Relaxed),
            Lie::HidesFailedSyncs => drop(self.file.sync_all()),
            Lie::ForgetsLastSector => self.file.sync_all()?,
        }
        Ok(())
    }
}

impl File for LyingFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn id(&self) -> Result<FileId, StorageError> {
        self.file.id()
    }

    fn bytes(&self) -> Result<u64, StorageError> {
        self.file.bytes()
    }

    fn read_if_there(&self, buffer: &mut [u8], offset: u64) -> Result<bool, StorageError> {
        self.file.read_if_there(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        self.catch_up()?;
        if self.lie != Lie::ForgetsLastSector {
            return self.file.write_all_at(bytes, offset);
        }
        let end = offset + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let last = end.saturating_sub(1) / SECTOR_BYTES * SECTOR_BYTES;
        let (now, later) =
            bytes.split_at(usize::try_from(last.saturating_sub(offset)).unwrap_or(0));
        self.file.write_all_at(now, offset)?;
        let mut held_back = self.held_back.lock();
        *held_back = Some((later.to_vec(), last.max(offset)));
        // It is as long as it should be.
        if self.file.bytes()? < end { self.file.set_len(end) } else { Ok(()) }
    }

    fn set_len(&self, bytes: u64) -> Result<(), StorageError> {
        self.catch_up()?;
        self.file.set_len(bytes)
    }

    fn sync_data(&self) -> Result<(), StorageError> {
        self.sync()
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        self.sync()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn is_locked(&self) -> io::Result<bool> {
        self.file.is_locked()
    }

    fn unlock(&self) {
        self.file.unlock();
    }
}
