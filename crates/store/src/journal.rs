//! The journal being written: frames at the end of a file, made durable by one sync.

pub(crate) mod frame;
pub(crate) mod heal;
pub(crate) mod scan;
pub(crate) mod sealed_files;

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
};

use spacefold_event_core::{CorruptRecords, EncodedBody, Position, Records, StorageError};

use crate::{
    error::Doing,
    folder::{Folder, sync_folder},
    journal::frame::{FileHeader, Frame, FrameContext, GROUP_ALIGNMENT},
};

/// A file is left for the next once it has this many bytes.
const MAX_FILE_BYTES: u64 = 32 << 20;

/// Where the journal goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalEnd {
    /// The last file; 0 when there is none.
    pub(crate) number: u64,
    /// Its bytes in use, a multiple of [`GROUP_ALIGNMENT`].
    pub(crate) offset: u64,
    /// The checksum of the last frame.
    pub(crate) crc: u32,
    /// The position of the last event.
    pub(crate) head: Position,
}

/// Writes frames.
pub(crate) struct Journal {
    folder: Folder,
    store_id: [u8; 16],
    incarnation: u64,
    end: JournalEnd,
    file: Option<File>,
    group: Vec<u8>,
    /// The checksum of the last frame of the group.
    group_crc: u32,
}

impl Journal {
    pub(crate) fn new(
        folder: &Folder,
        store_id: [u8; 16],
        incarnation: u64,
        end: JournalEnd,
    ) -> Self {
        let folder = folder.clone();
        let group_crc = end.crc;
        Self { folder, store_id, incarnation, end, file: None, group: Vec::new(), group_crc }
    }

    /// Adds a frame to the group; nothing is written yet.
    pub(crate) fn add(&mut self, records: &Records, body: &EncodedBody) {
        let context = FrameContext {
            store_id: self.store_id,
            incarnation: self.incarnation,
            previous_crc: self.group_crc,
        };
        self.group_crc =
            frame::encode(&mut self.group, &context, self.end.head, records.assignments(), body);
    }

    /// The bytes of the group so far.
    pub(crate) fn group_bytes(&self) -> usize {
        self.group.len()
    }

    /// Writes the group and makes it durable: one write, one sync. `head` is the position of its
    /// last event. After an error nothing is known of the group, and the journal must not be used.
    pub(crate) fn commit(&mut self, head: Position) -> Result<(), StorageError> {
        self.group.resize(self.group.len().next_multiple_of(GROUP_ALIGNMENT), 0);
        if self.file.is_none() || self.end.offset >= MAX_FILE_BYTES {
            self.open_file()?;
        }
        let path = self.folder.journal_file(self.end.number);
        let Some(file) = &self.file else {
            return Err(StorageError::new("writing the journal", "no file is open"));
        };
        file.write_all_at(&self.group, self.end.offset)
            .doing(|| format!("writing {}", path.display()))?;
        if !cfg!(feature = "bug-skip-sync") {
            file.sync_data().doing(|| format!("syncing {}", path.display()))?;
        }
        self.end.offset += u64::try_from(self.group.len()).unwrap_or(u64::MAX);
        self.end.crc = self.group_crc;
        self.end.head = head;
        self.group.clear();
        Ok(())
    }

    /// Opens the file that frames go to: the last one while there is room in it, else a new one.
    fn open_file(&mut self) -> Result<(), StorageError> {
        if self.end.number > 0 && self.end.offset < MAX_FILE_BYTES {
            let path = self.folder.journal_file(self.end.number);
            let file = OpenOptions::new().read(true).write(true).open(&path);
            self.file = Some(file.doing(|| format!("opening {}", path.display()))?);
            return Ok(());
        }
        self.end.number += 1;
        let path = self.folder.journal_file(self.end.number);
        let doing = || format!("creating {}", path.display());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.doing(doing)?;
        let header = FileHeader {
            store_id: self.store_id,
            incarnation: self.incarnation,
            file_number: self.end.number,
            first_position: self.end.head.next(),
            previous_crc: self.end.crc,
        };
        let bytes = header.encode();
        file.write_all_at(&bytes, 0).doing(doing)?;
        file.sync_all().doing(doing)?;
        sync_folder(&self.folder.journal())?;
        self.end.offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.file = Some(file);
        Ok(())
    }

    /// Where the journal goes on.
    pub(crate) fn end(&self) -> JournalEnd {
        self.end
    }
}

/// A frame that was read back, to be written again under another incarnation.
pub(crate) struct ReadFrame {
    pub(crate) last: Position,
    pub(crate) synced_through: Position,
    pub(crate) records: Records,
    pub(crate) body: EncodedBody,
}

impl ReadFrame {
    pub(crate) fn new(frame: &Frame<'_>) -> Result<Self, CorruptRecords> {
        let records = frame.records()?;
        let body = EncodedBody { bytes: frame.body.to_vec(), count: records.len() };
        let synced_through = frame.header.synced_through;
        Ok(Self { last: frame.header.last_position(), synced_through, records, body })
    }
}

/// A journal file of these frames, under the incarnation of its header; and the checksum of the
/// last of them.
pub(crate) fn encode_file<'f>(
    header: &FileHeader,
    frames: impl IntoIterator<Item = &'f ReadFrame>,
) -> (Vec<u8>, u32) {
    let mut bytes = header.encode().to_vec();
    let mut crc = header.previous_crc;
    for frame in frames {
        let context = FrameContext {
            store_id: header.store_id,
            incarnation: header.incarnation,
            previous_crc: crc,
        };
        let assignments = frame.records.assignments();
        crc = frame::encode(&mut bytes, &context, frame.synced_through, assignments, &frame.body);
    }
    bytes.resize(bytes.len().next_multiple_of(GROUP_ALIGNMENT), 0);
    (bytes, crc)
}
