//! The index in files of its own: written as segments are, and read back when a store is opened.
//! Only blocks of segments are in it, so that a store that goes back to those keeps it.

use std::{fmt, sync::Arc};

use spacefold_disk::{Folder as DiskFolder, LazyFolder, MemoryDisk};
use spacefold_event_core::{Position, StorageError, Timestamp, bytes::ByteReader, lock::Lock};
use spacefold_runs::{Opened, PageCache, RunSet, RunsError, View};

use super::{
    BlockIndex,
    directory::{self, BlockEntry},
    rows::{self, IndexRow, KeptPostings, OPTIONS},
};
use crate::{
    block::{Block, BlockHash},
    error::OpenError,
};

/// The folder of the index, among what is derived from the log.
const FOLDER: &str = "block-index";
/// Bytes of pages that are kept for the next lookup.
const CACHE_BYTES: u64 = 8 << 20;
/// Blocks that are known of in one row of the directory.
const DIRECTORY_BLOCKS: usize = 64;
/// Blocks after which what is read to make the index is written.
const MAKING_BLOCKS: u32 = 1_024;
/// Bytes of postings in memory, about, after which it is too: many tags are in one block only.
const MAKING_BYTES: usize = 16 << 20;

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
}

/// How far the index on the disk goes.
pub(super) struct IndexExtent {
    pub(super) blocks: u32,
    pub(super) end: Position,
    pub(super) last_hash: BlockHash,
    pub(super) last_recorded_at: Timestamp,
}

impl IndexExtent {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.blocks.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.end.get().to_le_bytes());
        bytes.extend_from_slice(&self.last_hash);
        bytes.extend_from_slice(&self.last_recorded_at.as_micros().to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = ByteReader::new(bytes);
        Some(Self {
            blocks: bytes.u32()?,
            end: Position::new(bytes.u64()?),
            last_hash: bytes.array()?,
            last_recorded_at: Timestamp::from_micros(bytes.i64()?)?,
        })
    }
}

/// What becomes the next run.
pub(super) struct NewRows {
    pub(super) owner: IndexExtent,
    /// The first block that is not kept yet, and what is known of it and those after it.
    pub(super) first_block: u32,
    pub(super) directory: Vec<BlockEntry>,
    pub(super) postings: Vec<IndexRow>,
}

impl NewRows {
    fn rows(mut self) -> (Vec<IndexRow>, IndexExtent) {
        self.postings.sort_unstable();
        let chunks = (self.first_block..).step_by(DIRECTORY_BLOCKS);
        let chunks = chunks.zip(self.directory.chunks(DIRECTORY_BLOCKS));
        let directory =
            chunks.map(|(block, entries)| (rows::directory_key(block), directory::encode(entries)));
        (directory.chain(self.postings).collect(), self.owner)
    }
}

impl KeptIndex {
    /// The index in the folder for what is derived, and what it knows, if that fits the segments:
    /// `is_end` says whether a block that ends at a position has this hash. Nothing is changed. One that
    /// is lost, damaged or another log's is none: it is made anew.
    pub(crate) fn open(
        derived: &Arc<dyn DiskFolder>,
        genesis: BlockHash,
        is_end: impl FnOnce(Position, &BlockHash) -> bool,
    ) -> Result<(Self, BlockIndex), StorageError> {
        let folder = LazyFolder::within(derived, FOLDER);
        let cache = Arc::new(PageCache::new(CACHE_BYTES));
        let found = load(&folder, &cache, genesis, is_end).unwrap_or_else(|error| {
            tracing::warn!(%error, "the index of the blocks cannot be used: it is made anew");
            None
        });
        let (set, index) = match found {
            Some(found) => found,
            None => nothing(&folder, &cache, genesis)?,
        };
        Ok((Self { folder, cache, set: Lock::new(set) }, index))
    }

    /// As [`KeptIndex::open`], of the index as another process has written it since, to take the place
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
        let load = || load(&self.folder, &self.cache, genesis, &is_end).ok().flatten();
        // It may be in the middle of being written.
        let found = (0..OPENINGS).find_map(|_| load());
        let (set, mut index) = found.filter(|(_, index)| index.kept_blocks() > kept_blocks)?;
        *self.set.lock() = set;
        index.epoch = epoch + 1;
        Some(index)
    }

    /// Takes in the blocks from where the index ends on, and writes them if it may.
    pub(crate) fn catch_up(
        &self,
        index: &mut BlockIndex,
        may_write: bool,
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
        write(&mut self.set.lock(), through, access)
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
                let (found, doing) = (index.kept_blocks(), "making the index of the blocks anew");
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
                tracing::warn!(%error, "the index of the blocks is made anew in memory");
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
            true => {
                Ok(write(set, index.end(), &mut |change| change(index))
                    .map_err(StorageError::from)?)
            }
            false => Ok(()),
        }
    })?;
    if may_write && index.fresh_blocks() > 0 {
        write(set, index.end(), &mut |change| change(index)).map_err(StorageError::from)?;
    }
    Ok(())
}

/// Whether an index has so much in memory that it is to be kept.
pub(super) fn is_enough(index: &BlockIndex) -> bool {
    index.fresh_blocks() >= MAKING_BLOCKS || index.fresh_bytes() >= MAKING_BYTES
}

fn write(set: &mut RunSet, through: Position, access: WithIndex<'_>) -> Result<(), RunsError> {
    let mut new = None;
    access(&mut |index| new = index.new_rows(through));
    let Some(new) = new else { return Ok(()) };
    let (rows, owner) = new.rows();
    let changes = rows.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())));
    let written = set.write(changes, &owner.encode())?;
    set.adopt(written);
    let postings = KeptPostings(set.view().clone());
    access(&mut |index| index.note_kept(owner.blocks, postings.clone()));
    Ok(())
}

/// The set of a folder, and what it says of the blocks; `None` when there is none, or not of these.
fn load(
    folder: &Arc<dyn DiskFolder>,
    cache: &Arc<PageCache>,
    genesis: BlockHash,
    is_end: impl FnOnce(Position, &BlockHash) -> bool,
) -> Result<Option<(RunSet, BlockIndex)>, RunsError> {
    let opened = RunSet::open(Arc::clone(folder), OPTIONS, Arc::clone(cache))?;
    let Some(Opened { set, owner, .. }) = opened else { return Ok(None) };
    let owner = IndexExtent::decode(&owner).filter(|owner| is_end(owner.end, &owner.last_hash));
    let Some(owner) = owner else { return Ok(None) };
    let Some(entries) = read_directory(set.view(), owner.blocks)? else { return Ok(None) };
    let postings = KeptPostings(set.view().clone());
    Ok(Some((set, BlockIndex::kept_as(genesis, &owner, entries, postings))))
}

/// What is known of each block; `None` when that is not as many as there are.
fn read_directory(view: &View, blocks: u32) -> Result<Option<Vec<BlockEntry>>, RunsError> {
    let mut entries: Vec<BlockEntry> = Vec::new();
    let mut scan = view.scan(&rows::directory_key(0))?;
    while let Some((key, value)) = scan.next_row()?.filter(|(key, _)| rows::is_directory(key)) {
        let next = u32::try_from(entries.len()).ok();
        let Some(more) = directory::decode(value).filter(|_| rows::block_of(key) == next) else {
            return Ok(None);
        };
        entries.extend(more);
    }
    Ok(Some(entries).filter(|entries| u32::try_from(entries.len()) == Ok(blocks)))
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
    let entries = directory::decode(bytes);
    is_list || entries.is_some_and(|entries| directory::encode(&entries) == bytes)
}

impl fmt::Debug for KeptIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptIndex").finish_non_exhaustive()
    }
}
