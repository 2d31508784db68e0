//! Which blocks may hold what passes a filter: those that have all of its tags and any of its spaces.

use spacefold_event_core::{EventFilter, Position};
use spacefold_runs::RunsError;

use super::{
    directory::DirectoryRow,
    fresh::FreshPostings,
    kept_directory::BlocksByNumber,
    postings::{Posting, SpacePosting, TagPosting},
    rows::{self, KeptPostings},
};

/// Blocks that one lookup of candidates finds of what is kept, and of what is not, at the most.
pub(super) const MAX_CANDIDATES: usize = 64;
/// Rows of the directory that one lookup goes through at the most, for blocks with events of some types.
const MAX_SCANNED_ROWS: usize = 64;
/// How often one lookup goes on to the next block that any of its lists has, at the most.
const MAX_LOOKS: usize = 1_024;

/// Blocks that may hold what is looked for, as far as was looked.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// Positions of the first and last event of each, ascending.
    blocks: Vec<(Position, Position)>,
    /// No other block up to here holds it.
    through: Position,
}

impl Candidates {
    pub(crate) const fn new(blocks: Vec<(Position, Position)>, through: Position) -> Self {
        Self { blocks, through }
    }

    /// Nothing was looked at.
    pub(crate) const fn none() -> Self {
        Self::new(Vec::new(), Position::START)
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

/// Blocks that are kept, in order, as far as was looked.
#[derive(Debug, Default)]
pub(crate) struct FoundBlocks {
    /// The positions of the first and the last event of each.
    pub(super) blocks: Vec<(Position, Position)>,
    /// The position up to which all of them are known; `None` when all are.
    pub(super) end: Option<Position>,
}

/// The numbers of blocks that all parts of a filter have, in order, as far as was looked.
#[derive(Debug, Default)]
pub(super) struct BlockNumbers {
    pub(super) blocks: Vec<u32>,
    /// The block before which all of them are known; `None` when all are.
    pub(super) end: Option<u32>,
}

/// Whether a filter is looked up in postings: it has tags or spaces.
pub(crate) fn is_by_postings(filter: &EventFilter) -> bool {
    filter.space_ids().is_some() || !filter.wanted_tags().is_empty()
}

impl FoundBlocks {
    /// Looks in what is kept for the blocks of a filter, from the one that holds a position on.
    pub(crate) fn find(
        kept: &KeptPostings,
        filter: &EventFilter,
        from: Position,
    ) -> Result<Self, RunsError> {
        if !is_by_postings(filter) {
            return Self::of_types(kept, filter, from);
        }
        let row = kept.row_at(from)?;
        let start = row.as_ref().and_then(|row| row.block_at(from));
        let Some((start, _)) = start else { return Ok(Self::default()) };
        let numbers = BlockNumbers::kept(kept, filter, start)?;
        let mut blocks = BlocksByNumber::of(kept);
        let mut found = Self::default();
        for block in numbers.blocks {
            let Some((entry, last)) = blocks.get(block)? else { continue };
            if entry.may_hold(filter.event_types()) {
                found.blocks.push((entry.first(), last));
            }
        }
        if let Some(end) = numbers.end {
            // Past the last one all are known.
            found.end = blocks.get(end)?.map(|(entry, _)| entry.first().previous());
        }
        Ok(found)
    }

    /// The next blocks from the one that holds `from` on with events of the types of a filter.
    fn of_types(
        kept: &KeptPostings,
        filter: &EventFilter,
        from: Position,
    ) -> Result<Self, RunsError> {
        let mut found = Self::default();
        let first = kept.row_at(from)?.and_then(|row| row.first());
        let mut rows = kept.0.scan(&rows::directory_key(first.unwrap_or(from)))?;
        for _ in 0..MAX_SCANNED_ROWS {
            let row = rows.next_row()?.filter(|(key, _)| rows::is_directory(key));
            let Some(row) = row.and_then(|(_, value)| DirectoryRow::decode(value)) else {
                return Ok(found);
            };
            let ends = row.entries.iter().skip(1).map(|next| next.first().previous());
            for (entry, last) in row.entries.iter().zip(ends.chain([row.end])) {
                if last >= from && entry.may_hold(filter.event_types()) {
                    found.blocks.push((entry.first(), last));
                }
                found.end = Some(last);
                if found.blocks.len() >= MAX_CANDIDATES {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}

impl BlockNumbers {
    /// Those of what is kept.
    fn kept(kept: &KeptPostings, filter: &EventFilter, start: u32) -> Result<Self, RunsError> {
        let mut parts = parts_of(
            filter,
            |tag| Box::new(KeptList::<TagPosting>::new(kept, tag)),
            |space_id| Box::new(KeptList::<SpacePosting>::new(kept, space_id)),
        );
        Self::of_all(&mut parts, start)
    }

    /// Those of what is not kept.
    pub(super) fn fresh(
        spaces: &FreshPostings<SpacePosting>,
        tags: &FreshPostings<TagPosting>,
        filter: &EventFilter,
        start: u32,
    ) -> Self {
        let mut parts = parts_of(
            filter,
            |tag| Box::new(FreshBlocks(tags.of(tag))),
            |space_id| Box::new(FreshBlocks(spaces.of(space_id))),
        );
        // What is in memory does not fail.
        Self::of_all(&mut parts, start).unwrap_or_default()
    }

    /// The blocks from `start` on that every part has.
    fn of_all(parts: &mut [AnyOf<'_>], start: u32) -> Result<Self, RunsError> {
        let mut found = Self::default();
        let mut next = start;
        for _ in 0..MAX_LOOKS {
            if found.blocks.len() >= MAX_CANDIDATES {
                break;
            }
            let mut reached = next;
            for part in &mut *parts {
                let Some(block) = part.next_from(reached)? else { return Ok(found) };
                reached = block;
            }
            if reached == next || parts.len() == 1 {
                found.blocks.push(reached);
                next = reached.saturating_add(1);
            } else {
                next = reached;
            }
        }
        found.end = Some(next);
        Ok(found)
    }
}

/// One part for each tag of a filter, and one for its spaces, if it has any.
fn parts_of<'a>(
    filter: &'a EventFilter,
    of_tag: impl Fn(&'a str) -> Box<dyn BlockList + 'a>,
    of_space: impl Fn(&'a str) -> Box<dyn BlockList + 'a>,
) -> Vec<AnyOf<'a>> {
    let tags = filter.wanted_tags().iter().map(|tag| AnyOf(vec![of_tag(tag)]));
    let spaces = filter.space_ids();
    let spaces = spaces.map(|ids| AnyOf(ids.iter().map(|id| of_space(id)).collect()));
    tags.chain(spaces).collect()
}

/// Blocks in order, to be asked for from ever later ones on.
trait BlockList {
    fn next_from(&mut self, block: u32) -> Result<Option<u32>, RunsError>;
}

/// The blocks that any of several has.
struct AnyOf<'a>(Vec<Box<dyn BlockList + 'a>>);

impl AnyOf<'_> {
    fn next_from(&mut self, block: u32) -> Result<Option<u32>, RunsError> {
        let mut first = None;
        for list in &mut self.0 {
            let next = list.next_from(block)?;
            first = first.into_iter().chain(next).min();
        }
        Ok(first)
    }
}

struct FreshBlocks<'a, P>(&'a [P]);

impl<P: Posting> BlockList for FreshBlocks<'_, P> {
    fn next_from(&mut self, block: u32) -> Result<Option<u32>, RunsError> {
        let passed = self.0.partition_point(|posting| posting.block() < block);
        self.0 = self.0.get(passed..).unwrap_or_default();
        Ok(self.0.first().map(|posting| posting.block()))
    }
}

/// The blocks of one list of what is kept, some of them at a time.
struct KeptList<'a, P> {
    kept: &'a KeptPostings,
    id: &'a str,
    blocks: Vec<u32>,
    passed: usize,
    is_all: bool,
    posting: std::marker::PhantomData<P>,
}

impl<'a, P> KeptList<'a, P> {
    const fn new(kept: &'a KeptPostings, id: &'a str) -> Self {
        let posting = std::marker::PhantomData;
        Self { kept, id, blocks: Vec::new(), passed: 0, is_all: false, posting }
    }
}

impl<P: Posting> BlockList for KeptList<'_, P> {
    fn next_from(&mut self, block: u32) -> Result<Option<u32>, RunsError> {
        loop {
            let rest = self.blocks.get(self.passed..).unwrap_or_default();
            self.passed += rest.partition_point(|own| *own < block);
            if let Some(next) = self.blocks.get(self.passed) {
                return Ok(Some(*next));
            }
            if self.is_all {
                return Ok(None);
            }
            (self.blocks, self.is_all) = self.kept.blocks::<P>(self.id, block, MAX_CANDIDATES)?;
            self.passed = 0;
        }
    }
}
