//! What is known of the blocks without reading them: where each begins, what it holds, and which
//! blocks each space and each tag is in. Derived from the blocks, and kept only to open faster.
//!
//! In memory are the directory and the postings of the newest blocks, and the revisions of the spaces
//! that were used last. All else is in [runs](rows) on the disk, which are looked into while nobody is
//! held up: what is found there counts while the index is of the same epoch.

mod candidates;
mod directory;
mod fresh;
pub(crate) mod kept;
mod kept_directory;
mod postings;
mod revisions;
mod rows;
mod space_table;

use std::collections::VecDeque;

use spacefold_event_core::{EventFilter, Position, Records, Revision, Timestamp};

use self::{
    candidates::{BlockNumbers, MAX_CANDIDATES},
    directory::{BlockEntry, Directory, DirectoryRow},
    fresh::FreshPostings,
    kept::{IndexExtent, NewRows},
    postings::{SpacePosting, TagPosting},
    revisions::CachedRevisions,
};
pub(crate) use self::{
    candidates::{Candidates, FoundBlocks, is_by_postings},
    rows::KeptPostings,
};
use crate::block::BlockHash;

/// Blocks that are known of in one row of the directory.
const DIRECTORY_BLOCKS: usize = 64;

/// The directory of the blocks and the posting lists of the spaces and the tags.
#[derive(Debug)]
pub(crate) struct BlockIndex {
    /// Of the blocks that are not kept.
    directory: Directory,
    revisions: CachedRevisions,
    kept: KeptPostings,
    /// How often that has become another one.
    epoch: u64,
    /// What it does not have: of each space its revision after its postings too.
    fresh_spaces: FreshPostings<SpacePosting>,
    fresh_tags: FreshPostings<TagPosting>,
    ends: VecDeque<BlockEnd>,
    /// The last block that is kept.
    kept_end: BlockEnd,
}

/// The end of a block.
#[derive(Clone, Copy, Debug)]
struct BlockEnd {
    /// The positions of its first event and of its last.
    first: Position,
    position: Position,
    hash: BlockHash,
    last_recorded_at: Timestamp,
}

impl BlockIndex {
    /// The index of a store without blocks.
    pub(crate) fn new(genesis: BlockHash, kept: KeptPostings) -> Self {
        let start = BlockEnd {
            first: Position::START,
            position: Position::START,
            hash: genesis,
            last_recorded_at: Timestamp::MIN,
        };
        Self {
            directory: Directory::default(),
            revisions: CachedRevisions::none(),
            kept,
            epoch: 0,
            fresh_spaces: FreshPostings::default(),
            fresh_tags: FreshPostings::default(),
            ends: VecDeque::new(),
            kept_end: start,
        }
    }

    /// The index as it is kept.
    fn kept_as(genesis: BlockHash, owner: &IndexExtent, kept: KeptPostings) -> Self {
        let mut index = Self::new(genesis, kept);
        index.directory = Directory::begin_at(owner.blocks);
        index.kept_end = BlockEnd {
            first: owner.last_first,
            position: owner.end,
            hash: owner.last_hash,
            last_recorded_at: owner.last_recorded_at,
        };
        index.revisions.forget();
        index
    }

    /// Takes in the next block.
    pub(crate) fn add(&mut self, records: &Records, hash: BlockHash) {
        let block = self.directory.len();
        self.directory.push(BlockEntry::of(records));
        for (space_id, before, after) in records.spaces() {
            self.revisions.set(space_id, after);
            let posting = SpacePosting { block, base_revision: before.get() };
            self.fresh_spaces.add(space_id, posting, after);
        }
        for tag in records.distinct_tags() {
            self.fresh_tags.add(tag, TagPosting { block }, ());
        }
        self.ends.push_back(BlockEnd {
            first: records.first_position(),
            position: records.last_position(),
            hash,
            last_recorded_at: records.last_recorded_at(),
        });
    }

    fn last(&self) -> &BlockEnd {
        self.ends.back().unwrap_or(&self.kept_end)
    }

    /// The position of the last event in a block.
    pub(crate) fn end(&self) -> Position {
        self.last().position
    }

    pub(crate) fn last_hash(&self) -> BlockHash {
        self.last().hash
    }

    /// When the last event in a block was recorded.
    pub(crate) fn last_recorded_at(&self) -> Timestamp {
        self.last().last_recorded_at
    }

    pub(crate) fn block_count(&self) -> u64 {
        u64::from(self.directory.len())
    }

    /// The position of the first event of the last block; before every event where there is none.
    pub(crate) fn last_block(&self) -> Position {
        self.last().first
    }

    /// The first position of the block that holds a position; `None` where no block does, or one that
    /// [is kept](BlockIndex::is_kept).
    pub(crate) fn block_of(&self, position: Position) -> Option<Position> {
        if position > self.end() || self.is_kept(position) {
            return None;
        }
        self.directory.first(self.directory.block_of(position)?)
    }

    /// Whether a position is in a block that is kept: what is kept has to be asked which.
    pub(crate) fn is_kept(&self, position: Position) -> bool {
        position <= self.kept_end.position
    }

    /// The position of the last event in a block that is kept.
    pub(crate) const fn end_of_kept(&self) -> Position {
        self.kept_end.position
    }

    /// The postings and the directory that are on the disk, to be asked for what the index does not know
    /// in memory; and the epoch that they are of.
    pub(crate) fn kept(&self) -> KeptPostings {
        self.kept.clone()
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many blocks are kept.
    fn kept_blocks(&self) -> u32 {
        self.directory.begin()
    }

    /// The next blocks from the one that holds `from` on that may hold events that pass `filter`, some of
    /// them at least as far as was looked. `kept` is what is kept of them, of a filter that
    /// some events do not pass.
    pub(crate) fn candidates(
        &self,
        from: Position,
        filter: &EventFilter,
        kept: FoundBlocks,
    ) -> Candidates {
        if filter.is_all() {
            return Candidates::new(vec![(from, self.end())], self.end());
        }
        let FoundBlocks { mut blocks, end } = kept;
        if let Some(end) = end {
            return Candidates::new(blocks, end);
        }
        let start = self.directory.block_of(from).unwrap_or_else(|| self.kept_blocks());
        let may_hold = |block: &u32| {
            self.directory.get(*block).is_some_and(|entry| entry.may_hold(filter.event_types()))
        };
        if is_by_postings(filter) {
            let fresh = BlockNumbers::fresh(&self.fresh_spaces, &self.fresh_tags, filter, start);
            let end = fresh.end.unwrap_or_else(|| self.directory.len());
            let passing = fresh.blocks.into_iter().filter(may_hold);
            blocks.extend(passing.filter_map(|block| self.positions(block)));
            return Candidates::new(blocks, self.last_before(end));
        }
        let passing = (start..self.directory.len()).filter(may_hold).take(MAX_CANDIDATES);
        let fresh: Vec<_> = passing.filter_map(|block| self.positions(block)).collect();
        let last = fresh.last().filter(|_| fresh.len() == MAX_CANDIDATES);
        let through = last.map_or_else(|| self.end(), |(_, last)| *last);
        blocks.extend(fresh);
        Candidates::new(blocks, through)
    }

    /// The revision of a space after the last block; `None` where what is kept has to be asked.
    pub(crate) fn revision(&self, space_id: &str) -> Option<Revision> {
        let fresh = || self.fresh_spaces.after(space_id);
        self.revisions.get(space_id).or_else(fresh)
    }

    /// Notes a revision that was found in what is kept.
    pub(crate) fn note_revision(&mut self, space_id: &str, revision: Revision) {
        if self.revision(space_id).is_none() {
            self.revisions.set(space_id, revision);
        }
    }

    /// The first position of the newest block that is not kept and has events of a space before a
    /// revision.
    pub(crate) fn fresh_block_of_revision(
        &self,
        space_id: &str,
        revision: Revision,
    ) -> Option<Position> {
        self.fresh_spaces.after(space_id).filter(|newest| revision <= *newest)?;
        let is_before = |posting: &&SpacePosting| posting.base_revision < revision.get();
        let posting = self.fresh_spaces.of(space_id).iter().take_while(is_before).last()?;
        self.directory.first(posting.block)
    }

    /// The first position of the last block that is not kept whose first event was recorded at or before
    /// `time`.
    pub(crate) fn block_as_of(&self, time: Timestamp) -> Option<Position> {
        self.directory.first(self.directory.block_as_of(time)?)
    }

    /// Every space with its revision; `None` where what is kept has to be asked.
    pub(crate) fn spaces(&self) -> Option<impl Iterator<Item = (&str, Revision)>> {
        self.revisions.all()
    }

    /// The spaces of the blocks that are not kept, with their revisions.
    pub(crate) fn fresh_spaces(&self) -> impl Iterator<Item = (&str, Revision)> {
        self.fresh_spaces.iter()
    }

    /// How often revisions have been let go of, for [`BlockIndex::has_all_revisions`].
    pub(crate) const fn dropped_revisions(&self) -> u64 {
        self.revisions.dropped()
    }

    /// Says that all revisions of what is kept were noted since so many were let go of.
    pub(crate) const fn has_all_revisions(&mut self, dropped: u64) {
        self.revisions.complete(dropped);
    }

    /// Whether so much of it is in memory that it is to be kept, or read from where it is.
    pub(crate) fn has_much_in_memory(&self) -> bool {
        kept::is_enough(self)
    }

    /// How many blocks are not kept.
    fn fresh_blocks(&self) -> u32 {
        self.directory.len().saturating_sub(self.kept_blocks())
    }

    /// Bytes of the postings that are not kept, about.
    fn fresh_bytes(&self) -> usize {
        self.fresh_spaces.bytes() + self.fresh_tags.bytes()
    }

    /// What becomes the next run, of the blocks up to one that ends at a position; `None` when all of
    /// them are kept.
    fn new_rows(&self, through: Position) -> Option<NewRows> {
        let count = self.ends.partition_point(|end| end.position <= through);
        let last = self.ends.get(count.checked_sub(1)?)?;
        let first_block = self.kept_blocks();
        let blocks = first_block.saturating_add(u32::try_from(count).ok()?);
        let owner = Self::extent(blocks, last);
        let rows = self.fresh_spaces.rows(blocks).chain(self.fresh_tags.rows(blocks));
        let entries = self.directory.before(blocks).chunks(DIRECTORY_BLOCKS);
        let mut ends = self.ends.iter().take(count).map(|end| end.position);
        let directory = (first_block..).step_by(DIRECTORY_BLOCKS).zip(entries);
        let directory = directory.filter_map(|(first_block, entries)| {
            let end = ends.nth(entries.len().checked_sub(1)?)?;
            Some(DirectoryRow { first_block, end, entries: entries.to_vec() })
        });
        Some(NewRows { owner, directory: directory.collect(), postings: rows.collect() })
    }

    /// What is kept goes up to there.
    fn kept_extent(&self) -> IndexExtent {
        Self::extent(self.kept_blocks(), &self.kept_end)
    }

    fn extent(blocks: u32, last: &BlockEnd) -> IndexExtent {
        IndexExtent {
            blocks,
            last_first: last.first,
            end: last.position,
            last_hash: last.hash,
            last_recorded_at: last.last_recorded_at,
        }
    }

    /// Lets go of what is known of the first so many blocks: it is kept.
    fn note_kept(&mut self, blocks: u32, kept: KeptPostings) {
        let count = usize::try_from(blocks.saturating_sub(self.kept_blocks())).unwrap_or(0);
        if let Some(end) = self.ends.drain(..count.min(self.ends.len())).next_back() {
            self.kept_end = end;
        }
        self.fresh_spaces.release(blocks);
        self.fresh_tags.release(blocks);
        self.directory.release(blocks);
        self.replace_kept(kept);
    }

    fn replace_kept(&mut self, kept: KeptPostings) {
        self.kept = kept;
        self.epoch += 1;
    }

    /// Goes back to the blocks up to one that ends at a position, all of which are in segments.
    pub(crate) fn go_back_to(&mut self, end: Position) {
        let count = self.ends.partition_point(|known| known.position <= end);
        self.ends.truncate(count);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let blocks = self.kept_blocks().saturating_add(count);
        self.directory.truncate(blocks);
        self.fresh_spaces.truncate(blocks);
        self.fresh_tags.truncate(blocks);
        self.revisions.forget();
        self.epoch += 1;
    }

    /// The positions of the first and the last event of a block that is not kept.
    fn positions(&self, block: u32) -> Option<(Position, Position)> {
        let first = self.directory.first(block)?;
        Some((first, self.last_before(block.saturating_add(1))))
    }

    /// The position of the last event before a block.
    fn last_before(&self, block: u32) -> Position {
        self.directory.first(block).map_or(self.end(), Position::previous)
    }
}

#[cfg(test)]
mod tests;
