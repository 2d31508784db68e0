//! The index in sled's copy: written as the log grows, never all of it at once, and read back when
//! a store is opened.

use rapidhash::RapidHashSet;
use spacefold_event_core::{Position, bytes::to_usize};

use super::{
    BlockIndex,
    merge::{finish, merge},
    postings::Posting,
    segment::{HEAD_PREFIX, Head, Outline, PAGE_PREFIX, Segment, SegmentBuilder, SegmentId},
};
use crate::{
    block::BlockHash,
    log_copy::{LogCopy, SledError},
};

/// Blocks after which their postings become a segment: opening reads those that are in none.
const SEGMENT_BLOCKS: u32 = 128;

/// What becomes the next segment.
struct NewSegment {
    outline: Outline<'static>,
    new_spaces: Vec<String>,
    /// The spaces with their revisions, ascending.
    revisions: Vec<(u32, u64)>,
    /// By space, then by block.
    postings: Vec<(u32, Posting)>,
}

/// Gives access to an index, which others may read meanwhile, and nobody else changes.
pub(crate) type Access<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&mut BlockIndex));

/// Keeps the postings of the newest blocks, if there are enough of them.
pub(crate) fn keep_when_due(sled: &dyn LogCopy, access: Access<'_>) -> Result<(), SledError> {
    keep_from(sled, SEGMENT_BLOCKS, access)
}

/// Keeps what is not kept yet. Costs in proportion to that; now and then some older segments are
/// merged.
pub(crate) fn keep(sled: &dyn LogCopy, access: Access<'_>) -> Result<(), SledError> {
    keep_from(sled, 1, access)
}

fn keep_from(sled: &dyn LogCopy, least_blocks: u32, access: Access<'_>) -> Result<(), SledError> {
    let mut new = None;
    access(&mut |index| {
        if index.fresh_blocks() >= least_blocks {
            new = Some(index.new_segment());
        }
    });
    let Some(new) = new else { return Ok(()) };
    let mut segment = Some(new.write(sled)?);
    access(&mut |index| segment.take().into_iter().for_each(|new| index.push_segment(new)));
    loop {
        let mut due = None;
        access(&mut |index| due = index.merge_due());
        let Some(inputs) = due else { return Ok(()) };
        let mut merged = Some(merge(sled, &inputs)?);
        access(&mut |index| merged.take().into_iter().for_each(|new| index.replace_newest(new)));
        for segment in &inputs {
            sled.remove_blob(&segment.id.head_key())?;
            for (page, _) in segment.pages() {
                sled.remove_blob(&page.key())?;
            }
        }
    }
}

/// The index of the blocks up to the last segment that is good for them: `is_last` says whether
/// the block that ends at a position has this hash. Segments that are not go, and so does one that
/// lacks a page.
pub(crate) fn load<E: From<SledError>>(
    sled: &dyn LogCopy,
    genesis: BlockHash,
    mut is_last: impl FnMut(Position, &BlockHash) -> Result<bool, E>,
) -> Result<BlockIndex, E> {
    let stored = chain(sled, &genesis)?;
    let heads = stored.iter().map_while(|(id, bytes)| Some((*id, Head::decode(bytes)?)));
    let mut heads: Vec<(SegmentId, Head<'_>)> = heads.collect();
    let pages: RapidHashSet<Vec<u8>> = sled.blob_keys(PAGE_PREFIX)?.into_iter().collect();
    let is_whole = |(id, head): &(SegmentId, Head<'_>)| {
        let segment = Segment { id: *id, fences: head.fences.clone() };
        segment.pages().all(|(page, _)| pages.contains(&page.key()))
    };
    heads.truncate(heads.iter().take_while(|segment| is_whole(segment)).count());
    while let Some((_, head)) = heads.last() {
        if is_last(Position::new(head.end), &head.last_hash)? {
            break;
        }
        heads.pop();
    }
    let mut index = BlockIndex::new(genesis);
    for (id, head) in &heads {
        index.take_in(head, Segment { id: *id, fences: head.fences.clone() });
    }
    drop_unused(sled, &index)?;
    Ok(index)
}

/// The heads that follow one another from the first block on, each the longest there is.
fn chain(sled: &dyn LogCopy, genesis: &BlockHash) -> Result<Vec<(SegmentId, Vec<u8>)>, SledError> {
    let keys = sled.blob_keys(HEAD_PREFIX)?;
    let mut ids: Vec<SegmentId> =
        keys.iter().filter_map(|key| SegmentId::parse_key(key, HEAD_PREFIX)).collect();
    ids.sort_unstable_by_key(|id| (id.first_block, std::cmp::Reverse(id.blocks)));
    let mut chain = Vec::new();
    let mut end = End { block: 0, position: 0, hash: *genesis, spaces: 0 };
    for id in ids {
        if id.first_block == end.block
            && let Some(bytes) = sled.get_blob(&id.head_key())?
            && let Some(head) = Head::decode(&bytes)
            && let Some(next) = end.followed_by(&id, &head)
        {
            end = next;
            chain.push((id, bytes));
        }
    }
    Ok(chain)
}

/// Where a chain of segments ends.
struct End {
    block: u32,
    position: u64,
    hash: BlockHash,
    spaces: usize,
}

impl End {
    fn followed_by(&self, id: &SegmentId, head: &Head<'_>) -> Option<Self> {
        let blocks = u32::try_from(head.blocks.len()).ok()?;
        let follows = *id == SegmentId::new(self.block, blocks, &head.last_hash)
            && blocks > 0
            && head.start == self.position
            && head.previous == self.hash
            && to_usize(head.spaces_before) == self.spaces;
        follows.then(|| Self {
            block: id.end_block(),
            position: head.end,
            hash: head.last_hash,
            spaces: self.spaces + head.new_spaces.len(),
        })
    }
}

/// Removes what no segment uses: it was being written or replaced when the process stopped, or it
/// is not good for the blocks. Heads go first, so that none is left without its pages.
fn drop_unused(sled: &dyn LogCopy, index: &BlockIndex) -> Result<(), SledError> {
    for prefix in [HEAD_PREFIX, PAGE_PREFIX] {
        for key in sled.blob_keys(prefix)? {
            let id = SegmentId::parse_key(&key, prefix);
            if id.is_none_or(|id| index.segments.iter().all(|segment| segment.id != id)) {
                sled.remove_blob(&key)?;
            }
        }
    }
    Ok(())
}

impl BlockIndex {
    fn fresh_blocks(&self) -> u32 {
        self.directory.len().saturating_sub(self.fresh.first_block)
    }

    fn new_segment(&self) -> NewSegment {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut postings = self.fresh.postings.clone();
        // Stable: those of one space stay in the order of the blocks.
        postings.sort_by_key(|(space, _)| *space);
        let mut spaces: Vec<u32> = postings.iter().map(|(space, _)| *space).collect();
        spaces.dedup();
        let revision = |space: u32| (space, self.spaces.revision(space).get());
        let spaces_before = number(self.fresh.spaces_before);
        let new_spaces = (spaces_before..number(self.spaces.len()))
            .filter_map(|space| self.spaces.id(space).map(str::to_owned));
        NewSegment {
            outline: Outline {
                first_block: self.fresh.first_block,
                start: self.fresh.start.get(),
                end: self.end.get(),
                previous: self.fresh.previous,
                last_hash: self.last_hash,
                blocks: self.directory.from(self.fresh.first_block).to_vec(),
                spaces_before,
                new_spaces: Vec::new(),
            },
            new_spaces: new_spaces.collect(),
            revisions: spaces.into_iter().map(revision).collect(),
            postings,
        }
    }
}

/// The newest blocks as the head of a segment, as it is kept; for tests that read it back.
#[cfg(feature = "fuzzing")]
pub(crate) fn encode_newest(index: &BlockIndex) -> Vec<u8> {
    let new = index.new_segment();
    let new_spaces = new.new_spaces.iter().map(String::as_str).collect();
    let outline = Outline { new_spaces, blocks: new.outline.blocks.clone(), ..new.outline };
    let mut builder = SegmentBuilder::new(outline);
    for (space, revision) in &new.revisions {
        builder.push(*space, *revision, []);
    }
    builder.finish().1
}

/// Reads bytes as the head of a segment, and as a page; whether they are a head as it is written.
#[cfg(feature = "fuzzing")]
pub(crate) fn reads_back(bytes: &[u8]) -> bool {
    for (_, list) in super::segment::entries(bytes, 0) {
        super::postings::decode(list, 0).for_each(drop);
    }
    Head::decode(bytes).is_some_and(|head| {
        head.revisions().for_each(drop);
        head.encode() == bytes
    })
}

impl NewSegment {
    fn write(&self, sled: &dyn LogCopy) -> Result<Segment, SledError> {
        let new_spaces = self.new_spaces.iter().map(String::as_str).collect();
        let outline = Outline { new_spaces, blocks: self.outline.blocks.clone(), ..self.outline };
        let mut builder = SegmentBuilder::new(outline);
        let lists = self.postings.chunk_by(|a, b| a.0 == b.0);
        for (list, (space, revision)) in lists.zip(&self.revisions) {
            let postings = list.iter().map(|(_, posting)| *posting);
            if let Some((page, bytes)) = builder.push(*space, *revision, postings) {
                sled.put_blob(&page.key(), &bytes)?;
            }
        }
        finish(sled, builder)
    }
}
