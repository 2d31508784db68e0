//! The files that the journal is written to: filled with zeros and synced ahead of use, used in
//! turn, and used again once what they hold is in segments.
//!
//! A file keeps its name for life; its header says which use of the journal it is in. Nothing is
//! renamed, so that taking a file into use costs no more than the write and sync of the group that is
//! written to it. The first ones, which are short, are removed when they are given up.

use std::{
    collections::VecDeque,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use spacefold_disk::{Access, File};
use spacefold_event_core::{
    Position, StorageError,
    bytes::{to_u64, to_usize},
    lock::Lock,
};

use crate::folder::StoreFolder;

/// The most files that hold events which are in no segment yet. With as many, appends wait for
/// the sealer.
pub(crate) const MAX_LIVE_FILES: usize = 8;
/// Files in use from which on some are given up early.
const MANY_LIVE_FILES: usize = 5;
/// A file has this many bytes, for each other one in use twice as many, up to what the options say.
pub(crate) const FILE_BYTES: u64 = 1 << 20;
/// The first files of a store: a thousand small appends fit into two. Shorter ones than
/// [`FILE_BYTES`] are not used again.
const FIRST_FILES_BYTES: [u64; 3] = [256 << 10, 384 << 10, FILE_BYTES];
/// The bytes of one among the first that an unclean stop has opening make.
const LEAST_FILE_BYTES: u64 = 128 << 10;
/// How many writes as large as those that begin a file the next one has room for, at the least.
const WRITES_A_FILE: u64 = 4;

/// A file that holds events which are in no segment yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LiveFile {
    pub(crate) slot: u64,
    /// The position of its first event.
    pub(crate) first_position: Position,
}

/// What is known of the files of a journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileSet {
    /// Ascending.
    pub(crate) live: VecDeque<LiveFile>,
    /// Files that hold nothing any more.
    pub(crate) spare: Vec<u64>,
    /// The number of the next file to be made.
    pub(crate) next_slot: u64,
}

/// The files of the journal of an open store.
#[derive(Debug)]
pub(crate) struct JournalFiles {
    folder: StoreFolder,
    max_file_bytes: u64,
    files: Lock<FileSet>,
    /// Held while a file is made ahead, or for who waits for one.
    making: Lock<()>,
    is_another_wanted: AtomicBool,
    /// The bytes of the write that began the newest file.
    last_write_bytes: AtomicU64,
}

/// A file that has been taken into use.
#[derive(Debug)]
pub(crate) struct TakenFile {
    pub(crate) slot: u64,
    pub(crate) file: Arc<dyn File>,
    /// Its length: writing up to there changes no metadata.
    pub(crate) bytes: u64,
}

impl JournalFiles {
    pub(crate) fn new(folder: &StoreFolder, max_file_bytes: u64, files: FileSet) -> Self {
        Self {
            folder: folder.clone(),
            max_file_bytes,
            files: Lock::new(files),
            making: Lock::new(()),
            is_another_wanted: AtomicBool::new(false),
            last_write_bytes: AtomicU64::new(0),
        }
    }

    fn files(&self) -> MutexGuard<'_, FileSet> {
        self.files.lock()
    }

    /// Whether so many files are in use that it is time to give up those that can be, once
    /// everything up to a position is in segments.
    pub(crate) fn should_give_up_through(&self, position: Position) -> bool {
        let files = self.files();
        let is_done = |next: &&LiveFile| next.first_position.previous() <= position;
        let freed = files.live.iter().skip(1).take_while(is_done).count();
        match files.live.len() {
            MAX_LIVE_FILES.. => freed > 0,
            MANY_LIVE_FILES.. => freed > 1,
            _ => false,
        }
    }

    /// Whether so many files are in use, or they are so short, that some should be given up though
    /// only so many bytes are in no block.
    pub(crate) fn are_short_of(&self, tail_bytes: usize) -> bool {
        let tail_bytes = to_u64(tail_bytes);
        tail_bytes > self.max_file_bytes / 2 || self.files().live.len() >= MANY_LIVE_FILES
    }

    /// Whether there is no file to go on in, and none may be made.
    pub(crate) fn are_full(&self) -> bool {
        let files = self.files();
        files.spare.is_empty() && files.live.len() >= MAX_LIVE_FILES
    }

    /// The files that hold events which are in no segment yet.
    pub(crate) fn live_slots(&self) -> Vec<u64> {
        self.files().live.iter().map(|file| file.slot).collect()
    }

    /// Whether another file is to be made ready.
    pub(crate) fn is_another_wanted(&self) -> bool {
        self.is_another_wanted.load(Ordering::Relaxed)
    }

    /// Asks for another file to be made ready, before it is needed.
    pub(crate) fn want_another(&self) {
        self.is_another_wanted.store(true, Ordering::Relaxed);
    }

    /// Takes a file into use for events from `first_position` on.
    ///
    /// What it held is in segments; until the next write to it is synced, it still holds that.
    /// Files in use that begin there or later are superseded by it.
    ///
    /// It has at least `bytes`: whatever is written to it, its length does not change.
    pub(crate) fn take(
        &self,
        first_position: Position,
        bytes: u64,
    ) -> Result<TakenFile, StorageError> {
        self.last_write_bytes.store(bytes, Ordering::Relaxed);
        // Someone waits: a small file is ready sooner.
        self.take_or_make(first_position, bytes, |slot| first_bytes(slot).unwrap_or(FILE_BYTES))
    }

    /// As [`JournalFiles::take`]; where one has to be made, on a disk that may be full, it is short.
    pub(crate) fn take_short(
        &self,
        first_position: Position,
        bytes: u64,
    ) -> Result<TakenFile, StorageError> {
        let bytes_of = |slot| first_bytes(slot).map_or(FILE_BYTES, |_| LEAST_FILE_BYTES);
        self.take_or_make(first_position, bytes, bytes_of)
    }

    fn take_or_make(
        &self,
        first_position: Position,
        bytes: u64,
        bytes_of: impl FnOnce(u64) -> u64,
    ) -> Result<TakenFile, StorageError> {
        let slot = self.take_spare().map_or_else(|| self.make_at_once(bytes_of), Ok)?;
        // What was asked for while the file before neared its end is this one.
        self.is_another_wanted.store(false, Ordering::Relaxed);
        let mut taken = open_slot(&self.folder, slot)?;
        if taken.bytes < bytes {
            taken.file.fill_with_zeros(taken.bytes, bytes)?;
            taken.file.sync_all()?;
            taken.bytes = bytes;
        }
        let mut files = self.files();
        while let Some(superseded) =
            files.live.pop_back_if(|file| file.first_position >= first_position)
        {
            files.spare.push(superseded.slot);
        }
        files.live.push_back(LiveFile { slot, first_position });
        Ok(taken)
    }

    fn take_spare(&self) -> Option<u64> {
        self.files().spare.pop()
    }

    /// Makes a file for who waits for it, unless one is being made: that is waited for.
    fn make_at_once(&self, bytes_of: impl FnOnce(u64) -> u64) -> Result<u64, StorageError> {
        let _making = self.making.lock();
        self.take_spare().map_or_else(|| self.make(bytes_of), Ok)
    }

    /// Opens a file that is in use to write on in it.
    pub(crate) fn reopen(&self, slot: u64) -> Result<TakenFile, StorageError> {
        open_slot(&self.folder, slot)
    }

    /// Makes the first file of a journal, if there is none: a journal without any has lost them.
    pub(crate) fn prepare_first(&self) -> Result<(), StorageError> {
        let is_first = {
            let files = self.files();
            files.spare.is_empty() && files.live.is_empty()
        };
        if is_first {
            let slot = self.make(|slot| first_bytes(slot).unwrap_or(FILE_BYTES))?;
            self.files().spare.push(slot);
        }
        Ok(())
    }

    /// Makes a file ahead of use, if one was asked for, none is ready, and another is allowed;
    /// whether it did.
    pub(crate) fn prepare_wanted(&self) -> Result<bool, StorageError> {
        if !self.is_another_wanted() {
            return Ok(false);
        }
        let _making = self.making.lock();
        if !self.is_another_wanted.swap(false, Ordering::Relaxed) {
            return Ok(false);
        }
        let made = {
            let files = self.files();
            if !files.spare.is_empty() || files.live.len() >= MAX_LIVE_FILES {
                return Ok(false);
            }
            files.live.len()
        };
        let doublings = u32::try_from(made).unwrap_or(u32::MAX).min(32);
        let least = self.last_write_bytes.load(Ordering::Relaxed).saturating_mul(WRITES_A_FILE);
        let slot =
            self.make(|slot| first_bytes(slot).unwrap_or(FILE_BYTES << doublings).max(least))?;
        self.files().spare.push(slot);
        Ok(true)
    }

    /// Gives up the files all of whose events are at or before a position: those are in segments
    /// , synced. The last one is never given up.
    pub(crate) fn give_up_through(&self, sealed_through: Position) {
        let mut given_up = Vec::new();
        {
            let mut files = self.files();
            while let Some(next) = files.live.get(1)
                && next.first_position.previous() <= sealed_through
                && let Some(file) = files.live.pop_front()
            {
                given_up.push(file.slot);
            }
        }
        // Nobody uses them meanwhile.
        given_up.retain(|slot| !self.remove_if_short(*slot));
        self.files().spare.extend(given_up);
    }

    /// Removes a file that is not used and too short to be used again; whether it was.
    fn remove_if_short(&self, slot: u64) -> bool {
        let file = open_slot(&self.folder, slot);
        let is_short = file.is_ok_and(|file| file.bytes < FILE_BYTES.min(self.max_file_bytes));
        // One that stays is used again.
        is_short && self.folder.remove_journal_file(slot).is_ok()
    }

    /// Makes a file of zeros, synced, at most as long as the options say; its slot.
    fn make(&self, bytes_of: impl FnOnce(u64) -> u64) -> Result<u64, StorageError> {
        let slot = {
            let mut files = self.files();
            files.next_slot += 1;
            files.next_slot - 1
        };
        let file = self.folder.create_journal_file(slot)?;
        file.fill_with_zeros(0, bytes_of(slot).min(self.max_file_bytes))?;
        file.sync_all()?;
        self.folder.sync_journal_names()?;
        Ok(slot)
    }
}

/// The bytes of a file that is among the first of a store.
fn first_bytes(slot: u64) -> Option<u64> {
    FIRST_FILES_BYTES.get(to_usize(slot)).copied()
}

fn open_slot(folder: &StoreFolder, slot: u64) -> Result<TakenFile, StorageError> {
    let file = folder.open_journal_file(slot, Access::ReadWrite)?;
    let bytes = file.bytes()?;
    Ok(TakenFile { slot, file, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmbeddedLog;

    #[test]
    fn a_file_is_never_shorter_than_what_is_to_be_written_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        EmbeddedLog::open(&path).unwrap().close().unwrap();
        let files = JournalFiles::new(&StoreFolder::at(&path), 128 << 10, FileSet::default());
        let first = files.take(Position::new(1), 512).unwrap();
        assert_eq!(first.bytes, 128 << 10);
        let large = files.take(Position::new(2), 300_000).unwrap();
        assert_eq!(large.bytes, 300_000);
        assert!(large.file.read_all().unwrap() == vec![0; 300_000]);
        // Used again, it is as long as it was.
        files.take(Position::new(3), 512).unwrap();
        files.give_up_through(Position::new(2));
        assert_eq!(files.take(Position::new(4), 512).unwrap().bytes, 300_000);
    }

    #[test]
    fn the_short_files_of_a_small_store_are_gone_once_it_has_grown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        EmbeddedLog::open(&path).unwrap().close().unwrap();
        let store = StoreFolder::at(&path);
        let files = JournalFiles::new(&store, 16 << 20, FileSet::default());
        let mut lengths = Vec::new();
        for first in 1..=5 {
            lengths.push(files.take(Position::new(first), 512).unwrap().bytes);
            files.want_another();
            files.prepare_wanted().unwrap();
        }
        assert_eq!(lengths, [256 << 10, 384 << 10, 1 << 20, 8 << 20, 16 << 20]);
        files.give_up_through(Position::new(1));
        assert_eq!(store.journal_slots().unwrap(), [1, 2, 3, 4, 5]);
        files.give_up_through(Position::new(4));
        // The longer ones are used again.
        assert_eq!(store.journal_slots().unwrap(), [2, 3, 4, 5]);
        assert_eq!(files.live_slots(), [4]);
        let again = files.take(Position::new(6), 512).unwrap();
        assert_eq!((again.slot, again.bytes), (3, 8 << 20));
    }
}
