//! The journal being written: frames at the end of a file, a group of them in one write, made
//! durable by one sync: `real.rs` of disk.

pub(crate) mod files;
mod fits;
pub(crate) mod frame;
pub(crate) mod fresh_tail;
pub(crate) mod scan;
pub(crate) mod segments;
pub(crate) mod window;

use std::sync::Arc;

use spacefold_event_core::{Position, StorageError, bytes::to_u64};

use self::{
    files::{JournalFiles, TakenFile},
    frame::{FILE_HEADER_BYTES, FileHeader, FrameContext, GROUP_ALIGNMENT},
};
use crate::{
    head::{Head, extension::Witness, sessions::Sessions},
    run::RecordRun,
};

/// Where the journal goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalEnd {
    /// The file to write on in; with none, the next group begins a new one.
    pub(crate) slot: Option<u64>,
    /// The highest number that a file has had; 0 when there was none.
    pub(crate) number: u64,
    /// The bytes of the file in use, a multiple of [`GROUP_ALIGNMENT`].
    pub(crate) offset: u64,
    /// The checksum of the last frame.
    pub(crate) crc: u32,
    /// The position of the last event.
    pub(crate) head: Position,
}

impl JournalEnd {
    /// The last frame; `None` when there is none.
    pub(crate) fn witness(&self) -> Option<Witness> {
        let Self { crc, head: position, .. } = *self;
        (self.number > 0 && position > Position::START).then_some(Witness { position, crc })
    }
}

/// Writes frames.
pub(crate) struct Journal {
    files: Arc<JournalFiles>,
    store_id: [u8; 16],
    incarnation: u64,
    sessions: Sessions,
    end: JournalEnd,
    file: Option<TakenFile>,
    /// What is written behind this position is not synced yet.
    synced: Position,
    group: Vec<u8>,
    /// The checksum of the last frame of the group.
    group_crc: u32,
}

impl Journal {
    /// Goes on where the journal ends, under HEAD's newest incarnation. All of it up to there must be on disk.
    pub(crate) fn new(files: &Arc<JournalFiles>, head: &Head, end: JournalEnd) -> Self {
        Self {
            files: Arc::clone(files),
            store_id: head.store_id,
            incarnation: head.incarnation,
            sessions: head.sessions.clone(),
            end,
            file: None,
            synced: end.head,
            group: vec![0; FILE_HEADER_BYTES],
            group_crc: end.crc,
        }
    }

    /// Adds a frame to the group; nothing is written yet.
    pub(crate) fn add(&mut self, runs: &[RecordRun]) {
        let context = FrameContext {
            store_id: self.store_id,
            incarnation: self.incarnation,
            previous_crc: self.group_crc,
        };
        self.group_crc = frame::encode(&mut self.group, &context, self.synced, runs);
    }

    /// The bytes of the group so far.
    pub(crate) fn group_bytes(&self) -> usize {
        self.group.len() - FILE_HEADER_BYTES
    }

    /// Whether the group will begin a new file.
    pub(crate) fn needs_file(&self) -> bool {
        let room = match &self.file {
            Some(file) => file.bytes.saturating_sub(self.end.offset),
            // Looked at when it is opened.
            None if self.end.slot.is_some() => u64::MAX,
            None => 0,
        };
        to_u64(self.group_bytes()) > room
    }

    /// Whether more than half of the file is used, three quarters of a small one: the next one should be
    /// made ready.
    pub(crate) fn nears_file_end(&self) -> bool {
        let is_near = |file: &TakenFile| {
            let rest = if file.bytes < files::FILE_BYTES { file.bytes / 4 } else { file.bytes / 2 };
            self.end.offset + rest > file.bytes
        };
        self.file.as_ref().is_some_and(is_near)
    }

    /// Writes the group, whose last event is at `head`; it is not durable yet. After an error
    /// nothing is known of the group, and the journal must not be used.
    pub(crate) fn write(&mut self, head: Position) -> Result<(), StorageError> {
        self.group.resize(self.group.len().next_multiple_of(GROUP_ALIGNMENT), 0);
        if self.file.is_none()
            && let Some(slot) = self.end.slot
        {
            self.file = Some(self.files.reopen(slot)?);
        }
        if self.needs_file() {
            self.write_to_new_file()?
        } else {
            self.write_on()?
        }
        self.end.crc = self.group_crc;
        self.end.head = head;
        self.group.truncate(FILE_HEADER_BYTES);
        Ok(())
    }

    /// Makes durable what has been written. After an error nothing is known of what was written
    /// since the last sync; the journal must not be used, nor synced again.
    pub(crate) fn sync(&mut self) -> Result<(), StorageError> {
        if let Some(taken) = &self.file {
            taken.file.sync_data()?;
        }
        self.synced = self.end.head;
        Ok(())
    }

    fn write_on(&mut self) -> Result<(), StorageError> {
        let Some(TakenFile { file, .. }) = &self.file else {
            return Err(StorageError::new("writing the journal", "no file is open"));
        };
        let group = self.group.get(FILE_HEADER_BYTES..).unwrap_or_default();
        file.write_all_at(group, self.end.offset)?;
        self.end.offset += to_u64(group.len());
        Ok(())
    }

    /// Writes the group to a new file, behind its header, in one write. Everything before is synced
    /// first: that a file was begun proves it.
    fn write_to_new_file(&mut self) -> Result<(), StorageError> {
        if self.synced < self.end.head {
            self.sync()?;
        }
        let first_position = self.end.head.next();
        let taken = self.files.take(first_position, to_u64(self.group.len()))?;
        self.end.number += 1;
        let header = FileHeader {
            store_id: self.store_id,
            incarnation: self.incarnation,
            file_number: self.end.number,
            first_position,
            previous_crc: self.end.crc,
            sessions: self.sessions.clone(),
        };
        if let Some(place) = self.group.get_mut(..FILE_HEADER_BYTES) {
            place.copy_from_slice(&header.encode());
        }
        taken.file.write_all_at(&self.group, 0)?;
        self.end.offset = to_u64(self.group.len());
        self.end.slot = Some(taken.slot);
        self.file = Some(taken);
        Ok(())
    }

    /// Where the journal goes on.
    pub(crate) fn end(&self) -> JournalEnd {
        self.end
    }
}
