//! What is known of the blocks without reading them: where each begins, what it holds, and which
//! blocks each space and each tag is in. Derived from the blocks, and kept only to open faster.
//!
//! In memory are the directory of the blocks, the postings of the newest ones, and the revisions of the
//! spaces that were used last. All older postings are in [runs](rows) on the disk, which are looked into
//! while nobody is held up: what is found there counts while the index is of the same epoch.

mod candidates;
mod directory;
mod fresh;
pub(crate) mod kept;
mod postings;
mod revisions;
mod rows;
mod space_table;

use std::collections::VecDeque;

use spacefold_event_core::{EventFilter, Position, Records, Revision, Timestamp};

use self::{
    candidates::MAX_CANDIDATES,
    directory::{BlockEntry, Directory},
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

/// The directory of the blocks and the posting lists of the spaces and the tags.
#[derive(Debug)]
pub(crate) struct BlockIndex {
    directory: Directory,
    revisions: CachedRevisions,
    kept: KeptPostings,
    /// How many blocks that has.
    kept_blocks: u32,
    /// How often that has become another one.
    epoch: u64,
    /// What it does not have: of each space its revision after its postings too.
    fresh_spaces: FreshPostings<SpacePosting>,
    fresh_tags: FreshPostings<TagPosting>,
    ends: VecDeque<BlockEnd>,
    /// The last block that is kept.
    kept_end: BlockEnd,
}

/// What the index takes in of a block, without the block.
#[derive(Debug)]
pub(crate) struct IndexedBlock {
    entry: BlockEntry,
    end: BlockEnd,
    /// Each with its revisions before and after the block.
    spaces: Vec<(Box<str>, Revision, Revision)>,
    tags: Vec<Box<str>>,
}

/// The end of a block.
#[derive(Clone, Copy, Debug)]
struct BlockEnd {
    /// The position of its last event.
    position: Position,
    hash: BlockHash,
    last_recorded_at: Timestamp,
}

impl BlockEnd {
    fn of(records: &Records, hash: BlockHash) -> Self {
        let (position, last_recorded_at) = (records.last_position(), records.last_recorded_at());
        Self { position, hash, last_recorded_at }
    }
}

impl IndexedBlock {
    pub(crate) fn of(records: &Records, hash: BlockHash) -> Self {
        let spaces = records.spaces().map(|(id, before, after)| (id.into(), before, after));
        Self {
            entry: BlockEntry::of(records),
            end: BlockEnd::of(records, hash),
            spaces: spaces.collect(),
            tags: records.distinct_tags().map(Into::into).collect(),
        }
    }
}

impl BlockIndex {
    /// The index of a store without blocks.
    pub(crate) fn new(genesis: BlockHash, kept: KeptPostings) -> Self {
        let start =
            BlockEnd { position: Position::START, hash: genesis, last_recorded_at: Timestamp::MIN };
        Self {
            directory: Directory::default(),
            revisions: CachedRevisions::none(),
            kept,
            kept_blocks: 0,
            epoch: 0,
            fresh_spaces: FreshPostings::default(),
            fresh_tags: FreshPostings::default(),
            ends: VecDeque::new(),
            kept_end: start,
        }
    }

    /// The index as it is kept.
    fn kept_as(
        genesis: BlockHash,
        owner: &IndexExtent,
        entries: Vec<BlockEntry>,
        kept: KeptPostings,
    ) -> Self {
        let mut index = Self::new(genesis, kept);
        entries.into_iter().for_each(|entry| index.directory.push(entry));
        index.kept_blocks = owner.blocks;
        index.kept_end = BlockEnd {
            position: owner.end,
            hash: owner.last_hash,
            last_recorded_at: owner.last_recorded_at,
        };
        index.revisions.forget();
        index
    }

    /// Takes in the next block.
    pub(crate) fn add(&mut self, records: &Records, hash: BlockHash) {
        let (entry, end) = (BlockEntry::of(records), BlockEnd::of(records, hash));
        self.take(entry, end, records.spaces(), records.distinct_tags());
    }

    /// Takes in the next block, which was read before.
    pub(crate) fn add_indexed(&mut self, block: &IndexedBlock) {
        let spaces = block.spaces.iter().map(|(id, before, after)| (id.as_ref(), *before, *after));
        self.take(block.entry, block.end, spaces, block.tags.iter().map(AsRef::as_ref));
    }

    fn take<'b>(
        &mut self,
        entry: BlockEntry,
        end: BlockEnd,
        spaces: impl IntoIterator<Item = (&'b str, Revision, Revision)>,
        tags: impl IntoIterator<Item = &'b str>,
    ) {
        let block = self.directory.len();
        self.directory.push(entry);
        for (space_id, before, after) in spaces {
            self.revisions.set(space_id, after);
            let posting = SpacePosting { block, base_revision: before.get() };
            self.fresh_spaces.add(space_id, posting, after);
        }
        for tag in tags {
            self.fresh_tags.add(tag, TagPosting { block }, ());
        }
        self.ends.push_back(end);
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

    /// The first position of the block that holds `position`.
    pub(crate) fn block_of(&self, position: Position) -> Option<Position> {
        if position > self.end() {
            return None;
        }
        self.directory.first(self.directory.block_of(position))
    }

    /// The postings that are on the disk, to be asked for what the index does not know in memory; and the
    /// epoch that they are of.
    pub(crate) fn kept(&self) -> KeptPostings {
        self.kept.clone()
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn kept_blocks(&self) -> u32 {
        self.kept_blocks
    }

    /// The block that holds a position, to look for candidates from; `None` where that takes no look at
    /// what is kept.
    pub(crate) fn start_in_kept(&self, from: Position) -> Option<u32> {
        let start = self.directory.block_of(from);
        (start < self.kept_blocks).then_some(start)
    }

    /// The next blocks from the one that holds `from` on that may hold events that pass `filter`,
    /// some of them at least as far as was looked. `kept` is what the postings that are kept have of
    /// its tags and spaces.
    pub(crate) fn candidates(
        &self,
        from: Position,
        filter: &EventFilter,
        kept: &FoundBlocks,
    ) -> Candidates {
        let start = self.directory.block_of(from);
        let may_hold = |block: &u32| {
            self.directory.get(*block).is_some_and(|entry| entry.may_hold(filter.event_types()))
        };
        let positions = |block| self.positions(block);
        if is_by_postings(filter) {
            let fresh = match kept.end {
                Some(_) => FoundBlocks::default(),
                None => {
                    let (spaces, tags) = (&self.fresh_spaces, &self.fresh_tags);
                    FoundBlocks::fresh(spaces, tags, filter, start.max(self.kept_blocks))
                }
            };
            let end = kept.end.or(fresh.end).unwrap_or_else(|| self.directory.len());
            let found = kept.blocks.iter().chain(&fresh.blocks).copied();
            let passing = found.filter(|block| *block >= start && may_hold(block));
            return Candidates::new(passing.filter_map(positions).collect(), self.last_before(end));
        }
        let passing = (start..self.directory.len()).filter(may_hold).take(MAX_CANDIDATES);
        let blocks: Vec<_> = passing.filter_map(positions).collect();
        let last = blocks.last().filter(|_| blocks.len() == MAX_CANDIDATES);
        let through = last.map_or_else(|| self.end(), |(_, last)| *last);
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

    /// The first position of a block.
    pub(crate) fn first_position(&self, block: u32) -> Option<Position> {
        self.directory.first(block)
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

    /// The first position of the last block whose first event was recorded at or before `time`.
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
        self.directory.len().saturating_sub(self.kept_blocks)
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
        let blocks = self.kept_blocks.saturating_add(u32::try_from(count).ok()?);
        let owner = IndexExtent {
            blocks,
            end: last.position,
            last_hash: last.hash,
            last_recorded_at: last.last_recorded_at,
        };
        let rows = self.fresh_spaces.rows(blocks).chain(self.fresh_tags.rows(blocks));
        Some(NewRows {
            owner,
            first_block: self.kept_blocks,
            directory: self.directory.range(self.kept_blocks..blocks).to_vec(),
            postings: rows.collect(),
        })
    }

    /// Lets go of the postings of the first so many blocks: they are kept.
    fn note_kept(&mut self, blocks: u32, kept: KeptPostings) {
        let count = usize::try_from(blocks.saturating_sub(self.kept_blocks)).unwrap_or(0);
        if let Some(end) = self.ends.drain(..count.min(self.ends.len())).next_back() {
            self.kept_end = end;
        }
        self.fresh_spaces.release(blocks);
        self.fresh_tags.release(blocks);
        self.kept_blocks = blocks;
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
        let blocks = self.kept_blocks.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.directory.truncate(blocks);
        self.fresh_spaces.truncate(blocks);
        self.fresh_tags.truncate(blocks);
        self.revisions.forget();
        self.epoch += 1;
    }

    /// The positions of the first and the last event of a block.
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
