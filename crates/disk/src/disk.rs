//! The seam: a disk, a folder on it, and a file in one.

use std::{
    ffi::OsStr,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use spacefold_event_core::{StorageError, StoreMode, bytes::to_usize};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be read and written.
    ReadWrite,
}

/// What tells a file from every other for as long as it is there, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub number: u64,
}

/// What is another after any change to a file, of its bytes or of what has its name: as long as it is
/// the same, the file holds what it did, but for damage below the file system. A change within
/// [`FileStamp::SETTLED_AFTER`] of the one before may leave it the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// The number of the file on its device.
    pub number: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was changed last, in ns since 1970 by the clock of the system; nobody sets it at will.
    pub changed_at: i64,
}

impl FileStamp {
    /// Systems tell times of changes apart that are as far from each other.
    pub const SETTLED_AFTER: Duration = Duration::from_millis(20);

    /// Whether a change from now on, by the same clock, gives another stamp.
    #[must_use]
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let changed_at = u64::try_from(self.changed_at).ok();
        let changed_at =
            changed_at.and_then(|nanos| UNIX_EPOCH.checked_add(Duration::from_nanos(nanos)));
        let since = changed_at.and_then(|changed_at| now.duration_since(changed_at).ok());
        since.is_some_and(|since| since >= Self::SETTLED_AFTER)
    }
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A folder.
    Folder,
    /// A file, or something else that is no folder.
    File,
    /// A link that leads nowhere.
    DeadLink,
}

/// Where folders are found by their paths.
pub trait Disk: fmt::Debug + Send + Sync {
    /// What a path leads to; `None` when nothing is there.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn look(&self, path: &Path) -> Result<Option<Found>, StorageError>;

    /// Makes a folder and those above it that are missing, durably, with the mode that the process
    /// gives to what it makes.
    ///
    /// # Errors
    /// When one cannot be made or synced; some may have been.
    fn create_folders(&self, path: &Path) -> Result<(), StorageError>;

    /// The folder at a path; `None` when no folder is there.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn folder(&self, path: &Path) -> Result<Option<Arc<dyn Folder>>, StorageError>;
}

/// A folder that is held open: what is done through it is done in that folder, whatever becomes of
/// its name.
///
/// # Durability
/// Names that were created, renamed or removed are durable once [`Folder::sync`] has answered;
/// before that a power cut may leave any of them undone.
///
/// # Errors
/// Every method fails with a [`StorageError`] that names the path and what was being done.
pub trait Folder: fmt::Debug + Send + Sync {
    /// The path it was opened by, for messages.
    fn path(&self) -> &Path;

    /// A path that leads to this very folder while it is held, whatever becomes of its name: for
    /// libraries that open files by path. `None` where the folder has no path for others.
    fn held_path(&self) -> Option<PathBuf>;

    /// What tells it from every other folder.
    ///
    /// # Errors
    /// When that cannot be asked.
    fn id(&self) -> Result<FileId, StorageError>;

    /// Who may read and change what is made in it.
    fn mode(&self) -> StoreMode;

    /// The names of the files and folders in it, in no order. Names that are no UTF-8 are left out.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn names(&self) -> Result<Vec<String>, StorageError>;

    /// A file in it; `None` when there is none of this name.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn find(&self, name: &str, access: Access) -> Result<Option<Arc<dyn File>>, StorageError>;

    /// A file that must be in it.
    ///
    /// # Errors
    /// When it is not there, or cannot be opened.
    fn open(&self, name: &str, access: Access) -> Result<Arc<dyn File>, StorageError> {
        self.find(name, access)?.ok_or_else(|| {
            let doing = format!("opening {}", self.path().join(name).display());
            StorageError::new(doing, io::Error::from(io::ErrorKind::NotFound))
        })
    }

    /// A file in it, empty, open to be read and written: a new one, or one that was there and has
    /// lost what it held. Who may read and change it follows from the mode of the folder.
    ///
    /// # Errors
    /// When it cannot be made.
    fn create(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.create_to_become(name, name)
    }

    /// As [`Folder::create`], of a file that is to be renamed: messages call it by its later name.
    ///
    /// # Errors
    /// When it cannot be made.
    fn create_to_become(&self, name: &str, later: &str) -> Result<Arc<dyn File>, StorageError>;

    /// The stamp of a file in it, which is not opened; `None` when there is none of this name, or the
    /// disk gives none.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn stamp(&self, name: &str) -> Result<Option<FileStamp>, StorageError>;

    /// A folder in it; `None` when there is none of this name.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn folder(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError>;

    /// As [`Folder::folder`], of one that is a part of this one: what is made in it has the mode of
    /// this one.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn part(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError>;

    /// Makes a folder in it, which those may read and change whom the mode lets.
    ///
    /// # Errors
    /// When it cannot be made, or something of this name is there.
    fn create_folder(&self, name: &OsStr, mode: StoreMode)
    -> Result<Arc<dyn Folder>, StorageError>;

    /// Gives a file or folder another name. A file or empty folder that had that name is gone; at no
    /// moment is neither there. Both paths begin in this folder, and may lead on through others.
    ///
    /// # Errors
    /// When it cannot be renamed: the old name stays.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError>;

    /// As [`Folder::rename`] of a file within this folder, unless something has the new name: `false`
    /// then, and the old name stays. Of several who try at once one has it, in other processes too where
    /// the disk is the operating system's. There the file has both names for a moment, and whoever removes
    /// the old one meanwhile is in nobody's way.
    ///
    /// # Errors
    /// As [`Folder::rename`].
    fn rename_new(&self, from: &str, to: &str) -> Result<bool, StorageError> {
        if self.find(to, Access::Read)?.is_some() {
            return Ok(false);
        }
        self.rename(Path::new(from), Path::new(to)).map(|()| true)
    }

    /// Removes a file from it.
    ///
    /// # Errors
    /// When it cannot be removed, or is not there.
    fn remove(&self, name: &str) -> Result<(), StorageError>;

    /// Removes a folder from it with everything in it, if there is one.
    ///
    /// # Errors
    /// When it cannot be removed; some of what is in it may be gone.
    fn remove_folder(&self, name: &OsStr) -> Result<(), StorageError>;

    /// Makes the names in it durable.
    ///
    /// # Errors
    /// When that is not known: it must not be tried again to find out.
    fn sync(&self) -> Result<(), StorageError>;

    /// What a name means now in the folder that is at this one's path, which may be another one by
    /// now; `None` when nothing is there.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn id_by_path(&self, name: &str) -> Result<Option<FileId>, StorageError>;
}

/// An open file. Reads and writes name their offset; threads may share it.
///
/// # Durability
/// What was written is durable once [`File::sync_data`] or [`File::sync_all`] has answered. After a
/// sync that failed nothing is known of what was written since the last one that did not, and a
/// later sync does not bring it to the disk.
///
/// # Errors
/// Every method fails with a [`StorageError`] that names the path and what was being done.
pub trait File: fmt::Debug + Send + Sync {
    /// Its path, for messages.
    fn path(&self) -> &Path;

    /// What tells it from every other file.
    ///
    /// # Errors
    /// When that cannot be asked.
    fn id(&self) -> Result<FileId, StorageError>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// When that cannot be asked.
    fn bytes(&self) -> Result<u64, StorageError>;

    /// Fills `buffer` from an offset on; `false` when the file ends before.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_if_there(&self, buffer: &mut [u8], offset: u64) -> Result<bool, StorageError>;

    /// Fills `buffer` from an offset on.
    ///
    /// # Errors
    /// When it cannot be read, or ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), StorageError> {
        if self.read_if_there(buffer, offset)? {
            return Ok(());
        }
        let doing = format!("reading {} at byte {offset}", self.path().display());
        Err(StorageError::new(doing, io::Error::from(io::ErrorKind::UnexpectedEof)))
    }

    /// All of its bytes.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read_all(&self) -> Result<Vec<u8>, StorageError> {
        let count = to_usize(self.bytes()?);
        let mut bytes = vec![0; count];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Its first bytes, `most` of them or all there are.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read_begin(&self, most: usize) -> Result<Vec<u8>, StorageError> {
        let mut bytes = vec![0; most];
        if !self.read_if_there(&mut bytes, 0)? {
            let there = usize::try_from(self.bytes()?).unwrap_or(usize::MAX);
            bytes.truncate(there);
            self.read_exact_at(&mut bytes, 0)?;
        }
        Ok(bytes)
    }

    /// Says that it will be read from front to back. Nothing rests on it but time.
    fn will_be_read_in_order(&self) {}

    /// Gives a new file all of its bytes, those of the parts one after another. They will not be read
    /// soon: where it can be done they do not go through memory that others could use.
    ///
    /// # Errors
    /// When they cannot be written: any part of them may have been.
    fn write_whole(&self, parts: &[&[u8]]) -> Result<(), StorageError> {
        let mut offset = 0;
        for part in parts {
            self.write_all_at(part, offset)?;
            offset += u64::try_from(part.len()).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// Writes bytes from an offset on; the file grows where they end after it.
    ///
    /// # Errors
    /// When they cannot be written: any part of them may have been.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError>;

    /// Cuts it, or grows it by zeros that take no room.
    ///
    /// # Errors
    /// When it keeps its length.
    fn set_len(&self, bytes: u64) -> Result<(), StorageError>;

    /// Makes what was written durable, and what is needed to read it.
    ///
    /// # Errors
    /// When that is not known.
    fn sync_data(&self) -> Result<(), StorageError>;

    /// Writes zeros from an offset up to another, so that the room for what is written there later
    /// is taken.
    ///
    /// # Errors
    /// When they cannot be written: any part of them may have been.
    fn fill_with_zeros(&self, from: u64, to: u64) -> Result<(), StorageError> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut offset = from;
        while offset < to {
            let left = usize::try_from(to - offset).unwrap_or(usize::MAX);
            let zeros = ZEROS.get(..left).unwrap_or(&ZEROS);
            self.write_all_at(zeros, offset)?;
            offset += u64::try_from(zeros.len()).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// Makes everything of the file durable.
    ///
    /// # Errors
    /// When that is not known.
    fn sync_all(&self) -> Result<(), StorageError>;

    /// Locks it against every other open file of the same name, of this process too; `false` when
    /// it is locked. The lock goes with the file, or before ([`File::unlock`]).
    ///
    /// # Errors
    /// What the system says, since who asks tells a file system without locks from other errors.
    fn try_lock(&self) -> io::Result<bool>;

    /// Whether another open file has it locked. Nothing is taken for it, and whoever wants the lock
    /// meanwhile gets it.
    ///
    /// # Errors
    /// As of [`File::try_lock`].
    fn is_locked(&self) -> io::Result<bool>;

    /// Gives the lock back.
    fn unlock(&self);
}
