//! The HEAD file: what is known about the store before anything else is read.

use std::sync::Arc;

use spacefold_disk::{Access, File};
use spacefold_event_core::{Position, StorageError};

use crate::{
    error::{OpenError, StorePart},
    folder::StoreFolder,
    head::{self, HEAD_FILE_BYTES, Head, HeadError, format_version::FormatVersion, slot_offset},
};

/// How often a HEAD that is damaged is read again.
const READS_OF_DAMAGED: usize = 8;

/// The HEAD file, open; its two slots are written in turn.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: Arc<dyn File>,
    head: Head,
    damaged_slots: usize,
}

impl HeadFile {
    /// Fills the file of a new store, synced.
    pub(crate) fn create(file: &dyn File, head: &Head) -> Result<(), StorageError> {
        // Of real zeros: changing the head takes no space from a disk that has become full.
        file.write_all_at(&[0; HEAD_FILE_BYTES], 0)?;
        file.write_all_at(&head.encode_slot(), slot_offset(head.sequence))?;
        file.sync_all()
    }

    /// Reads the file of a store, which can be changed then.
    pub(crate) fn open(folder: &StoreFolder) -> Result<Self, OpenError> {
        Self::open_with(folder, Access::ReadWrite)
    }

    /// Reads the file of a store, where nothing can be written: to change it fails.
    pub(crate) fn open_to_read(folder: &StoreFolder) -> Result<Self, OpenError> {
        Self::open_with(folder, Access::Read)
    }

    fn open_with(folder: &StoreFolder, access: Access) -> Result<Self, OpenError> {
        let file = folder.open_head(access)?;
        let (head, damaged_slots) = Self::read(file.as_ref(), folder)?;
        Ok(Self { file, head, damaged_slots })
    }

    /// Reads the file again that another process writes, whose slots are never both being written; what
    /// is older than what was read before is not gone back to.
    pub(crate) fn read_again(&mut self, folder: &StoreFolder) -> Result<(), OpenError> {
        let (head, damaged_slots) = Self::read(self.file.as_ref(), folder)?;
        if head.sequence >= self.head.sequence || head.store_id != self.head.store_id {
            (self.head, self.damaged_slots) = (head, damaged_slots);
        }
        Ok(())
    }

    fn read(file: &dyn File, folder: &StoreFolder) -> Result<(Head, usize), OpenError> {
        // A byte more, so that a file that is longer is none.
        let read = || file.read_begin(HEAD_FILE_BYTES + 1);
        let mut bytes = read()?;
        let mut head = head::parse(&bytes);
        for _ in 0..READS_OF_DAMAGED {
            if head != Err(HeadError::Damaged) {
                break;
            }
            // Who follows a store may have met both slots while they were written, one after the other.
            bytes = read()?;
            head = head::parse(&bytes);
        }
        let root = folder.root();
        let head = head.map_err(|error| match error {
            HeadError::UnknownFormat { found } => OpenError::UnknownFormat {
                path: root.to_owned(),
                found,
                known: FormatVersion::NEWEST.number(),
            },
            HeadError::NotAStore => OpenError::NotAStore {
                path: root.to_owned(),
                what: "its HEAD file is none of ours".to_owned(),
            },
            HeadError::TwoStores => OpenError::PartsDiffer {
                path: root.to_owned(),
                part: StorePart::Head,
                what: "its two slots are of different stores".to_owned(),
            },
            HeadError::Damaged => OpenError::NotAStore {
                path: root.to_owned(),
                what: "both slots of its HEAD file are damaged".to_owned(),
            },
        })?;
        Ok((head, head::damaged_slots(&bytes)))
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &dyn File {
        self.file.as_ref()
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Whether a slot was damaged after the store was closed: a crash while HEAD is written leaves
    /// one, but not in a store that was closed since.
    pub(crate) fn is_damaged(&self) -> bool {
        self.head.clean && self.damaged_slots > 0
    }

    /// Goes on from what HEAD should have said; the next change writes it.
    pub(crate) fn mend(&mut self, mended: Head) {
        self.head = mended;
    }

    /// Takes the next incarnation for what goes on behind a position, and changes the head: durable
    /// in both slots, so that when one is damaged later the other still knows the incarnation of what
    /// was written since.
    pub(crate) fn begin_incarnation(
        &mut self,
        after: Position,
        change: impl FnOnce(&mut Head),
    ) -> Result<(), StorageError> {
        self.update(|head| {
            head.take_incarnation(after);
            change(head);
        })?;
        self.update(|_| {})
    }

    /// Says that a program has to know a version to read what is written from now on: durable in both
    /// slots, so that one which does not know it refuses the store whichever of them is left. To be
    /// called before that is written.
    pub(crate) fn raise_format_version(
        &mut self,
        version: FormatVersion,
    ) -> Result<(), StorageError> {
        self.update(|head| head.format_version = head.format_version.max(version))?;
        self.update(|_| {})
    }

    /// Changes the head and makes the change durable.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Head)) -> Result<(), StorageError> {
        let mut head = self.head.clone();
        change(&mut head);
        head.sequence += 1;
        self.file.write_all_at(&head.encode_slot(), slot_offset(head.sequence))?;
        self.file.sync_data()?;
        self.head = head;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_no_further_than_one_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("HEAD");
        fs::write(&path, b"SFHEAD\0\0").unwrap();
        // More than a process could hold.
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
        let refused = HeadFile::open(&StoreFolder::at(folder.path())).unwrap_err();
        assert!(matches!(refused, OpenError::NotAStore { .. }), "{refused}");
    }
}
