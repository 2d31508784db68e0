//! What is known of each block, by what decides whether it has to be read: 24 bytes a block.

use bincode::{Decode, Encode};
use spacefold_event_core::{EventTypes, Position, Records, Timestamp, bytes::to_usize};

/// The blocks in order, numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Directory {
    blocks: Vec<BlockEntry>,
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct BlockEntry {
    pub(super) first: u64,
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

impl Directory {
    pub(super) fn push(&mut self, entry: BlockEntry) {
        self.blocks.push(entry);
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, block: u32) -> Option<&BlockEntry> {
        self.blocks.get(to_usize(block))
    }

    pub(super) fn from(&self, block: u32) -> &[BlockEntry] {
        let start = to_usize(block);
        self.blocks.get(start..).unwrap_or_default()
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
