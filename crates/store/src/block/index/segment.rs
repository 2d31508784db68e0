//! A segment: the postings of some consecutive blocks, in sled and never changed.
//!
//! It is one *head* and some *pages*. The head has what an open store keeps in memory: the entries
//! of its blocks, the spaces that are new in it, the revisions of its spaces behind it. The pages
//! have the posting lists, in the order of the spaces' numbers, and are read when a space is looked
//! for. Each carries in its key what it is good for: the blocks, and part of the last one's hash,
//! which stands for all blocks before it.

use bincode::{BorrowDecode, Encode};
use spacefold_event_core::bytes::{to_u64, to_usize};

use super::{
    directory::BlockEntry,
    postings::{self, Posting, put_number, take_number},
};
use crate::block::BlockHash;

/// What the key of every head begins with.
pub(super) const HEAD_PREFIX: &[u8] = b"store/index/head/";
/// What the key of every page begins with.
pub(super) const PAGE_PREFIX: &[u8] = b"store/index/page/";
/// Bytes at which a page is full.
const PAGE_BYTES: usize = 16 << 10;
const STORED_VERSION: u32 = 1;

/// Which blocks a segment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SegmentId {
    pub(super) first_block: u32,
    pub(super) blocks: u32,
    /// The first bytes of the hash of its last block.
    pub(super) hash: [u8; 8],
}

impl SegmentId {
    pub(super) fn new(first_block: u32, blocks: u32, last_hash: &BlockHash) -> Self {
        let hash = last_hash.first_chunk().copied().unwrap_or_default();
        Self { first_block, blocks, hash }
    }

    /// The block behind the last of the segment.
    pub(super) const fn end_block(&self) -> u32 {
        self.first_block.saturating_add(self.blocks)
    }

    pub(super) fn head_key(&self) -> Vec<u8> {
        self.key(HEAD_PREFIX)
    }

    /// What [`SegmentId::head_key`] made the key of, or [`PageId::key`].
    pub(super) fn parse_key(key: &[u8], prefix: &[u8]) -> Option<Self> {
        let (first_block, rest) = key.strip_prefix(prefix)?.split_first_chunk()?;
        let (blocks, rest) = rest.split_first_chunk()?;
        Some(Self {
            first_block: u32::from_be_bytes(*first_block),
            blocks: u32::from_be_bytes(*blocks),
            hash: *rest.first_chunk()?,
        })
    }

    fn key(&self, prefix: &[u8]) -> Vec<u8> {
        let numbers = [self.first_block.to_be_bytes(), self.blocks.to_be_bytes()];
        [prefix, numbers.as_flattened(), &self.hash].concat()
    }
}

/// Which page of which segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PageId {
    pub(super) segment: SegmentId,
    pub(super) page: u32,
}

impl PageId {
    pub(crate) fn key(&self) -> Vec<u8> {
        [self.segment.key(PAGE_PREFIX).as_slice(), &self.page.to_be_bytes()].concat()
    }
}

/// What is in memory of a segment: where its pages begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(super) id: SegmentId,
    /// The first space of each page.
    pub(super) fences: Vec<u32>,
}

impl Segment {
    /// The page that has the postings of a space, if the segment has any.
    pub(super) fn page_of(&self, space: u32) -> Option<PageId> {
        let behind = self.fences.partition_point(|first| *first <= space);
        let page = u32::try_from(behind.checked_sub(1)?).ok()?;
        Some(PageId { segment: self.id, page })
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = (PageId, u32)> {
        let page = |(page, first): (u32, &u32)| (PageId { segment: self.id, page }, *first);
        (0..).zip(&self.fences).map(page)
    }

    /// The postings of a space, out of the page that has them.
    pub(super) fn postings<'p>(
        &self,
        page: PageId,
        bytes: &'p [u8],
        space: u32,
    ) -> impl Iterator<Item = Posting> + use<'p> {
        let place = to_usize(page.page);
        let first_space = self.fences.get(place).copied().unwrap_or(u32::MAX);
        let mut entries = entries(bytes, first_space).skip_while(move |entry| entry.0 < space);
        let list = entries.next().filter(|entry| entry.0 == space).map_or(&[][..], |entry| entry.1);
        postings::decode(list, self.id.first_block)
    }
}

/// The spaces of a page with their posting lists.
pub(super) fn entries(mut page: &[u8], first_space: u32) -> impl Iterator<Item = (u32, &[u8])> {
    let mut space = first_space;
    std::iter::from_fn(move || {
        space = space.checked_add(u32::try_from(take_number(&mut page)?).ok()?)?;
        let len = to_usize(take_number(&mut page)?);
        let (list, rest) = page.split_at_checked(len)?;
        page = rest;
        Some((space, list))
    })
}

/// The head of a segment as it is kept.
#[derive(Encode, BorrowDecode)]
pub(super) struct Head<'h> {
    version: u32,
    /// The position of the last event before the segment, and in it.
    pub(super) start: u64,
    pub(super) end: u64,
    /// The hash of the last block before the segment, and in it.
    pub(super) previous: BlockHash,
    pub(super) last_hash: BlockHash,
    pub(super) blocks: Vec<BlockEntry>,
    /// The number of spaces in all segments before.
    pub(super) spaces_before: u32,
    pub(super) new_spaces: Vec<&'h str>,
    /// The spaces of the segment, as differences of their numbers, with their revisions behind it.
    pub(super) revisions: Vec<(u32, u64)>,
    pub(super) fences: Vec<u32>,
}

impl<'h> Head<'h> {
    pub(super) fn decode(bytes: &'h [u8]) -> Option<Self> {
        // The blob store has checked the bytes against their hash: the limit only bounds memory.
        let config = bincode::config::standard().with_limit::<{ 1 << 30 }>();
        let (head, used): (Self, usize) = bincode::borrow_decode_from_slice(bytes, config).ok()?;
        (used == bytes.len() && head.version == STORED_VERSION).then_some(head)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        bincode::encode_to_vec(self, bincode::config::standard())
            .expect("the head of a segment encodes into memory without an error")
    }

    /// The spaces of the segment by their numbers, with their revisions behind it.
    pub(super) fn revisions(&self) -> impl Iterator<Item = (u32, u64)> {
        let mut space = 0_u32;
        self.revisions.iter().map(move |(difference, revision)| {
            space = space.saturating_add(*difference);
            (space, *revision)
        })
    }
}

/// What the builder of a segment is told ahead of its postings.
pub(super) struct Outline<'h> {
    pub(super) first_block: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) previous: BlockHash,
    pub(super) last_hash: BlockHash,
    pub(super) blocks: Vec<BlockEntry>,
    pub(super) spaces_before: u32,
    pub(super) new_spaces: Vec<&'h str>,
}

/// Makes a segment, space by space in the order of their numbers.
pub(super) struct SegmentBuilder<'h> {
    pub(super) segment: Segment,
    head: Head<'h>,
    page: Vec<u8>,
    last_space: u32,
    last_in_page: u32,
}

impl<'h> SegmentBuilder<'h> {
    pub(super) fn new(outline: Outline<'h>) -> Self {
        let blocks = u32::try_from(outline.blocks.len()).unwrap_or(u32::MAX);
        let id = SegmentId::new(outline.first_block, blocks, &outline.last_hash);
        let head = Head {
            version: STORED_VERSION,
            start: outline.start,
            end: outline.end,
            previous: outline.previous,
            last_hash: outline.last_hash,
            blocks: outline.blocks,
            spaces_before: outline.spaces_before,
            new_spaces: outline.new_spaces,
            revisions: Vec::new(),
            fences: Vec::new(),
        };
        let segment = Segment { id, fences: Vec::new() };
        Self { segment, head, page: Vec::new(), last_space: 0, last_in_page: 0 }
    }

    /// Takes in a space, its postings and its revision behind the segment; hands out the page
    /// that is full before it.
    pub(super) fn push(
        &mut self,
        space: u32,
        revision: u64,
        postings: impl IntoIterator<Item = Posting>,
    ) -> Option<(PageId, Vec<u8>)> {
        let full = if self.page.len() >= PAGE_BYTES { self.take_page() } else { None };
        if self.page.is_empty() {
            self.segment.fences.push(space);
            self.last_in_page = space;
        }
        let list = postings::encode(postings, self.segment.id.first_block);
        put_number(&mut self.page, u64::from(space.saturating_sub(self.last_in_page)));
        put_number(&mut self.page, to_u64(list.len()));
        self.page.extend_from_slice(&list);
        self.last_in_page = space;
        self.head.revisions.push((space.saturating_sub(self.last_space), revision));
        self.last_space = space;
        full
    }

    /// The page that has been begun, if one has.
    pub(super) fn take_page(&mut self) -> Option<(PageId, Vec<u8>)> {
        let page = u32::try_from(self.segment.fences.len()).ok()?.checked_sub(1)?;
        let bytes = std::mem::take(&mut self.page);
        (!bytes.is_empty()).then_some((PageId { segment: self.segment.id, page }, bytes))
    }

    /// The segment, and the bytes of its head. Every page must have been taken.
    pub(super) fn finish(mut self) -> (Segment, Vec<u8>) {
        self.head.fences.clone_from(&self.segment.fences);
        (self.segment, self.head.encode())
    }
}
