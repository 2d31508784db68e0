//! Noticing that the folder of an open store is gone: deleted, renamed, or replaced. Files that are
//! open take writes all the same, and whoever appends would be told that they are durable.

use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::io::Errno;
use spacefold_disk::{FileId, FolderLock};
use spacefold_event_core::{Position, StorageError, StorageErrorKind};

use super::Folder;
use crate::{error::Doing, shared::Shared};

/// How often it is looked for the folder: a few looks at names, whoever appends waits for none.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// The folder of an open store as it was when the store was opened.
pub(crate) struct FolderWatch {
    folder: Folder,
    parts: [Part; 4],
    journal: Part,
    /// Everything up to here was in the folder when it was last seen.
    seen: AtomicU64,
}

/// A file or folder that must stay where it is, and what it is.
struct Part {
    /// Absolute: the process may go to another folder.
    path: PathBuf,
    id: FileId,
    /// Held where nobody else does, so that no other file gets its inode.
    _held: Option<File>,
}

impl Part {
    fn of(path: &Path, id: FileId, held: Option<File>) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        Ok(Self { path, id, _held: held })
    }

    fn folder(path: &Path) -> io::Result<Self> {
        let folder = File::open(path)?;
        Self::of(path, id_of(&folder.metadata()?), Some(folder))
    }

    fn is_there(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(found) => id_of(&found) == self.id,
            Err(error) => !is_gone(&error),
        }
    }
}

impl FolderWatch {
    /// Remembers what the folder of a store is, whose lock is held.
    pub(crate) fn new(
        folder: &Folder,
        shared: &Shared,
        lock: &FolderLock,
    ) -> Result<Self, StorageError> {
        let doing = || format!("looking at {}", folder.root().display());
        let head_file = shared.lock_head_file().file().metadata().doing(doing)?;
        let parts = [
            Part::folder(folder.root()).doing(doing)?,
            Part::of(&folder.lock_file(), lock.id(), None).doing(doing)?,
            Part::of(&folder.head(), id_of(&head_file), None).doing(doing)?,
            Part::folder(&folder.sealed()).doing(doing)?,
        ];
        let journal = Part::folder(&folder.journal()).doing(doing)?;
        let seen = AtomicU64::new(shared.progress.durable_head().get());
        Ok(Self { folder: folder.clone(), parts, journal, seen })
    }

    /// Fails when the folder, or something of it that no store is without, is not where it was.
    pub(crate) fn check(&self, shared: &Shared) -> Result<(), StorageError> {
        let durable_head = shared.progress.durable_head();
        let mut parts = self.parts.iter().chain([&self.journal]);
        let gone = parts.find(|part| !part.is_there()).map(|part| part.path.clone());
        let gone = gone.or_else(|| self.missing_journal_file(shared));
        let Some(gone) = gone else {
            self.seen.store(durable_head.get(), Ordering::Relaxed);
            return Ok(());
        };
        let seen = Position::new(self.seen.load(Ordering::Relaxed));
        let doing =
            format!("looking for the folder of the store, {}", self.folder.root().display());
        let what = format!(
            "{} is not there any more, or is another one: it was deleted, renamed or replaced while \
             the store was open. Everything up to position {seen} was there when it was last seen; \
             what was appended since is gone with it",
            gone.display()
        );
        Err(StorageError::new(doing, what).of_kind(StorageErrorKind::FolderGone))
    }

    /// A file of the journal that is in use and has no name any more.
    fn missing_journal_file(&self, shared: &Shared) -> Option<PathBuf> {
        let mut files = shared.journal_files.live_slots().into_iter().map(|slot| {
            let file = self.folder.journal_file(slot);
            self.journal.path.join(file.file_name().unwrap_or_default())
        });
        files.find(|path| matches!(fs::metadata(path), Err(error) if is_gone(&error)))
    }
}

fn id_of(found: &Metadata) -> FileId {
    FileId { device: found.dev(), number: found.ino() }
}

/// Whether an error says that there is no such file, and not only that it cannot be looked at.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || Errno::from_io_error(error) == Some(Errno::STALE)
}
