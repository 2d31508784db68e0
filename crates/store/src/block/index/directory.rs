//! What is known of each block, by what decides whether it has to be read: 24 bytes a block.

use spacefold_event_core::{EventTypes, Position, Records, Timestamp, bytes::to_usize};

use super::postings::{put_number, take_number};

/// The blocks in order, numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Directory {
    blocks: Vec<BlockEntry>,
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockEntry {
    first: u64,
    types: u32,
    first_recorded_at: i64,
}

impl BlockEntry {
    pub(super) fn of(records: &Records) -> Self {
        let types: EventTypes = records.event_types().iter().copied().collect();
        Self {
            first: records.first_position().get(),
            types: types.bits(),
            first_recorded_at: records.first_recorded_at().as_micros(),
        }
    }

    pub(super) fn may_hold(&self, types: EventTypes) -> bool {
        types.intersects(EventTypes::from_bits(self.types))
    }
}

/// Writes entries that follow one another: of each its first position as the difference to the one
/// before, its types, and the difference of its time.
pub(super) fn encode(entries: &[BlockEntry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut before = BlockEntry { first: 0, types: 0, first_recorded_at: 0 };
    for entry in entries {
        put_number(&mut bytes, entry.first.wrapping_sub(before.first));
        put_number(&mut bytes, u64::from(entry.types));
        let difference = entry.first_recorded_at.wrapping_sub(before.first_recorded_at);
        put_number(&mut bytes, difference.cast_unsigned());
        before = *entry;
    }
    bytes
}

/// The entries that [`encode`] wrote; `None` when the bytes are none of its.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<BlockEntry>> {
    let mut entries: Vec<BlockEntry> = Vec::new();
    let mut before = BlockEntry { first: 0, types: 0, first_recorded_at: 0 };
    while !bytes.is_empty() {
        let first = before.first.checked_add(take_number(&mut bytes)?)?;
        let types = u32::try_from(take_number(&mut bytes)?).ok()?;
        let difference = take_number(&mut bytes)?.cast_signed();
        let first_recorded_at = before.first_recorded_at.wrapping_add(difference);
        before = BlockEntry { first, types, first_recorded_at };
        entries.push(before);
    }
    Some(entries)
}

impl Directory {
    pub(super) fn push(&mut self, entry: BlockEntry) {
        self.blocks.push(entry);
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }

    /// Lets go of all blocks but the first so many.
    pub(super) fn truncate(&mut self, blocks: u32) {
        self.blocks.truncate(to_usize(blocks));
    }

    pub(super) fn get(&self, block: u32) -> Option<&BlockEntry> {
        self.blocks.get(to_usize(block))
    }

    pub(super) fn range(&self, blocks: std::ops::Range<u32>) -> &[BlockEntry] {
        let (start, end) = (to_usize(blocks.start), to_usize(blocks.end));
        self.blocks.get(start..end).unwrap_or_default()
    }

    /// The position of the first event of a block.
    pub(super) fn first(&self, block: u32) -> Option<Position> {
        self.get(block).map(|entry| Position::new(entry.first))
    }

    /// The block that holds a position, or the last one.
    pub(super) fn block_of(&self, position: Position) -> u32 {
        let behind = self.blocks.partition_point(|block| block.first <= position.get());
        u32::try_from(behind.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The last block whose first event was recorded at or before `time`.
    pub(super) fn block_as_of(&self, time: Timestamp) -> Option<u32> {
        let behind = self.blocks.partition_point(|b| b.first_recorded_at <= time.as_micros());
        u32::try_from(behind.checked_sub(1)?).ok()
    }
}
