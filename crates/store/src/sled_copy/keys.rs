//! The keys of blocks.

use spacefold_event_core::Position;

/// The key of a part of the block that begins at `first`.
pub(super) fn block_key(first: Position, part: u16) -> [u8; 10] {
    let mut key = [0; 10];
    let (position, last) = key.split_at_mut(8);
    position.copy_from_slice(&first.get().to_be_bytes());
    last.copy_from_slice(&part.to_be_bytes());
    key
}

/// What [`block_key`] made the key of; `None` when it is none of its keys.
pub(super) fn parse_block_key(key: &[u8]) -> Option<(Position, u16)> {
    let (first, part) = key.split_first_chunk()?;
    let part = part.try_into().ok()?;
    Some((Position::new(u64::from_be_bytes(*first)), u16::from_be_bytes(part)))
}
