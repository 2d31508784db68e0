//! Segments become few: eight of about one size become one, until they are large.

use std::collections::VecDeque;

use super::{
    BlockIndex,
    postings::{self, Posting},
    segment::{Head, Outline, Segment, SegmentBuilder, entries},
};
use crate::log_copy::{LogCopy, SledError};

/// Segments of about one size that are merged.
const MERGED: usize = 8;
/// Blocks from which on a segment is merged no more.
const LARGE_BLOCKS: u32 = 4_096;

impl BlockIndex {
    /// The newest segments, when it is time to merge them.
    pub(super) fn merge_due(&self) -> Option<Vec<Segment>> {
        let size = size_class(self.segments.last()?);
        let newest = self.segments.iter().rev();
        let count = newest
            .take_while(|segment| segment.id.blocks < LARGE_BLOCKS && size_class(segment) <= size)
            .count();
        let start = self.segments.len() - count;
        (count >= MERGED).then(|| self.segments.get(start..).unwrap_or_default().to_vec())
    }

    /// Uses a segment in place of those that it was made of.
    pub(super) fn replace_newest(&mut self, merged: Segment) {
        let first_block = merged.id.first_block;
        let before = |segment: &Segment| segment.id.first_block < first_block;
        self.segments.truncate(self.segments.partition_point(before));
        self.segments.push(merged);
    }
}

/// Segments within a factor of eight are of one size.
fn size_class(segment: &Segment) -> u32 {
    segment.id.blocks.max(1).ilog2() / 3
}

/// Makes one segment of consecutive ones and keeps it. Memory: a page of each, and their heads.
pub(super) fn merge(sled: &dyn LogCopy, inputs: &[Segment]) -> Result<Segment, SledError> {
    let mut stored = Vec::with_capacity(inputs.len());
    for segment in inputs {
        stored.push(sled.get_blob(&segment.id.head_key())?.ok_or_else(gone)?);
    }
    let heads: Option<Vec<Head<'_>>> = stored.iter().map(|bytes| Head::decode(bytes)).collect();
    let heads = heads.ok_or_else(gone)?;
    let mut builder = SegmentBuilder::new(outline(inputs, &heads).ok_or_else(gone)?);
    let mut sources: Vec<Source<'_>> = Vec::with_capacity(inputs.len());
    for segment in inputs {
        let mut source = Source { sled, segment, next_page: 0, lists: VecDeque::new() };
        source.read_page()?;
        sources.push(source);
    }
    let mut revisions: Vec<_> = heads.iter().map(Head::revisions).collect();
    while let Some(space) = sources.iter().filter_map(Source::space).min() {
        let mut revision = 0;
        let mut postings = Vec::new();
        for (source, revisions) in sources.iter_mut().zip(&mut revisions) {
            if source.space() == Some(space) {
                let (owner, behind) = revisions.next().ok_or_else(gone)?;
                if owner != space {
                    return Err(gone());
                }
                revision = behind;
                postings.extend(source.take()?);
            }
        }
        if let Some((page, bytes)) = builder.push(space, revision, postings) {
            sled.put_blob(&page.key(), &bytes)?;
        }
    }
    finish(sled, builder)
}

/// Writes the last page and the head, which is last: a segment is there whole, or not at all.
pub(super) fn finish(
    sled: &dyn LogCopy,
    mut builder: SegmentBuilder<'_>,
) -> Result<Segment, SledError> {
    if let Some((page, bytes)) = builder.take_page() {
        sled.put_blob(&page.key(), &bytes)?;
    }
    let (segment, head) = builder.finish();
    sled.put_blob(&segment.id.head_key(), &head)?;
    Ok(segment)
}

fn outline<'h>(inputs: &[Segment], heads: &[Head<'h>]) -> Option<Outline<'h>> {
    let (first, last) = (heads.first()?, heads.last()?);
    Some(Outline {
        first_block: inputs.first()?.id.first_block,
        start: first.start,
        end: last.end,
        previous: first.previous,
        last_hash: last.last_hash,
        blocks: heads.iter().flat_map(|head| &head.blocks).copied().collect(),
        spaces_before: first.spaces_before,
        new_spaces: heads.iter().flat_map(|head| &head.new_spaces).copied().collect(),
    })
}

fn gone() -> SledError {
    SledError::Broken("a segment of the index is gone".to_owned())
}

/// A segment that is being merged, read page by page.
struct Source<'s> {
    sled: &'s dyn LogCopy,
    segment: &'s Segment,
    next_page: usize,
    /// The rest of the page that was read last.
    lists: VecDeque<(u32, Vec<Posting>)>,
}

impl Source<'_> {
    /// The next space.
    fn space(&self) -> Option<u32> {
        self.lists.front().map(|(space, _)| *space)
    }

    /// The postings of the next space.
    fn take(&mut self) -> Result<Vec<Posting>, SledError> {
        let list = self.lists.pop_front();
        if self.lists.is_empty() {
            self.read_page()?;
        }
        Ok(list.map(|(_, postings)| postings).unwrap_or_default())
    }

    fn read_page(&mut self) -> Result<(), SledError> {
        if let Some((page, first_space)) = self.segment.pages().nth(self.next_page) {
            let bytes = self.sled.get_blob(&page.key())?.ok_or_else(gone)?;
            let first_block = self.segment.id.first_block;
            let decoded = entries(&bytes, first_space)
                .map(|(space, list)| (space, postings::decode(list, first_block).collect()));
            self.lists.extend(decoded);
            self.next_page += 1;
        }
        Ok(())
    }
}
