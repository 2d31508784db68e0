//! The keys of the two trees, and the directory entry of a blob.

use spacefold_event_core::Position;

/// First byte of the key of a directory entry.
pub(super) const DIRECTORY: u8 = b'd';
/// First byte of the key of a blob's part.
pub(super) const PART: u8 = b'p';

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

/// The key of a blob's directory entry.
pub(super) fn directory_key(key: &[u8]) -> Vec<u8> {
    let mut directory = Vec::with_capacity(1 + key.len());
    directory.push(DIRECTORY);
    directory.extend_from_slice(key);
    directory
}

/// The key of a part of a blob.
pub(super) fn part_key(key: &[u8], generation: u64, part: u32) -> Vec<u8> {
    let hash = blake3::hash(key);
    let mut bytes = Vec::with_capacity(45);
    bytes.push(PART);
    bytes.extend_from_slice(hash.as_bytes());
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(&part.to_be_bytes());
    bytes
}

/// Where a blob is, and what it must be.
#[derive(Clone, Copy)]
pub(super) struct DirectoryEntry {
    pub(super) generation: u64,
    pub(super) parts: u32,
    pub(super) length: u64,
    pub(super) hash: [u8; 32],
}

impl DirectoryEntry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(52);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.parts.to_be_bytes());
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (generation, bytes) = bytes.split_first_chunk()?;
        let (parts, bytes) = bytes.split_first_chunk()?;
        let (length, bytes) = bytes.split_first_chunk()?;
        Some(Self {
            generation: u64::from_be_bytes(*generation),
            parts: u32::from_be_bytes(*parts),
            length: u64::from_be_bytes(*length),
            hash: bytes.try_into().ok()?,
        })
    }

    /// The blob, if these parts are what was put.
    pub(super) fn assemble(&self, parts: &[impl AsRef<[u8]>]) -> Option<Vec<u8>> {
        // Checked before memory is taken for it: the entry may be what is damaged.
        let length: usize = parts.iter().map(|part| part.as_ref().len()).sum();
        if length as u64 != self.length {
            return None;
        }
        let mut value = Vec::with_capacity(length);
        for part in parts {
            value.extend_from_slice(part.as_ref());
        }
        (*blake3::hash(&value).as_bytes() == self.hash).then_some(value)
    }
}
