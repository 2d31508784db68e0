//! The index in files of its own: written as segments are, and read back when a store is opened.
//! Only blocks of segments are in it, so that a store that goes back to those keeps it.

use std::{fmt, mem, sync::Arc, time::SystemTime};

use spacefold_disk::{Folder as DiskFolder, LazyFolder, MemoryDisk};
use spacefold_event_core::{Position, StorageError, Timestamp, bytes::ByteReader, lock::Lock};
use spacefold_runs::{Opened, PageCache, RunSet, RunsError};

use super::{
    BlockIndex,
    directory::DirectoryRow,
    rows::{self, IndexRow, KeptPostings, OPTIONS},
};
use crate::{
    block::{
        Block, BlockHash,
        segment::noted::{NotedSegment, NotedSegments},
    },
    error::OpenError,
};

/// The folder of the index, among what is derived from the log.
const FOLDER: &str = "block-index";
/// Bytes of pages that are kept for the next lookup.
const CACHE_BYTES: u64 = 8 << 20;
/// Blocks after which what is read to make the index is written.
const MAKING_BLOCKS: u32 = 1_024;
/// Bytes of postings in memory, about, after which it is too: many tags are in one block only.
const MAKING_BYTES: usize = 16 << 20;

/// Segments that nothing is noted of, after which that is made up for when the store is opened; fewer are
/// noted with the next run.
const MAX_UNNOTED: usize = 8;

/// How often an index that another process writes is opened before it is taken for none.
const OPENINGS: usize = 3;

/// Gives access to an index, which others may read meanwhile, and nobody else changes.
pub(crate) type WithIndex<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&mut BlockIndex));

/// What is done with a block.
pub(crate) type VisitBlock<'a> = &'a mut dyn FnMut(&Block) -> Result<(), OpenError>;

/// Hands every block from a position on to a visitor, in order.
pub(crate) type ReadBlocks<'a> = &'a dyn Fn(Position, VisitBlock<'_>) -> Result<(), OpenError>;

/// The index on the disk.
pub(crate) struct KeptIndex {
    folder: Arc<dyn DiskFolder>,
    cache: Arc<PageCache>,
    set: Lock<RunSet>,
    /// What is to be noted of segments with the next run.
    unnoted: Lock<Vec<NotedSegment>>,
}

/// An index as it lies in its folder, before it is held against the segments.
pub(crate) struct FoundIndex {
    folder: Arc<dyn DiskFolder>,
    cache: Arc<PageCache>,
    found: Option<(RunSet, IndexExtent)>,
}

impl FoundIndex {
    /// Looks into the folder for what is derived. Nothing is changed. An index that is lost or damaged
    /// is none: it is made anew.
    pub(crate) fn look(derived: &Arc<dyn DiskFolder>) -> Self {
        let folder = LazyFolder::within(derived, FOLDER);
        let cache = Arc::new(PageCache::new(CACHE_BYTES));
        let found = find(&folder, &cache).unwrap_or_else(|error| {
            tracing::warn!(%error, "the index of the blocks cannot be used: it is rebuilt");
            None
        });
        Self { folder, cache, found }
    }

    /// What is noted of segments.
    pub(crate) fn noted_segments(&self) -> NotedSegments {
        let Some((set, _)) = &self.found else { return NotedSegments::new() };
        read_noted(set).unwrap_or_else(|error| {
            tracing::warn!(%error, "what is noted of segments cannot be used: they are read");
            NotedSegments::new()
        })
    }

    /// The index, and what it knows, if that fits the segments: `is_end` says whether a block that ends
    /// at a position has this hash.
    pub(crate) fn open(
        self,
        genesis: BlockHash,
        is_end: impl FnOnce(Position, &BlockHash) -> bool,
    ) -> Result<(KeptIndex, BlockIndex), StorageError> {
        let Self { folder, cache, found } = self;
        let fitting = found.filter(|(_, owner)| is_end(owner.end, &owner.last_hash));
        let (set, index) = match fitting {
            Some(found) => kept_as(genesis, found),
            None => nothing(&folder, &cache, genesis)?,
        };
        Ok((KeptIndex { folder, cache, set: Lock::new(set), unnoted: Lock::default() }, index))
    }
}

/// How far the index on the disk goes.
pub(super) struct IndexExtent {
    pub(super) blocks: u32,
    /// The positions of the first event of the last block, and of its last.
    pub(super) last_first: Position,
    pub(super) end: Position,
    pub(super) last_hash: BlockHash,
    pub(super) last_recorded_at: Timestamp,
}

impl IndexExtent {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.blocks.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.last_first.get().to_le_bytes());
        bytes.extend_from_slice(&self.end.get().to_le_bytes());
        bytes.extend_from_slice(&self.last_hash);
        bytes.extend_from_slice(&self.last_recorded_at.as_micros().to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = ByteReader::new(bytes);
        Some(Self {
            blocks: bytes.u32()?,
            last_first: Position::new(bytes.u64()?),
            end: Position::new(bytes.u64()?),
            last_hash: bytes.array()?,
            last_recorded_at: Timestamp::from_micros(bytes.i64()?)?,
        })
    }
}

/// What becomes the next run.
pub(super) struct NewRows {
    pub(super) owner: IndexExtent,
    /// The blocks that are not kept yet.
    pub(super) directory: Vec<DirectoryRow>,
    pub(super) postings: Vec<IndexRow>,
}

impl NewRows {
    fn rows(self) -> (Vec<IndexRow>, IndexExtent) {
        let mut rows = self.postings;
        for row in &self.directory {
            let Some(first) = row.first() else { continue };
            rows.push((rows::directory_key(first), row.encode()));
            let number = rows::number_key(row.first_block);
            rows.push((number, first.get().to_le_bytes().to_vec()));
        }
        (rows, self.owner)
    }
}

impl KeptIndex {
    /// As [`FoundIndex::open`], of the index as another process has written it since, to take the place
    /// of an index of an epoch.
    pub(crate) fn open_again(
        &self,
        genesis: BlockHash,
        epoch: u64,
        is_end: impl Fn(Position, &BlockHash) -> bool,
    ) -> Result<BlockIndex, StorageError> {
        if let Some(index) = self.open_newer(genesis, (epoch, 0), is_end) {
            return Ok(index);
        }
        let (set, mut index) = nothing(&self.folder, &self.cache, genesis)?;
        *self.set.lock() = set;
        index.epoch = epoch + 1;
        Ok(index)
    }

    /// As [`KeptIndex::open_again`]; `None` where that has no more than so many blocks, or is none.
    pub(crate) fn open_newer(
        &self,
        genesis: BlockHash,
        (epoch, kept_blocks): (u64, u32),
        is_end: impl Fn(Position, &BlockHash) -> bool,
    ) -> Option<BlockIndex> {
        let fits =
            |owner: &IndexExtent| owner.blocks > kept_blocks && is_end(owner.end, &owner.last_hash);
        let find = || find(&self.folder, &self.cache).ok().flatten();
        // It may be in the middle of being written.
        let found = (0..OPENINGS).find_map(|_| find().filter(|(_, owner)| fits(owner)))?;
        let (set, mut index) = kept_as(genesis, found);
        *self.set.lock() = set;
        index.epoch = epoch + 1;
        Some(index)
    }

    /// Takes in the blocks from where the index ends on, and writes them if it may; with them, or else
    /// with the next run, what is to be noted of segments.
    pub(crate) fn catch_up(
        &self,
        index: &mut BlockIndex,
        may_write: bool,
        unnoted: &[NotedSegment],
        blocks_from: ReadBlocks<'_>,
    ) -> Result<(), OpenError> {
        let mut set = self.set.lock();
        if may_write && index.kept_blocks() == 0 {
            // Of another log, or another version: nothing is to name runs that are swept away.
            let removed = RunSet::remove(&self.folder);
            removed.unwrap_or_else(|error| tracing::warn!(%error, "a foreign index stays"));
        }
        make(&mut set, index, may_write, blocks_from)?;
        if may_write {
            self.unnoted.lock().extend_from_slice(unnoted);
            if unnoted.len() > MAX_UNNOTED && index.kept_blocks() > 0 {
                let note = self.write_noted(&mut set, index);
                note.unwrap_or_else(|error| tracing::warn!(%error, "segments are read again"));
            }
            let left = set.sweep();
            left.unwrap_or_else(|error| tracing::warn!(%error, "what a kill has left stays"));
        }
        Ok(())
    }

    /// Writes what is known of the blocks up to one that ends at a position, all of which are in
    /// segments. Costs in proportion to that; now and then some older runs are merged.
    ///
    /// # Errors
    /// [`RunsError`]: the index on the disk is as it was, and it may be tried again.
    pub(crate) fn keep(&self, through: Position, access: WithIndex<'_>) -> Result<(), RunsError> {
        let mut set = self.set.lock();
        let noted = self.take_settled();
        let kept = write(&mut set, through, &noted, access);
        if kept.is_err() {
            self.unnoted.lock().extend(noted);
        }
        kept
    }

    /// Has a segment noted with one of the next runs, so that opening need not read it.
    pub(crate) fn note_segment(&self, segment: NotedSegment) {
        self.unnoted.lock().push(segment);
    }

    /// What can be noted by now: a change to the file would be seen.
    fn take_settled(&self) -> Vec<NotedSegment> {
        let now = SystemTime::now();
        let mut unnoted = self.unnoted.lock();
        let (settled, others) =
            mem::take(&mut *unnoted).into_iter().partition(|noted| noted.stamp.is_settled(now));
        *unnoted = others;
        settled
    }

    /// Writes what is to be noted of segments alone.
    fn write_noted(&self, set: &mut RunSet, index: &mut BlockIndex) -> Result<(), RunsError> {
        let noted = self.take_settled();
        if noted.is_empty() {
            return Ok(());
        }
        let rows = noted_rows(&noted).collect();
        let written = write_rows(set, rows, &index.kept_extent());
        if written.is_err() {
            self.unnoted.lock().extend(noted);
        }
        written?;
        index.replace_kept(KeptPostings(set.view().clone()));
        Ok(())
    }

    /// Makes the index anew where it turned out to be damaged, unless that has been done since it was at
    /// `epoch`. Where nothing can be written it is made in memory.
    pub(crate) fn make_anew(
        &self,
        epoch: u64,
        genesis: BlockHash,
        access: WithIndex<'_>,
        blocks_from: ReadBlocks<'_>,
    ) -> Result<(), OpenError> {
        let mut set = self.set.lock();
        let mut kept = None;
        access(&mut |index| kept = (index.epoch() == epoch).then(|| index.kept_blocks()));
        let Some(kept) = kept else { return Ok(()) };
        let make = |folder: &Arc<dyn DiskFolder>| {
            let (mut set, mut index) = nothing(folder, &self.cache, genesis)?;
            let until = |from: Position, visit: VisitBlock<'_>| {
                let mut blocks = 0;
                blocks_from(from, &mut |block| {
                    blocks += 1;
                    if blocks <= kept { visit(block) } else { Ok(()) }
                })
            };
            make(&mut set, &mut index, true, &until)?;
            if index.kept_blocks() != kept {
                let (found, doing) = (index.kept_blocks(), "rebuilding the index of the blocks");
                let what = format!("the segments have {found} of {kept} blocks");
                return Err(StorageError::new(doing, what).into());
            }
            Ok((set, index))
        };
        let (made, index) = match make(&self.folder) {
            Ok(made) => {
                let left = made.0.sweep();
                left.unwrap_or_else(|error| tracing::warn!(%error, "the damaged index stays"));
                made
            }
            Err(OpenError::Storage(error)) if error.kind().forbids_writing_only() => {
                tracing::warn!(%error, "the index of the blocks is rebuilt in memory");
                make(&MemoryDisk::new().root())?
            }
            Err(error) => return Err(error),
        };
        *set = made;
        let postings = index.kept();
        access(&mut |index| index.replace_kept(postings.clone()));
        Ok(())
    }
}

/// A set without rows, and the index of a store without blocks.
fn nothing(
    folder: &Arc<dyn DiskFolder>,
    cache: &Arc<PageCache>,
    genesis: BlockHash,
) -> Result<(RunSet, BlockIndex), StorageError> {
    let set = RunSet::empty(Arc::clone(folder), OPTIONS, Arc::clone(cache))
        .map_err(StorageError::from)?;
    let index = BlockIndex::new(genesis, KeptPostings(set.view().clone()));
    Ok((set, index))
}

/// Takes blocks in, and writes them a few at a time.
fn make(
    set: &mut RunSet,
    index: &mut BlockIndex,
    may_write: bool,
    blocks_from: ReadBlocks<'_>,
) -> Result<(), OpenError> {
    blocks_from(index.end().next(), &mut |block| {
        index.add(&block.records, block.hash);
        match may_write && is_enough(index) {
            true => Ok(write(set, index.end(), &[], &mut |change| change(index))
                .map_err(StorageError::from)?),
            false => Ok(()),
        }
    })?;
    if may_write && index.fresh_blocks() > 0 {
        write(set, index.end(), &[], &mut |change| change(index)).map_err(StorageError::from)?;
    }
    Ok(())
}

/// Whether an index has so much in memory that it is to be kept.
pub(super) fn is_enough(index: &BlockIndex) -> bool {
    index.fresh_blocks() >= MAKING_BLOCKS || index.fresh_bytes() >= MAKING_BYTES
}

fn write(
    set: &mut RunSet,
    through: Position,
    noted: &[NotedSegment],
    access: WithIndex<'_>,
) -> Result<(), RunsError> {
    let mut new = None;
    access(&mut |index| new = index.new_rows(through));
    let Some(new) = new else { return Ok(()) };
    let (mut rows, owner) = new.rows();
    rows.extend(noted_rows(noted));
    write_rows(set, rows, &owner)?;
    let postings = KeptPostings(set.view().clone());
    access(&mut |index| index.note_kept(owner.blocks, postings.clone()));
    Ok(())
}

fn write_rows(
    set: &mut RunSet,
    mut rows: Vec<IndexRow>,
    owner: &IndexExtent,
) -> Result<(), RunsError> {
    rows.sort_unstable();
    let changes = rows.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())));
    let written = set.write(changes, &owner.encode())?;
    set.adopt(written);
    Ok(())
}

fn noted_rows(noted: &[NotedSegment]) -> impl Iterator<Item = IndexRow> {
    noted.iter().map(|noted| (rows::segment_key(noted.ends.first_position), noted.encode()))
}

/// The set of a folder, and how far it goes; `None` when there is none.
fn find(
    folder: &Arc<dyn DiskFolder>,
    cache: &Arc<PageCache>,
) -> Result<Option<(RunSet, IndexExtent)>, RunsError> {
    let opened = RunSet::open(Arc::clone(folder), OPTIONS, Arc::clone(cache))?;
    let Some(Opened { set, owner, .. }) = opened else { return Ok(None) };
    Ok(IndexExtent::decode(&owner).map(|owner| (set, owner)))
}

/// What a set knows of the blocks.
fn kept_as(genesis: BlockHash, (set, owner): (RunSet, IndexExtent)) -> (RunSet, BlockIndex) {
    let postings = KeptPostings(set.view().clone());
    let index = BlockIndex::kept_as(genesis, &owner, postings);
    (set, index)
}

fn read_noted(set: &RunSet) -> Result<NotedSegments, RunsError> {
    let mut noted = NotedSegments::new();
    let mut rows = set.view().scan(&rows::segment_key(Position::START))?;
    while let Some((key, value)) = rows.next_row()?
        && let Some(first) = rows::segment_of(key)
    {
        noted.extend(NotedSegment::decode(first, value).map(|segment| (first, segment)));
    }
    Ok(noted)
}

/// The newest blocks as values of the index, as they are kept; for tests that read them back.
#[cfg(feature = "fuzzing")]
pub(crate) fn encode_newest(index: &BlockIndex) -> Vec<u8> {
    let rows = index.new_rows(index.end()).map(|new| new.rows().0).unwrap_or_default();
    rows.into_iter().map(|(_, value)| value).max_by_key(Vec::len).unwrap_or_default()
}

/// Reads bytes as each value of the index; whether they are one as it is written.
#[cfg(feature = "fuzzing")]
pub(crate) fn reads_back(bytes: &[u8]) -> bool {
    use super::postings::{self, Posting, SpacePosting, TagPosting};

    fn is_list<P: Posting>(bytes: &[u8]) -> bool {
        postings::join::<P>((0, bytes), (7, bytes), &mut Vec::new());
        postings::decode::<P>(bytes, 0).is_some_and(|(after, listed)| {
            postings::encode(&listed.collect::<Vec<_>>(), after, 0) == bytes
        })
    }

    let _ = IndexExtent::decode(bytes);
    let is_list = is_list::<SpacePosting>(bytes) | is_list::<TagPosting>(bytes);
    let row = DirectoryRow::decode(bytes);
    let noted = NotedSegment::decode(Position::START, bytes);
    is_list
        || row.is_some_and(|row| row.encode() == bytes)
        || noted.is_some_and(|noted| noted.encode() == bytes)
}

impl fmt::Debug for KeptIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptIndex").finish_non_exhaustive()
    }
}
