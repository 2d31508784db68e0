//! An entry of a pack: a header, its payload, zeros up to the next multiple of 8.
//!
//! Both checksums are seeded with the id of the pack and the place of the entry in it, so that no
//! bytes that anybody puts, and none of another pack or place, are ever taken for an entry.

use std::borrow::Cow;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use spacefold_event_core::{
    ContentHash,
    bytes::{ByteReader, to_u64, to_usize},
};

use crate::{chunk_list::MAX_LIST_BYTES, chunks::MAX_CHUNK_BYTES, pack_id::PackId};

/// Bytes of an entry's header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Entries begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
/// What an entry begins with.
pub(crate) const MAGIC: [u8; 4] = *b"SFCE";

/// Bytes that an entry takes in a footer.
pub(crate) const LISTED_BYTES: usize = 48;
/// Entries of a pack at the most: one of a pack of the largest size has 64 bytes at least.
const MAX_ENTRIES: usize = 1 << 24;
/// Bytes of a footer at the most.
pub(crate) const MAX_FOOTER_BYTES: usize = MAX_ENTRIES * LISTED_BYTES;

/// What the payload of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// Bytes with the hash of the entry: a whole content or a chunk of one.
    Chunk,
    /// The list of the chunks of the content with the hash of the entry.
    List,
    /// What the pack holds; its last entry.
    Footer,
}

impl EntryKind {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Chunk => 1,
            Self::List => 2,
            Self::Footer => 3,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Chunk),
            2 => Some(Self::List),
            3 => Some(Self::Footer),
            _ => None,
        }
    }

    /// The most bytes of such a payload.
    const fn max_bytes(self) -> usize {
        match self {
            Self::Chunk => MAX_CHUNK_BYTES,
            Self::List => MAX_LIST_BYTES,
            Self::Footer => MAX_FOOTER_BYTES,
        }
    }
}

/// How the payload of an entry is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadCodec {
    /// Not at all.
    Plain,
    /// As one LZ4 block.
    Lz4,
}

impl PayloadCodec {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Lz4 => 1,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Plain),
            1 => Some(Self::Lz4),
            _ => None,
        }
    }

    /// The payload that was packed into `stored`; `None` when it is none of `bytes`.
    pub(crate) fn unpack(self, stored: &[u8], bytes: usize) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Plain => (stored.len() == bytes).then_some(Cow::Borrowed(stored)),
            Self::Lz4 if bytes <= MAX_CHUNK_BYTES => {
                let payload = lz4_flex::block::decompress(stored, bytes).ok()?;
                (payload.len() == bytes).then_some(Cow::Owned(payload))
            }
            Self::Lz4 => None,
        }
    }
}

/// A chunk as it is stored: packed where that saves at least an eighth.
#[derive(Debug)]
pub(crate) struct PackedChunk<'a> {
    pub(crate) codec: PayloadCodec,
    pub(crate) stored: &'a [u8],
}

/// Packs chunks, one after the other, in memory that is used again.
pub(crate) struct ChunkPacker {
    packed: Vec<u8>,
    /// For chunks of less than 64 KiB, and for larger ones.
    tables: [CompressTable; 2],
}

impl Default for ChunkPacker {
    fn default() -> Self {
        Self { packed: Vec::new(), tables: [CompressTable::small(), CompressTable::large()] }
    }
}

impl ChunkPacker {
    pub(crate) fn pack<'a>(&'a mut self, chunk: &'a [u8]) -> PackedChunk<'a> {
        let plain = PackedChunk { codec: PayloadCodec::Plain, stored: chunk };
        if chunk.len() < MIN_PACKED_BYTES {
            return plain;
        }
        let most = get_maximum_output_size(chunk.len());
        if self.packed.len() < most {
            self.packed.resize(most, 0);
        }
        let [small, large] = &mut self.tables;
        let table = if chunk.len() < usize::from(u16::MAX) { small } else { large };
        let packed = compress_into_with_table(chunk, &mut self.packed, table);
        match packed.ok().and_then(|bytes| self.packed.get(..bytes)) {
            Some(stored) if stored.len() <= chunk.len() - chunk.len() / 8 => {
                PackedChunk { codec: PayloadCodec::Lz4, stored }
            }
            _ => plain,
        }
    }
}

/// Chunks of fewer bytes are not worth packing.
const MIN_PACKED_BYTES: usize = 64;

/// The header of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub(crate) kind: EntryKind,
    pub(crate) codec: PayloadCodec,
    /// Bytes of the payload as it is stored.
    pub(crate) stored_bytes: u32,
    /// Bytes of the payload.
    pub(crate) bytes: u32,
    /// The pack was synced up to here when the entry was written.
    pub(crate) synced_through: u64,
    pub(crate) hash: ContentHash,
}

impl EntryHeader {
    /// The header and its payload, as they stand at `offset` of the pack.
    pub(crate) fn encode(&self, pack: PackId, offset: u64, stored: &[u8], out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend(MAGIC);
        out.extend([self.kind.code(), self.codec.code(), 0, 0]);
        out.extend(self.stored_bytes.to_le_bytes());
        out.extend(self.bytes.to_le_bytes());
        out.extend(self.synced_through.to_le_bytes());
        out.extend(self.hash.as_bytes());
        let seed = seed(pack, offset);
        out.extend(crc32c::crc32c_append(seed, stored).to_le_bytes());
        let header = out.get(begin..).unwrap_or(&[]);
        let checksum = crc32c::crc32c_append(seed, header);
        out.extend(checksum.to_le_bytes());
        out.extend(stored);
        let padded = begin + to_usize(entry_bytes(stored.len()));
        out.resize(padded, 0);
    }

    /// The header at `offset` of the pack, with the checksum of its payload; `None` when the bytes
    /// are none.
    pub(crate) fn decode(bytes: &[u8], pack: PackId, offset: u64) -> Option<(Self, u32)> {
        let checked = bytes.get(..HEADER_BYTES - 4)?;
        let mut reader = ByteReader::new(bytes);
        if reader.array()? != MAGIC {
            return None;
        }
        let (kind, codec, zeros) = (reader.u8()?, reader.u8()?, reader.u16()?);
        let header = Self {
            kind: EntryKind::from_code(kind)?,
            codec: PayloadCodec::from_code(codec)?,
            stored_bytes: reader.u32()?,
            bytes: reader.u32()?,
            synced_through: reader.u64()?,
            hash: ContentHash::from_bytes(reader.array()?),
        };
        let payload_checksum = reader.u32()?;
        let holds = reader.u32()? == crc32c::crc32c_append(seed(pack, offset), checked);
        (holds && zeros == 0 && header.is_in_range()).then_some((header, payload_checksum))
    }

    fn is_in_range(&self) -> bool {
        let fits = to_usize(self.bytes) <= self.kind.max_bytes();
        let packed = match self.codec {
            PayloadCodec::Plain => self.stored_bytes == self.bytes,
            PayloadCodec::Lz4 => self.kind == EntryKind::Chunk && self.stored_bytes < self.bytes,
        };
        fits && packed
    }

    /// Bytes of the whole entry.
    pub(crate) fn entry_bytes(&self) -> u64 {
        entry_bytes(to_usize(self.stored_bytes))
    }
}

/// Bytes of an entry whose payload is stored in this many.
pub(crate) fn entry_bytes(stored_bytes: usize) -> u64 {
    (to_u64(HEADER_BYTES) + to_u64(stored_bytes)).next_multiple_of(ALIGNMENT)
}

/// Whether the payload is what the checksum in the header was made of.
pub(crate) fn payload_holds(stored: &[u8], checksum: u32, pack: PackId, offset: u64) -> bool {
    crc32c::crc32c_append(seed(pack, offset), stored) == checksum
}

fn seed(pack: PackId, offset: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(pack.as_bytes()), &offset.to_le_bytes())
}
