//! The list of the chunks of a large content.

use spacefold_event_core::{
    ContentHash, MAX_CONTENT_BYTES,
    bytes::{ByteReader, to_usize},
};

use crate::chunks::{MAX_CHUNK_BYTES, MIN_CHUNK_BYTES};

/// Bytes of a list without chunks.
const HEADER_BYTES: usize = 8;
/// Bytes that a chunk takes in a list.
const CHUNK_BYTES: usize = 4 + ContentHash::LEN;
/// Chunks of a content at the most: all but the last have [`MIN_CHUNK_BYTES`] or more.
#[allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "2^20 + 1")]
const MAX_CHUNKS: usize = (MAX_CONTENT_BYTES / MIN_CHUNK_BYTES as u64) as usize + 1;
/// Bytes of a list at the most.
pub(crate) const MAX_LIST_BYTES: usize = HEADER_BYTES + MAX_CHUNKS * CHUNK_BYTES;

/// The chunks of a content, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkList {
    /// Bytes of the content.
    pub(crate) bytes: u64,
    pub(crate) chunks: Vec<ChunkRef>,
}

/// A chunk of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRef {
    pub(crate) hash: ContentHash,
    pub(crate) bytes: u32,
}

impl ChunkList {
    pub(crate) fn push(&mut self, hash: ContentHash, bytes: u32) {
        self.bytes += u64::from(bytes);
        self.chunks.push(ChunkRef { hash, bytes });
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(HEADER_BYTES + self.chunks.len() * CHUNK_BYTES);
        encoded.extend(self.bytes.to_le_bytes());
        for chunk in &self.chunks {
            encoded.extend(chunk.bytes.to_le_bytes());
            encoded.extend(chunk.hash.as_bytes());
        }
        encoded
    }

    /// The list in `encoded`; `None` when the bytes are none.
    pub(crate) fn decode(encoded: &[u8]) -> Option<Self> {
        let mut reader = ByteReader::new(encoded);
        let bytes = reader.u64()?;
        let count = reader.rest().len() / CHUNK_BYTES;
        if encoded.len() > MAX_LIST_BYTES {
            return None;
        }
        let mut list = Self { bytes: 0, chunks: Vec::with_capacity(count) };
        for _ in 0..count {
            let chunk_bytes = reader.u32()?;
            if to_usize(chunk_bytes) > MAX_CHUNK_BYTES {
                return None;
            }
            list.push(ContentHash::from_bytes(reader.array()?), chunk_bytes);
        }
        let fits = list.bytes == bytes && bytes <= MAX_CONTENT_BYTES && !list.chunks.is_empty();
        reader.end(list).filter(|_| fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_every_other_length_is_not() {
        let mut list = ChunkList::default();
        list.push(ContentHash::of(b"a"), 70_000);
        list.push(ContentHash::of(b"b"), 3);
        let encoded = list.encode();
        assert_eq!(ChunkList::decode(&encoded), Some(list));
        for len in 0..encoded.len() {
            assert_eq!(ChunkList::decode(&encoded[..len]), None, "{len}");
        }
        for byte in 0..12 {
            let mut other = encoded.clone();
            other[byte] ^= 1;
            assert_eq!(ChunkList::decode(&other), None, "{byte}");
        }
    }
}
