//! Noticing that the folder of an open store is gone: deleted, renamed, or replaced. Files that are
//! open take writes all the same, and whoever appends would be told that they are durable.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use spacefold_disk::{FileId, FolderLock};
use spacefold_event_core::{Position, StorageError, StorageErrorKind};

use crate::{
    folder::{HEAD, JOURNAL, LOCK, SEALED, StoreFolder},
    journal::files::JournalFiles,
};

/// How often it is looked for the folder: a few looks at names, whoever appends waits for none.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// The folder of an open store as it was when the store was opened.
pub(crate) struct FolderWatch {
    folder: StoreFolder,
    /// What must stay where it is, by its name in the folder: first the folder itself. All of it is
    /// held open, so that nothing else gets its number.
    parts: [(&'static str, FileId); 5],
    /// Everything up to here was in the folder when it was last seen.
    seen: AtomicU64,
}

impl FolderWatch {
    /// Remembers what the folder of a store is, whose lock is held, and whose HEAD is open.
    pub(crate) fn new(
        folder: &StoreFolder,
        head: FileId,
        durable_head: Position,
        lock: &FolderLock,
    ) -> Result<Self, StorageError> {
        let parts = [
            ("", folder.held().id()?),
            (LOCK, lock.id()),
            (HEAD, head),
            (SEALED, folder.sealed()?.id()?),
            (JOURNAL, folder.journal()?.id()?),
        ];
        let seen = AtomicU64::new(durable_head.get());
        Ok(Self { folder: folder.clone(), parts, seen })
    }

    /// Fails when the folder, or something of it that no store is without, is not where it was.
    pub(crate) fn check(
        &self,
        durable_head: Position,
        journal_files: &JournalFiles,
    ) -> Result<(), StorageError> {
        let gone = self.missing_part().or_else(|| self.missing_journal_file(journal_files));
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

    /// A part that is not where it was. What cannot be looked at counts as there.
    fn missing_part(&self) -> Option<PathBuf> {
        let root = self.folder.held();
        let is_gone = |(name, id): &&(&str, FileId)| {
            root.id_by_path(name).is_ok_and(|found| found != Some(*id))
        };
        let (name, _) = self.parts.iter().find(is_gone)?;
        Some(if name.is_empty() { root.path().to_owned() } else { root.path().join(name) })
    }

    /// A file of the journal that is in use and has no name any more.
    fn missing_journal_file(&self, journal_files: &JournalFiles) -> Option<PathBuf> {
        let mut files = journal_files.live_slots().into_iter();
        let lost = files.find(|slot| self.folder.has_lost_journal_file(*slot))?;
        // It may have been given up meanwhile, and removed.
        let is_in_use = journal_files.live_slots().contains(&lost);
        is_in_use.then(|| self.folder.journal_file_path(lost))
    }
}
