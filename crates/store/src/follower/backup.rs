//! What an archiver takes of a store: the segments as they are, and frames of what is behind them, at
//! one moment. Whoever has the store, and whether it is open at all, makes no difference.

use std::io;

use spacefold_event_core::{
    LogIdentity, Position, ReadError, Records, StorageError, Timestamp, bytes::to_u64,
};

use super::{Follower, following::gone};
use crate::{
    block::{self, BlockHash},
    commitment::StateCommitment,
    folder::StoreFolder,
    head::{
        Head,
        sessions::{Kinship, Sessions, StoreSession},
    },
    journal::frame::{self, FrameContext},
    run::RecordRun,
};

/// Encoded frames are handed out in pieces of about this many bytes.
const PIECE_BYTES: usize = 8 << 20;
/// Frames outside of a journal are of no session.
pub(crate) const NO_INCARNATION: u64 = 0;

/// What a store says of itself, as a backup of it keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupHead {
    /// The identity of the store, the bytes of a UUID.
    pub store_id: [u8; 16],
    /// What a program has to know to read the store.
    pub format_version: u32,
    /// When the store was created.
    pub created_at: Timestamp,
    /// The log and its timeline.
    pub identity: LogIdentity,
    /// The number of the newest session that has written.
    pub incarnation: u64,
    /// The newest sessions, ascending: the number of each, and the last position before it.
    pub sessions: Vec<(u64, Position)>,
}

/// All of a log that is durable at one moment, to be copied: segments, which never change, and the
/// events behind them, which it holds in memory. It takes nothing from whoever has the store.
#[derive(Clone, Debug)]
pub struct BackupView {
    folder: StoreFolder,
    head: BackupHead,
    segments: Vec<BackupSegment>,
    runs: Vec<RecordRun>,
    end: Position,
    last_recorded_at: Timestamp,
}

/// A segment, as it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSegment {
    /// The position of its first event.
    pub first: Position,
    /// The position of its last event.
    pub last: Position,
    /// The hash of its last block, which stands for all events up to there.
    pub chain_hash: [u8; 32],
    /// Bytes of the file.
    pub bytes: u64,
}

/// The bytes of a segment, and what its blocks say.
#[derive(Clone, Debug)]
pub struct SegmentBytes {
    /// The file, byte for byte.
    pub bytes: Vec<u8>,
    /// When the last event was recorded.
    pub last_recorded_at: Timestamp,
    /// What its blocks say of states, in order.
    pub commitments: Vec<StateCommitment>,
}

/// Events as frames, outside of a journal.
#[derive(Clone, Debug)]
pub struct BackupFrames {
    /// The position of the first event.
    pub first: Position,
    /// The position of the last event.
    pub last: Position,
    /// When the last event was recorded.
    pub last_recorded_at: Timestamp,
    /// The frames, one after another.
    pub bytes: Vec<u8>,
}

impl Follower {
    /// All that is durable now, to be copied.
    ///
    /// # Errors
    /// As [`Follower::refresh`].
    ///
    /// # Cost
    /// As [`Follower::refresh`], and some 60 bytes of memory a segment. The events behind the segments
    /// are shared, not copied.
    pub fn backup_view(&self) -> Result<BackupView, ReadError> {
        self.refresh()?;
        let shared = &self.inner.shared;
        let following = self.inner.following.lock();
        let head = shared.lock_head_file().head().clone();
        let folder = shared.folder.clone();
        if head.identity != shared.identity {
            return Err(gone(&folder, "another timeline of it is in its place").into());
        }
        let segments = following.segments().files().iter().map(|ends| {
            let first = ends.first_position;
            let bytes = match folder.segment_stamp(first)? {
                Some(stamp) => stamp.bytes,
                None => folder.open_segment(first)?.bytes()?,
            };
            let (last, chain_hash) = (ends.last_position, ends.last_hash);
            Ok(BackupSegment { first, last, chain_hash, bytes })
        });
        let segments: Vec<BackupSegment> = segments.collect::<Result<_, StorageError>>()?;
        let view = shared.view();
        let sealed = following.segments().end();
        let (end, last_recorded_at) = (view.durable_head(), view.last_recorded_at());
        let runs: Vec<RecordRun> = view.tail.runs_from(sealed.next()).cloned().collect();
        drop(view);
        let first = runs.first().map(|run| run.records.first_position());
        if end > sealed && first.is_none_or(|first| first > sealed.next()) {
            let doing = format!("reading behind the segments of {}", folder.root().display());
            return Err(StorageError::new(doing, "events are in neither: try again").into());
        }
        let head = BackupHead::of(&head);
        Ok(BackupView { folder, head, segments, runs, end, last_recorded_at })
    }
}

impl BackupHead {
    fn of(head: &Head) -> Self {
        Self {
            store_id: head.store_id,
            format_version: head.format_version.number(),
            created_at: head.created_at,
            identity: head.identity,
            incarnation: head.incarnation,
            sessions: head.sessions.iter().map(|it| (it.incarnation, it.after)).collect(),
        }
    }

    /// The sessions; `None` where they are no list of any.
    pub(crate) fn session_list(&self) -> Option<Sessions> {
        let session = |&(incarnation, after): &(u64, Position)| StoreSession { incarnation, after };
        Sessions::new(self.sessions.iter().map(session).collect())
    }

    /// Whether a store that says this goes on from what it said at an earlier time, when its log ended
    /// at a position: what was there then is there now. `false` of an older copy of the store, and of
    /// one that went on apart. Where neither remembers far enough nothing is against it.
    #[must_use]
    pub fn goes_on_from(&self, earlier: &Self, end: Position) -> bool {
        let (Some(now), Some(then)) = (self.session_list(), earlier.session_list()) else {
            return false;
        };
        let is_one = self.store_id == earlier.store_id && self.identity == earlier.identity;
        // Numbers only rise.
        let newest = then.newest().map_or(0, |newest| newest.incarnation).max(earlier.incarnation);
        is_one
            && newest <= self.incarnation
            && match now.kinship(&then) {
                Kinship::Same | Kinship::Unknown => true,
                Kinship::FirstGoesOn(after) => after >= end,
                Kinship::SecondGoesOn(_) | Kinship::Parted => false,
            }
    }
}

impl BackupView {
    /// What the store says of itself.
    #[must_use]
    pub fn head(&self) -> &BackupHead {
        &self.head
    }

    /// The position of the last event; 0 where there is none.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// When the last event was recorded.
    #[must_use]
    pub fn last_recorded_at(&self) -> Timestamp {
        self.last_recorded_at
    }

    /// The segments, in order.
    #[must_use]
    pub fn segments(&self) -> &[BackupSegment] {
        &self.segments
    }

    /// The position of the last event in a segment.
    #[must_use]
    pub fn sealed_through(&self) -> Position {
        self.segments.last().map_or(Position::START, |segment| segment.last)
    }

    /// The hash of the last block in a segment, which stands for all events up to there; where there is
    /// none, that of the store's genesis.
    #[must_use]
    pub fn chain_hash(&self) -> [u8; 32] {
        let last = self.segments.last().map(|segment| segment.chain_hash);
        last.unwrap_or_else(|| block::genesis(self.head.store_id))
    }

    /// The bytes of a segment, each block held against its checksum and the chain.
    ///
    /// # Errors
    /// [`ReadError::Storage`] when it cannot be read, is damaged, or is not the one it was.
    ///
    /// # Cost
    /// Reads the file whole: some 8 MiB.
    pub fn read_segment(&self, segment: &BackupSegment) -> Result<SegmentBytes, ReadError> {
        let file = self.folder.open_segment(segment.first)?;
        let damaged = |what: &dyn std::fmt::Display| {
            let doing = format!("copying {}", file.path().display());
            StorageError::new(doing, io::Error::other(what.to_string()))
        };
        let bytes = file.read_all()?;
        let store_id = self.head.store_id;
        let index = block::segment::parse(&bytes, store_id).map_err(|error| damaged(&error))?;
        let found = (index.first_position, index.last_position, index.last_hash);
        if found != (segment.first, segment.last, segment.chain_hash) {
            return Err(damaged(&"it is another one than it was").into());
        }
        let mut chain: BlockHash = index.previous;
        let mut commitments = Vec::new();
        let mut last_block = &[][..];
        for entry in &index.blocks {
            let stored = entry.of(&bytes);
            let at = |error| damaged(&format!("{error}, at byte {}", entry.offset));
            let looked = block::look(stored, store_id).map_err(at)?;
            if looked.header.previous != chain {
                return Err(damaged(&"a block that does not follow the one before").into());
            }
            chain = looked.hash;
            commitments.extend(StateCommitment::decode(looked.extension));
            last_block = stored;
        }
        let schemas = self.folder.schemas();
        let last =
            block::records(last_block, store_id, schemas).map_err(|error| damaged(&error))?;
        if chain != segment.chain_hash {
            return Err(damaged(&"blocks that end in another hash").into());
        }
        Ok(SegmentBytes { bytes, last_recorded_at: last.last_recorded_at(), commitments })
    }

    /// The events behind a position, whole appends or parts of large ones, as frames in pieces of some 8
    /// MiB. The first may begin at or before the position.
    ///
    /// # Cost
    /// Copies their bytes.
    #[must_use]
    pub fn frames_after(&self, position: Position) -> Vec<BackupFrames> {
        let mut pieces: Vec<BackupFrames> = Vec::new();
        let mut previous_crc = 0;
        let is_behind = |run: &&RecordRun| run.records.last_position() > position;
        for run in self.runs.iter().filter(is_behind) {
            let begins = pieces.last().is_none_or(|piece| piece.bytes.len() >= PIECE_BYTES);
            if begins {
                previous_crc = 0;
                pieces.push(BackupFrames::before(&run.records));
            }
            let Some(piece) = pieces.last_mut() else { continue };
            let store_id = self.head.store_id;
            let context = FrameContext { store_id, incarnation: NO_INCARNATION, previous_crc };
            let known = run.records.first_position().previous();
            let one = std::slice::from_ref(run);
            previous_crc = frame::encode(&mut piece.bytes, &context, known, one);
            piece.last = run.records.last_position();
            piece.last_recorded_at = run.records.last_recorded_at();
        }
        pieces
    }

    /// Bytes of the bodies of the events behind a position: about what their frames take.
    #[must_use]
    pub fn frame_bytes_after(&self, position: Position) -> u64 {
        let behind = self.runs.iter().filter(|run| run.records.last_position() > position);
        behind.map(|run| to_u64(run.body_bytes())).sum()
    }
}

impl BackupFrames {
    fn before(records: &Records) -> Self {
        let (first, last_recorded_at) = (records.first_position(), records.first_recorded_at());
        Self { first, last: first.previous(), last_recorded_at, bytes: Vec::new() }
    }
}
