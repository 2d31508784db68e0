//! Making a store of what a backup has: segments and frames, up to a position, on a timeline of its own.
//!
//! Every block and frame is unpacked and held against its checksum, its hash and the chain before it is
//! written. A block or run that goes on beyond the position is encoded anew without what is beyond.
//! HEAD comes last, so that a folder in which that was interrupted is no store. Everything else
//! of a store is derived: opening makes it.

use std::sync::Arc;

use spacefold_disk::{File, Folder as DiskFolder};
use spacefold_event_core::{
    LogIdentity, Position, RecordedEvent, Records, Schemas, StorageError, TimelineFork, Timestamp,
    bytes::to_u64,
};

use crate::{
    block::{self, BlockHash, EncodedBlock, plan, segment},
    folder::{HEAD, JOURNAL, LOCK, SEALED, journal_name, segment_name},
    follower::{BackupHead, NO_INCARNATION},
    head::{
        Fence, Head,
        extension::Witness,
        format_version::FormatVersion,
        sessions::{Sessions, StoreSession, next_incarnation},
    },
    head_file::HeadFile,
    journal::frame::{self, FILE_HEADER_BYTES, FileHeader, FrameContext, GROUP_ALIGNMENT},
    run::RecordRun,
};

/// Numbers of sessions beyond this leave no room for later ones.
const MAX_INCARNATION: u64 = u64::MAX / 2;

/// Why what a backup has becomes no store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogRestoreError {
    /// What it has is damaged, of another store, or does not follow what comes before.
    #[error("the events from position {position} on do not restore: {what}")]
    Damaged {
        /// The first position that cannot be restored.
        position: Position,
        /// What is wrong.
        what: String,
    },
    /// It has fewer events than were asked for.
    #[error("the events end at position {end}, before position {asked}")]
    Ends {
        /// The last position that there is.
        end: Position,
        /// The position asked for.
        asked: Position,
    },
    /// The disk or the operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A store that is being made of what a backup has, in a folder of its own. Nothing opens it before
/// [`LogRestore::finish`] has answered; what is left of one that was interrupted is removed as it is.
///
/// Give it the segments, then the frames, in order, as far as they reach the position.
#[derive(Debug)]
pub struct LogRestore {
    root: Arc<dyn DiskFolder>,
    journal: Arc<dyn DiskFolder>,
    sealed: Arc<dyn DiskFolder>,
    head: BackupHead,
    /// Those that are remembered, and the one that writes.
    sessions: Sessions,
    incarnation: u64,
    through: Position,
    end: Position,
    last_recorded_at: Timestamp,
    chain: (Position, BlockHash),
    /// The last block of the segments, for a journal that has nothing else.
    last_block: Option<RecordRun>,
    frames: Option<FramesFile>,
    schemas: &'static Schemas,
}

/// The one file of the journal, as far as it is written.
#[derive(Debug)]
struct FramesFile {
    file: Arc<dyn File>,
    first: Position,
    offset: u64,
    crc: u32,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredPoint {
    /// The position of the last event; 0 where there is none.
    pub position: Position,
    /// When that was recorded; the earliest time there is where there is none.
    pub recorded_at: Timestamp,
    /// The hash of the last block in a segment, and the last position in it.
    pub chain: (Position, [u8; 32]),
    /// The log and its new timeline.
    pub identity: LogIdentity,
}

impl LogRestore {
    /// Begins in an empty folder: a store of this id, with all events up to a position. Sessions that
    /// began behind it are forgotten, and those after are on a timeline drawn at random.
    ///
    /// # Errors
    /// [`LogRestoreError`].
    pub fn begin(
        root: Arc<dyn DiskFolder>,
        head: BackupHead,
        through: Position,
    ) -> Result<Self, LogRestoreError> {
        let damaged = |what: &str| LogRestoreError::Damaged {
            position: Position::new(1),
            what: what.to_owned(),
        };
        if FormatVersion::of_number(head.format_version).is_none() {
            return Err(damaged(&format!("format {} is unknown", head.format_version)));
        }
        let sessions = head.session_list().ok_or_else(|| damaged("sessions that do not ascend"))?;
        let newest = sessions.newest().map_or(0, |newest| newest.incarnation);
        if newest > head.incarnation || head.incarnation > MAX_INCARNATION {
            return Err(damaged("a session whose number cannot be"));
        }
        let before = sessions.iter().filter(|session| session.after < through);
        let mut sessions = Sessions::new(before.collect()).unwrap_or_default();
        let incarnation = next_incarnation(head.incarnation);
        sessions.push(StoreSession { incarnation, after: through });
        let mode = root.mode();
        let journal = root.create_folder(JOURNAL.as_ref(), mode)?;
        let sealed = root.create_folder(SEALED.as_ref(), mode)?;
        let chain = (Position::START, block::genesis(head.store_id));
        Ok(Self {
            root,
            journal,
            sealed,
            head,
            sessions,
            incarnation,
            through,
            end: Position::START,
            last_recorded_at: Timestamp::MIN,
            chain,
            last_block: None,
            frames: None,
            schemas: Schemas::today(),
        })
    }

    /// The position of the last event that it has been given.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// Whether it has all that it needs.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.end >= self.through
    }

    /// Takes the next segment, and writes it, synced. One that begins beyond the position is left out.
    ///
    /// # Errors
    /// [`LogRestoreError`]: nothing of it counts.
    ///
    /// # Cost
    /// Unpacks and hashes all of it.
    pub fn segment(&mut self, bytes: &[u8]) -> Result<(), LogRestoreError> {
        if self.is_whole() {
            return Ok(());
        }
        let store_id = self.head.store_id;
        let index = segment::parse(bytes, store_id).map_err(|error| self.damaged(&error))?;
        if index.first_position != self.end.next() || self.frames.is_some() {
            return Err(self.damaged(&format!("a segment from {} on", index.first_position)));
        }
        let mut kept = Vec::new();
        for entry in &index.blocks {
            let stored = entry.of(bytes);
            let block = block::decode(stored, store_id, self.schemas);
            let block = block.map_err(|error| self.damaged(&error))?;
            block.verify_hash().map_err(|error| self.damaged(&error))?;
            let follows = block.records.first_position() == self.end.next();
            if !follows || block.previous != self.chain.1 {
                return Err(self.damaged(&"a block that does not follow the one before"));
            }
            let (last, hash) = (block.records.last_position(), block.hash);
            let run = block.into_run().map_err(|error| self.damaged(&error))?;
            if last > self.through {
                self.put(&run)?;
                break;
            }
            self.last_recorded_at = run.records.last_recorded_at();
            (self.end, self.chain) = (last, (last, hash));
            self.last_block = Some(run);
            kept.push(EncodedBlock { bytes: stored.to_vec(), hash });
            if self.is_whole() {
                break;
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let file = self.sealed.create(&segment_name(index.first_position))?;
        if kept.len() == index.blocks.len() {
            if self.chain != (index.last_position, index.last_hash) {
                return Err(self.damaged(&"a segment that ends elsewhere than it says"));
            }
            file.write_whole(&[bytes])?;
        } else {
            let shorter = segment::encode(store_id, &kept).map_err(|error| self.damaged(&error))?;
            file.write_whole(&shorter.parts())?;
        }
        Ok(file.sync_all()?)
    }

    /// Takes the next frames. What it has of them already is left out.
    ///
    /// # Errors
    /// [`LogRestoreError`].
    pub fn frames(&mut self, bytes: &[u8]) -> Result<(), LogRestoreError> {
        let (mut rest, mut previous_crc) = (bytes, 0);
        while !rest.is_empty() && !self.is_whole() {
            let frame = frame::parse(rest, self.head.store_id, self.schemas);
            let frame = frame.map_err(|error| self.damaged(&error))?;
            let (header, len) = (frame.header, frame.bytes.len());
            if header.previous_crc != previous_crc || header.incarnation != NO_INCARNATION {
                return Err(self.damaged(&"a frame that does not follow the one before"));
            }
            previous_crc = header.crc;
            for run in frame.runs().map_err(|error| self.damaged(&error))? {
                let (first, last) = (run.records.first_position(), run.records.last_position());
                if first > self.end.next() {
                    return Err(self.damaged(&format!("the next frame begins at {first}")));
                }
                if last > self.end && !self.is_whole() {
                    self.put(&run)?;
                }
            }
            rest = rest.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes the rest, and HEAD last: all of it synced.
    ///
    /// # Errors
    /// [`LogRestoreError::Ends`] when it was given too little, and others: there is no store then.
    pub fn finish(mut self) -> Result<RestoredPoint, LogRestoreError> {
        if !self.is_whole() {
            return Err(LogRestoreError::Ends { end: self.end, asked: self.through });
        }
        // A journal without a frame has lost them.
        if self.frames.is_none()
            && let Some(run) = self.last_block.take()
        {
            self.write(&run)?;
        }
        let Self { head: of, end, chain, .. } = &self;
        let parent = of.identity;
        let fork = TimelineFork { parent: parent.timeline, position: *end };
        let identity = LogIdentity { fork: Some(fork), ..LogIdentity::created(parent.log_id) };
        let mut head = Head {
            format_version: FormatVersion::Second,
            sequence: 0,
            store_id: of.store_id,
            incarnation: 0,
            durable_head: *end,
            clean: self.frames.is_none(),
            sealed_through: chain.0,
            sealed_hash: chain.1,
            created_at: of.created_at,
            healed: 0,
            fence: Fence::default(),
            witness: None,
            sessions: Sessions::default(),
            identity,
        };
        let point = RestoredPoint {
            position: *end,
            recorded_at: self.last_recorded_at,
            chain: *chain,
            identity,
        };
        if let Some(frames) = &self.frames {
            (head.sessions, head.incarnation) = (self.sessions.clone(), self.incarnation);
            let header = self.file_header(frames.first);
            frames.file.write_all_at(&header.encode(), 0)?;
            let padded = frames.offset.next_multiple_of(to_u64(GROUP_ALIGNMENT));
            frames.file.fill_with_zeros(frames.offset, padded)?;
            frames.file.sync_all()?;
            head.fence = Fence { position: frames.first, incarnation: head.incarnation };
            head.witness = Some(Witness { position: *end, crc: frames.crc });
        }
        self.root.create(LOCK)?;
        [&self.journal, &self.sealed].into_iter().try_for_each(|folder| folder.sync())?;
        HeadFile::create(self.root.create(HEAD)?.as_ref(), &head)?;
        self.root.sync()?;
        Ok(point)
    }

    /// Puts a run into the journal, as far as it is wanted.
    fn put(&mut self, run: &RecordRun) -> Result<(), LogRestoreError> {
        let first = run.records.first_position();
        if run.records.last_position() <= self.through {
            return self.write(run);
        }
        let count = usize::try_from(self.through.next().since(first)).unwrap_or(usize::MAX);
        let cut = plan::begin_of(run, count, self.schemas);
        let (body, records) = cut.map_err(|error| self.damaged(&error))?;
        self.write(&RecordRun { records, body })
    }

    /// Writes a run as a frame.
    fn write(&mut self, run: &RecordRun) -> Result<(), LogRestoreError> {
        let first = run.records.first_position();
        if self.frames.is_none() {
            let file = self.journal.create(&journal_name(0))?;
            let offset = to_u64(FILE_HEADER_BYTES);
            self.frames = Some(FramesFile { file, first, offset, crc: 0 });
        }
        let (store_id, incarnation) = (self.head.store_id, self.incarnation);
        if let Some(frames) = &mut self.frames {
            let context = FrameContext { store_id, incarnation, previous_crc: frames.crc };
            let mut bytes = Vec::new();
            let one = std::slice::from_ref(run);
            frames.crc = frame::encode(&mut bytes, &context, first.previous(), one);
            frames.file.write_all_at(&bytes, frames.offset)?;
            frames.offset += to_u64(bytes.len());
        }
        self.end = run.records.last_position();
        self.last_recorded_at = run.records.last_recorded_at();
        Ok(())
    }

    fn file_header(&self, first_position: Position) -> FileHeader {
        FileHeader {
            store_id: self.head.store_id,
            incarnation: self.incarnation,
            file_number: 1,
            first_position,
            previous_crc: 0,
            sessions: self.sessions.clone(),
        }
    }

    fn damaged(&self, what: &dyn std::fmt::Display) -> LogRestoreError {
        LogRestoreError::Damaged { position: self.end.next(), what: what.to_string() }
    }
}

/// The position of the last event of a segment that was recorded at a time or before; `None` where the
/// first one was recorded later.
///
/// # Errors
/// [`LogRestoreError::Damaged`] when it does not read.
///
/// # Cost
/// Unpacks its blocks, up to the first with a later event.
pub fn segment_position_by(
    bytes: &[u8],
    store_id: [u8; 16],
    time: Timestamp,
) -> Result<Option<Position>, LogRestoreError> {
    let damaged = |error: block::BlockError| unread(&error);
    let index = segment::parse(bytes, store_id).map_err(damaged)?;
    let mut found = None;
    for entry in &index.blocks {
        let records = block::records(entry.of(bytes), store_id, Schemas::today());
        if !note_recorded_by(&records.map_err(damaged)?, time, &mut found) {
            break;
        }
    }
    Ok(found)
}

/// As [`segment_position_by`], of frames.
///
/// # Errors
/// [`LogRestoreError::Damaged`] when they do not read.
///
/// # Cost
/// Unpacks the events up to the first that was recorded later.
pub fn frames_position_by(
    bytes: &[u8],
    store_id: [u8; 16],
    time: Timestamp,
) -> Result<Option<Position>, LogRestoreError> {
    let damaged = |error: frame::FrameError| unread(&error);
    let (mut rest, mut found) = (bytes, None);
    while !rest.is_empty() {
        let frame = frame::parse(rest, store_id, Schemas::today()).map_err(damaged)?;
        let len = frame.bytes.len();
        for run in frame.runs().map_err(damaged)? {
            if !note_recorded_by(&run.records, time, &mut found) {
                return Ok(found);
            }
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(found)
}

/// Notes the last of the records that was recorded by a time; whether that is the last of all.
fn note_recorded_by(records: &Records, time: Timestamp, found: &mut Option<Position>) -> bool {
    let by = records.envelopes().take_while(|event| event.recorded_at <= time).last();
    *found = by.map(|event| event.position).or(*found);
    by.is_some_and(|event| event.position == records.last_position())
}

/// The events of a segment that come after a position.
///
/// # Errors
/// [`LogRestoreError::Damaged`] when it does not read.
///
/// # Cost
/// Unpacks its blocks from that position on, and decodes every event.
pub fn segment_events(
    bytes: &[u8],
    store_id: [u8; 16],
    after: Position,
) -> Result<Vec<RecordedEvent>, LogRestoreError> {
    let index = segment::parse(bytes, store_id).map_err(|error| unread(&error))?;
    let mut events = Vec::new();
    for entry in &index.blocks {
        let records = block::records(entry.of(bytes), store_id, Schemas::today());
        let records = records.map_err(|error| unread(&error))?;
        if records.last_position() > after {
            push_events(&records, after, &mut events)?;
        }
    }
    Ok(events)
}

/// As [`segment_events`], of frames.
///
/// # Errors
/// [`LogRestoreError::Damaged`] when they do not read.
///
/// # Cost
/// Unpacks all of them, and decodes every event after the position.
pub fn frames_events(
    bytes: &[u8],
    store_id: [u8; 16],
    after: Position,
) -> Result<Vec<RecordedEvent>, LogRestoreError> {
    let damaged = |error: frame::FrameError| unread(&error);
    let (mut rest, mut events) = (bytes, Vec::new());
    while !rest.is_empty() {
        let frame = frame::parse(rest, store_id, Schemas::today()).map_err(damaged)?;
        let len = frame.bytes.len();
        for run in frame.runs().map_err(damaged)? {
            push_events(&run.records, after, &mut events)?;
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(events)
}

/// Decodes the events after a position.
fn push_events(
    records: &Records,
    after: Position,
    events: &mut Vec<RecordedEvent>,
) -> Result<(), LogRestoreError> {
    for envelope in records.envelopes().filter(|event| event.position > after) {
        let event = envelope.decode().map_err(|error| unread(&error))?;
        events.push(event.to_owned_event());
    }
    Ok(())
}

fn unread(what: &dyn std::fmt::Display) -> LogRestoreError {
    LogRestoreError::Damaged { position: Position::START, what: what.to_string() }
}

#[cfg(test)]
mod tests;
