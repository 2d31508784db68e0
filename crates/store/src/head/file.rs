//! The HEAD file: what is known about the store before anything else is read.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use spacefold_event_core::{Position, StorageError, StoreMode, bytes::to_u32};

use crate::{
    error::{Doing, OpenError, StorePart},
    folder::access::open_new,
    head::{self, HEAD_FILE_BYTES, Head, HeadError, slot_offset},
};

/// The HEAD file, open; its two slots are written in turn.
#[derive(Debug)]
pub(crate) struct HeadFile {
    path: PathBuf,
    file: File,
    head: Head,
    damaged_slots: usize,
}

impl HeadFile {
    /// Makes the file of a new store, both slots written.
    pub(crate) fn create(path: &Path, head: &Head, mode: StoreMode) -> Result<(), StorageError> {
        let doing = || format!("creating {}", path.display());
        let file = open_new(OpenOptions::new().write(true).create_new(true), path, mode);
        let file = file.doing(doing)?;
        // Of real zeros: changing the head takes no space from a disk that has become full.
        file.write_all_at(&[0; HEAD_FILE_BYTES], 0).doing(doing)?;
        file.write_all_at(&head.encode_slot(), slot_offset(head.sequence)).doing(doing)?;
        file.sync_all().doing(doing)
    }

    /// Reads the file of a store, which can be changed then.
    pub(crate) fn open(path: &Path, root: &Path) -> Result<Self, OpenError> {
        Self::open_with(OpenOptions::new().write(true), path, root)
    }

    /// Reads the file of a store, where nothing can be written: to change it fails.
    pub(crate) fn open_to_read(path: &Path, root: &Path) -> Result<Self, OpenError> {
        Self::open_with(OpenOptions::new().read(true), path, root)
    }

    fn open_with(options: &OpenOptions, path: &Path, root: &Path) -> Result<Self, OpenError> {
        let bytes = read(path).doing(|| format!("reading {}", path.display()))?;
        let head = head::parse(&bytes).map_err(|error| match error {
            HeadError::UnknownFormat { found } => OpenError::UnknownFormat {
                path: root.to_owned(),
                found,
                known: head::FORMAT_VERSION,
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
        let file = options.open(path);
        let file = file.doing(|| format!("opening {}", path.display()))?;
        Ok(Self { damaged_slots: head::damaged_slots(&bytes), path: path.to_owned(), file, head })
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
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

    /// Changes the head and makes the change durable.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Head)) -> Result<(), StorageError> {
        let mut head = self.head.clone();
        change(&mut head);
        head.sequence += 1;
        self.file
            .write_all_at(&head.encode_slot(), slot_offset(head.sequence))
            .doing(|| format!("writing {}", self.path.display()))?;
        self.file.sync_data().doing(|| format!("syncing {}", self.path.display()))?;
        self.head = head;
        Ok(())
    }
}

/// What is in a file, as far as it may be a HEAD: one that is longer is none.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let most = HEAD_FILE_BYTES + 1;
    let mut bytes = Vec::with_capacity(most);
    File::open(path)?.take(u64::from(to_u32(most))).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_no_further_than_one_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("HEAD");
        std::fs::write(&path, b"SFHEAD\0\0").unwrap();
        // More than a process could hold.
        OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
        let refused = HeadFile::open(&path, folder.path()).unwrap_err();
        assert!(matches!(refused, OpenError::NotAStore { .. }), "{refused}");
    }
}
