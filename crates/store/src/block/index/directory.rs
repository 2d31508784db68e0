//! What is known of each block, by what decides whether it has to be read: 24 bytes a block. In memory
//! are the blocks that are not kept yet; of the others, rows of some blocks each are read when they are
//! asked for.

use spacefold_event_core::{EventTypes, Position, Records, Timestamp, bytes::to_usize};

use super::postings::{put_number, take_number};

/// The blocks in order, numbered from 0: those from a number on.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// The number of the first one.
    begin: u32,
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

    /// The position of its first event.
    pub(super) const fn first(&self) -> Position {
        Position::new(self.first)
    }

    pub(super) fn may_hold(&self, types: EventTypes) -> bool {
        types.intersects(EventTypes::from_bits(self.types))
    }

    fn began_by(&self, time: Timestamp) -> bool {
        self.first_recorded_at <= time.as_micros()
    }
}

/// Blocks that follow one another, as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DirectoryRow {
    /// The number of the first block.
    pub(super) first_block: u32,
    /// The position of the last event in the last one.
    pub(super) end: Position,
    /// At least one.
    pub(super) entries: Vec<BlockEntry>,
}

impl DirectoryRow {
    /// The position of the first event.
    pub(super) fn first(&self) -> Option<Position> {
        self.entries.first().map(BlockEntry::first)
    }

    /// Writes the number of the first block and how many events all of them have; then of each block
    /// its first position as the difference to the one before, its types, and the difference of its
    /// time.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_number(&mut bytes, u64::from(self.first_block));
        let first = self.first().unwrap_or(Position::START);
        put_number(&mut bytes, self.end.get().wrapping_sub(first.get()));
        let mut before = BlockEntry { first: 0, types: 0, first_recorded_at: 0 };
        for entry in &self.entries {
            put_number(&mut bytes, entry.first.wrapping_sub(before.first));
            put_number(&mut bytes, u64::from(entry.types));
            let difference = entry.first_recorded_at.wrapping_sub(before.first_recorded_at);
            put_number(&mut bytes, difference.cast_unsigned());
            before = *entry;
        }
        bytes
    }

    /// The row that [`DirectoryRow::encode`] wrote; `None` when the bytes are none of its.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let first_block = u32::try_from(take_number(&mut bytes)?).ok()?;
        let after_first = take_number(&mut bytes)?;
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
        let end = Position::new(entries.first()?.first.checked_add(after_first)?);
        Some(Self { first_block, end, entries })
    }

    /// The block that holds a position, with its number; `None` where another row's does.
    pub(super) fn block_at(&self, position: Position) -> Option<(u32, &BlockEntry)> {
        let behind = self.entries.partition_point(|entry| entry.first() <= position);
        let place = behind.checked_sub(1).filter(|_| position <= self.end)?;
        let block = self.first_block.checked_add(u32::try_from(place).ok()?)?;
        Some((block, self.entries.get(place)?))
    }

    /// A block by its number, and the position of its last event.
    pub(super) fn block(&self, block: u32) -> Option<(&BlockEntry, Position)> {
        let place = to_usize(block.checked_sub(self.first_block)?);
        let next = self.entries.get(place + 1);
        let last = next.map_or(self.end, |next| next.first().previous());
        Some((self.entries.get(place)?, last))
    }

    /// How many of the blocks begin at or before a time; times never decrease.
    pub(super) fn begun_by(&self, time: Timestamp) -> usize {
        self.entries.partition_point(|entry| entry.began_by(time))
    }
}

impl Directory {
    /// None, from a number on.
    pub(super) const fn begin_at(begin: u32) -> Self {
        Self { begin, blocks: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: BlockEntry) {
        self.blocks.push(entry);
    }

    /// How many blocks there are, those before the first one too.
    pub(super) fn len(&self) -> u32 {
        let here = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.begin.saturating_add(here)
    }

    /// The number of the first block here.
    pub(super) const fn begin(&self) -> u32 {
        self.begin
    }

    /// Lets go of the blocks before a number: they are kept.
    pub(super) fn release(&mut self, begin: u32) {
        let count = to_usize(begin.saturating_sub(self.begin)).min(self.blocks.len());
        self.blocks.drain(..count);
        self.begin = begin;
    }

    /// Lets go of the blocks from a number on.
    pub(super) fn truncate(&mut self, blocks: u32) {
        self.blocks.truncate(to_usize(blocks.saturating_sub(self.begin)));
    }

    pub(super) fn get(&self, block: u32) -> Option<&BlockEntry> {
        self.blocks.get(to_usize(block.checked_sub(self.begin)?))
    }

    /// The blocks from the first one here up to a number.
    pub(super) fn before(&self, end: u32) -> &[BlockEntry] {
        self.blocks.get(..to_usize(end.saturating_sub(self.begin))).unwrap_or_default()
    }

    /// The position of the first event of a block.
    pub(super) fn first(&self, block: u32) -> Option<Position> {
        self.get(block).map(BlockEntry::first)
    }

    /// The block that holds a position, or the last one; `None` where it is before those here.
    pub(super) fn block_of(&self, position: Position) -> Option<u32> {
        let behind = self.blocks.partition_point(|block| block.first() <= position);
        self.begin.checked_add(u32::try_from(behind.checked_sub(1)?).ok()?)
    }

    /// The last block here whose first event was recorded at or before `time`.
    pub(super) fn block_as_of(&self, time: Timestamp) -> Option<u32> {
        let behind = self.blocks.partition_point(|block| block.began_by(time));
        self.begin.checked_add(u32::try_from(behind.checked_sub(1)?).ok()?)
    }
}
