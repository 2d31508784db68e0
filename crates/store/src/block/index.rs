//! What is known of the blocks without reading them: where each begins, what it holds, and which
//! blocks each space is in. Derived from the blocks, and kept only to open faster.
//!
//! In memory are the directory of the blocks, the spaces with their revisions, and the postings of
//! the newest blocks. All older postings are in [segments](segment), of which a lookup needs a page
//! or two: it is made with the [`Pages`] at hand, names those that it misses, and is made again.

mod directory;
pub(crate) mod kept;
mod merge;
mod postings;
mod segment;
mod space_table;

use std::sync::Arc;

use rapidhash::RapidHashMap;
use spacefold_event_core::{EventFilter, Position, Records, Revision, Timestamp};

pub(crate) use self::segment::PageId;
use self::{
    directory::{BlockEntry, Directory},
    postings::Posting,
    segment::{Head, Segment},
    space_table::SpaceTable,
};
use crate::block::BlockHash;

/// Blocks that one lookup of candidates finds at the most.
const MAX_CANDIDATES: usize = 64;

/// The directory of the blocks and the posting lists of the spaces.
#[derive(Debug)]
pub(crate) struct BlockIndex {
    directory: Directory,
    spaces: SpaceTable,
    segments: Vec<Segment>,
    fresh: Fresh,
    /// The position of the last event in a block.
    end: Position,
    /// The chain hash of the last block, or of the store when there is none.
    last_hash: BlockHash,
}

/// What is in no segment yet.
#[derive(Debug)]
struct Fresh {
    first_block: u32,
    /// The position before its first event.
    start: Position,
    /// The hash before its first block.
    previous: BlockHash,
    /// The number of spaces in all segments.
    spaces_before: usize,
    /// In the order of the blocks.
    postings: Vec<(u32, Posting)>,
}

/// The pages that a lookup may use.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    loaded: RapidHashMap<PageId, Arc<[u8]>>,
}

impl Pages {
    pub(crate) fn insert(&mut self, id: PageId, bytes: Arc<[u8]>) {
        self.loaded.insert(id, bytes);
    }

    /// The page, or that it is missing.
    fn get(&self, id: PageId, missing: &mut Vec<PageId>) -> Option<&[u8]> {
        let page = self.loaded.get(&id);
        if page.is_none() {
            missing.push(id);
        }
        page.map(|bytes| &**bytes)
    }
}

/// The pages that a lookup needs and does not have.
#[derive(Debug)]
pub(crate) struct MissingPages(pub(crate) Vec<PageId>);

/// Blocks that may hold what is looked for, as far as was looked.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// Positions of the first and last event of each, ascending.
    blocks: Vec<(Position, Position)>,
    /// No other block up to here holds it.
    through: Position,
}

impl Candidates {
    /// Nothing was looked at.
    pub(crate) const fn none() -> Self {
        Self { blocks: Vec::new(), through: Position::START }
    }

    /// Everything up to here was looked at.
    pub(crate) const fn through(&self) -> Position {
        self.through
    }

    /// The first position from `from` on that is in one of the blocks.
    pub(crate) fn next(&self, from: Position) -> Option<Position> {
        let passed = self.blocks.partition_point(|(_, last)| *last < from);
        self.blocks.get(passed).map(|(first, _)| from.max(*first))
    }
}

impl BlockIndex {
    /// The index of a store without blocks.
    pub(crate) fn new(genesis: BlockHash) -> Self {
        Self {
            directory: Directory::default(),
            spaces: SpaceTable::default(),
            segments: Vec::new(),
            fresh: Fresh {
                first_block: 0,
                start: Position::START,
                previous: genesis,
                spaces_before: 0,
                postings: Vec::new(),
            },
            end: Position::START,
            last_hash: genesis,
        }
    }

    /// Takes in the next block.
    pub(crate) fn add(&mut self, records: &Records, hash: BlockHash) {
        let block = self.directory.len();
        self.directory.push(BlockEntry::of(records));
        for (space_id, before, after) in records.spaces() {
            let space = self.spaces.number_or_new(space_id);
            self.spaces.set_revision(space, after);
            self.fresh.postings.push((space, Posting { block, base_revision: before.get() }));
        }
        self.end = records.last_position();
        self.last_hash = hash;
    }

    /// The position of the last event in a block.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    pub(crate) fn last_hash(&self) -> BlockHash {
        self.last_hash
    }

    pub(crate) fn block_count(&self) -> u64 {
        u64::from(self.directory.len())
    }

    /// The first position of each block from the one that holds `from` on; none when none does.
    pub(crate) fn blocks_from(&self, from: Position) -> impl Iterator<Item = Position> {
        let is_behind = from > self.end;
        let place = if is_behind { self.directory.len() } else { self.directory.block_of(from) };
        let blocks = self.directory.from(place);
        blocks.iter().map(|block| Position::new(block.first))
    }

    /// The first position of the block that holds `position`.
    pub(crate) fn block_of(&self, position: Position) -> Option<Position> {
        if position > self.end {
            return None;
        }
        self.directory.first(self.directory.block_of(position))
    }

    /// The next blocks from the one that holds `from` on that may hold events that pass `filter`,
    /// some of them at least as far as was looked.
    pub(crate) fn candidates(
        &self,
        from: Position,
        filter: &EventFilter,
        pages: &Pages,
    ) -> Result<Candidates, MissingPages> {
        let start = self.directory.block_of(from);
        let may_hold = |block: &u32| {
            self.directory.get(*block).is_some_and(|entry| entry.may_hold(filter.event_types()))
        };
        let positions = |block| self.positions(block);
        let (blocks, end): (Vec<(Position, Position)>, u32) = match filter.space_ids() {
            None => {
                let end = self.directory.len();
                let passing = (start..end).filter(may_hold).take(MAX_CANDIDATES);
                (passing.filter_map(positions).collect(), end)
            }
            Some(space_ids) => {
                let known = space_ids.iter().filter_map(|id| self.spaces.number(id));
                let mut spaces: Vec<u32> = known.collect();
                spaces.sort_unstable();
                let (blocks, end) = self.blocks_of(&spaces, start, pages)?;
                let passing = blocks.into_iter().filter(may_hold).take(MAX_CANDIDATES);
                (passing.filter_map(positions).collect(), end)
            }
        };
        let last = blocks.last().filter(|_| blocks.len() == MAX_CANDIDATES);
        let through = last.map_or_else(|| self.last_before(end), |(_, last)| *last);
        Ok(Candidates { blocks, through })
    }

    /// The revision of a space after the last block.
    pub(crate) fn revision(&self, space_id: &str) -> Revision {
        let number = self.spaces.number(space_id);
        number.map_or(Revision::NONE, |number| self.spaces.revision(number))
    }

    /// The first position of the block that holds this revision of a space.
    pub(crate) fn block_of_revision(
        &self,
        space_id: &str,
        revision: Revision,
        pages: &Pages,
    ) -> Result<Option<Position>, MissingPages> {
        let Some(space) = self.spaces.number(space_id) else { return Ok(None) };
        if revision == Revision::NONE || revision > self.spaces.revision(space) {
            return Ok(None);
        }
        let is_before = |posting: &Posting| posting.base_revision < revision.get();
        let mut found = self.fresh_postings(space).take_while(is_before).last();
        let mut older = self.segments.iter().rev();
        while found.is_none()
            && let Some(segment) = older.next()
        {
            let mut missing = Vec::new();
            let postings = postings_in(segment, space, pages, &mut missing);
            if !missing.is_empty() {
                return Err(MissingPages(missing));
            }
            found = postings.into_iter().flatten().take_while(is_before).last();
        }
        Ok(found.and_then(|posting| self.directory.first(posting.block)))
    }

    /// The first position of the last block whose first event was recorded at or before `time`.
    pub(crate) fn block_as_of(&self, time: Timestamp) -> Option<Position> {
        self.directory.first(self.directory.block_as_of(time)?)
    }

    /// The spaces with their revisions after the last block, in the order of their first events.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = (&str, Revision)> {
        self.spaces.iter()
    }

    /// Whether a page is of a segment that is in use.
    pub(crate) fn uses(&self, page: &PageId) -> bool {
        self.segments.iter().any(|segment| segment.id == page.segment)
    }

    /// Takes in the next segment, as it was kept.
    fn take_in(&mut self, head: &Head<'_>, segment: Segment) {
        head.blocks.iter().for_each(|entry| self.directory.push(*entry));
        let bytes = head.new_spaces.iter().map(|id| id.len()).sum();
        self.spaces.reserve(head.new_spaces.len(), bytes);
        for space_id in &head.new_spaces {
            self.spaces.number_or_new(space_id);
        }
        for (space, revision) in head.revisions() {
            self.spaces.set_revision(space, Revision::new(revision));
        }
        self.end = Position::new(head.end);
        self.last_hash = head.last_hash;
        self.push_segment(segment);
    }

    /// Lets go of the fresh postings: a segment has them.
    fn push_segment(&mut self, segment: Segment) {
        self.fresh = Fresh {
            first_block: segment.id.end_block(),
            start: self.end,
            previous: self.last_hash,
            spaces_before: self.spaces.len(),
            postings: Vec::new(),
        };
        self.segments.push(segment);
    }

    /// The blocks from `start` on that hold events of the spaces, ascending, as far as one segment
    /// knows; and the block before which it knows all of them.
    fn blocks_of(
        &self,
        spaces: &[u32],
        start: u32,
        pages: &Pages,
    ) -> Result<(Vec<u32>, u32), MissingPages> {
        let place = self.segments.partition_point(|segment| segment.id.end_block() <= start);
        let mut blocks: Vec<u32> = Vec::new();
        let end = match self.segments.get(place) {
            Some(segment) => {
                let mut missing = Vec::new();
                for space in spaces {
                    let postings = postings_in(segment, *space, pages, &mut missing);
                    blocks.extend(postings.into_iter().flatten().map(|posting| posting.block));
                }
                missing.dedup();
                if !missing.is_empty() {
                    return Err(MissingPages(missing));
                }
                segment.id.end_block()
            }
            None => {
                let wanted = |space: &u32| spaces.binary_search(space).is_ok();
                let postings = self.fresh.postings.iter().filter(|(space, _)| wanted(space));
                blocks.extend(postings.map(|(_, posting)| posting.block));
                self.directory.len()
            }
        };
        blocks.retain(|block| *block >= start);
        blocks.sort_unstable();
        blocks.dedup();
        Ok((blocks, end))
    }

    fn fresh_postings(&self, space: u32) -> impl Iterator<Item = Posting> {
        let own = self.fresh.postings.iter().filter(move |(owner, _)| *owner == space);
        own.map(|(_, posting)| *posting)
    }

    /// The positions of the first and the last event of a block.
    fn positions(&self, block: u32) -> Option<(Position, Position)> {
        let first = self.directory.first(block)?;
        Some((first, self.last_before(block.saturating_add(1))))
    }

    /// The position of the last event before a block.
    fn last_before(&self, block: u32) -> Position {
        self.directory.first(block).map_or(self.end, Position::previous)
    }
}

/// The postings of a space in a segment; `None` when there are none, or the page is missing.
fn postings_in<'p>(
    segment: &Segment,
    space: u32,
    pages: &'p Pages,
    missing: &mut Vec<PageId>,
) -> Option<impl Iterator<Item = Posting> + use<'p>> {
    let page = segment.page_of(space)?;
    Some(segment.postings(page, pages.get(page, missing)?, space))
}

#[cfg(test)]
mod tests;
