//! Blocks: some hundreds of records, immutable and self-describing, chained by their hashes.
//!
//! The values in sled and the content of segments. Pure functions over bytes. The checksum
//! covers the bytes as they are stored, the hash what they mean: two copies of a block may be
//! compressed differently and still have one hash. `docs/format.md` has every byte.

pub(crate) mod index;
pub(crate) mod plan;
pub(crate) mod segment;

use std::sync::Arc;

use spacefold_event_core::{
    Assignments, CorruptRecords, EncodedBody, EventId, MAX_APPEND_EVENTS, Position, Records,
    Schemas, Timestamp,
    bytes::{ByteReader, to_u32, to_u64, to_usize},
};

use crate::{
    event_keys::{EventKeys, KeyedOrigin},
    run::RecordRun,
    scratch,
    wire::{MAX_ASSIGNMENTS_BYTES, MAX_BODY_BYTES, MAX_EXTENSION_BYTES, check_run, is_extension},
};

/// What a block is known by, and what the next one is chained to.
pub(crate) type BlockHash = [u8; 32];

/// Bytes of a block before its extension fields: what [`peek`] needs.
pub(crate) const BLOCK_HEADER_BYTES: usize = 96;
/// Bytes of a block after its body: hash and checksum.
pub(crate) const BLOCK_TRAILER_BYTES: usize = size_of::<BlockHash>() + CRC_BYTES;
/// The longest block there can be.
pub(crate) const MAX_BLOCK_BYTES: usize = BLOCK_HEADER_BYTES
    + MAX_EXTENSION_BYTES
    + MAX_ASSIGNMENTS_BYTES
    + MAX_BODY_BYTES
    + BLOCK_TRAILER_BYTES;

const MAGIC: [u8; 4] = *b"SFB1";
const FORMAT_VERSION: u16 = 1;
const NO_FLAGS: u8 = 0;
const CRC_BYTES: usize = size_of::<u32>();
const CODEC_OFFSET: usize = 6;
/// Where the fields begin that say how the body is stored: its length then, and that of its dense part.
const STORAGE_OFFSET: usize = BLOCK_HEADER_BYTES - 2 * size_of::<u32>();
const OTHER_LENGTH: BlockError = BlockError::Unreadable("a body of another length");
const GENESIS_DOMAIN: &[u8] = b"spacefold block chain";

/// How a body is stored but for its dense part, which is stored as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyCodec {
    /// As it is.
    None,
    /// One LZ4 block without a size in front.
    Lz4,
}

impl BodyCodec {
    const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Lz4),
            _ => None,
        }
    }
}

/// A block as bytes, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncodedBlock {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// The hash, which the next block carries.
    pub(crate) hash: BlockHash,
}

/// What the fixed fields of a block say. They are believed only once the block is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// The store.
    pub(crate) store_id: [u8; 16],
    /// The position of the first record.
    pub(crate) first_position: Position,
    /// When the log took the first record.
    pub(crate) recorded_at: Timestamp,
    /// The hash of the block before.
    pub(crate) previous: BlockHash,
    /// The number of records, from 1.
    pub(crate) count: u32,
    /// Bytes of the body once it is unpacked.
    pub(crate) body_len: u32,
    /// How the body is stored.
    pub(crate) codec: BodyCodec,
    /// Bytes of the whole block as it is stored.
    pub(crate) stored_len: usize,
    extension_len: u32,
    assignments_len: u32,
    stored_body_len: u32,
    dense_len: u32,
}

/// A decoded block. It keeps what the hash is made of: keep [`Block::records`], drop the rest.
#[derive(Debug)]
pub(crate) struct Block {
    /// The records, unpacked.
    pub(crate) records: Records,
    /// The hash of the block before, as the block says.
    pub(crate) previous: BlockHash,
    /// The hash of the block, as the block says; [`Block::verify_hash`] makes sure.
    pub(crate) hash: BlockHash,
    /// The extension fields: [`StateCommitment`](crate::StateCommitment)s, and others.
    pub(crate) extension: Vec<u8>,
    header: [u8; BLOCK_HEADER_BYTES],
    assignments: Vec<u8>,
    rest: Vec<u8>,
    dense: Vec<u8>,
}

/// What a block says of itself.
#[derive(Debug)]
pub(crate) struct BlockLook<'a> {
    pub(crate) header: BlockHeader,
    pub(crate) extension: &'a [u8],
    pub(crate) hash: BlockHash,
}

/// Why bytes are no block of this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    /// Bytes that do not start like a block, or like a segment.
    #[error("no block or segment starts here")]
    NotABlock,
    /// A format version that this build does not know.
    #[error("a block or segment of format version {found}")]
    UnknownFormat {
        /// The version.
        found: u16,
    },
    /// Whole, but of another store.
    #[error("a block or segment of another store")]
    OtherStore,
    /// The bytes end before the block or file does, or go on after it.
    #[error("a block or segment of the wrong length")]
    WrongLength,
    /// The checksum is not that of the bytes.
    #[error("a block or segment whose checksum does not match")]
    BadChecksum,
    /// The hash is not that of the content.
    #[error("a block whose hash does not match")]
    WrongHash,
    /// Intact as far as can be told, but not readable: what is wrong.
    #[error("a block or segment that cannot be read: {0}")]
    Unreadable(&'static str),
    /// The records do not decode.
    #[error(transparent)]
    Records(#[from] CorruptRecords),
}

/// What the first block of a store is chained to.
pub(crate) fn genesis(store_id: [u8; 16]) -> BlockHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(GENESIS_DOMAIN);
    hasher.update(&store_id);
    hasher.update(&FORMAT_VERSION.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// Encodes a block that follows the one with the hash `previous`.
///
/// The body but for its dense part is compressed when that saves an eighth of it or more. Panics when the run is longer than
/// any append may be, or `extension` is none: such a block could not be read back.
pub(crate) fn encode(
    store_id: [u8; 16],
    previous: BlockHash,
    assignments: &Assignments,
    body: &EncodedBody,
    extension: &[u8],
) -> EncodedBlock {
    let (rest, _) = body.parts();
    let compressed = lz4_flex::block::compress(rest);
    if compressed.len() < rest.len() / 8 * 7 {
        encode_as(BodyCodec::Lz4, &compressed, store_id, previous, assignments, body, extension)
    } else {
        encode_as(BodyCodec::None, rest, store_id, previous, assignments, body, extension)
    }
}

fn encode_as(
    codec: BodyCodec,
    stored_rest: &[u8],
    store_id: [u8; 16],
    previous: BlockHash,
    assignments: &Assignments,
    body: &EncodedBody,
    extension: &[u8],
) -> EncodedBlock {
    let stored_assignments = assignments.encode();
    assert!(
        (1..=MAX_APPEND_EVENTS).contains(&body.count())
            && body.bytes().len() <= MAX_BODY_BYTES
            && stored_assignments.len() <= MAX_ASSIGNMENTS_BYTES
            && is_extension(extension),
        "a block holds a run of records within the limits of an append"
    );
    let recorded_at = assignments.recorded_at.first();
    let recorded_at = recorded_at.expect("a run of records has a time");
    let (rest, dense) = body.parts();
    let stored_body_len = stored_rest.len() + dense.len();
    let len = BLOCK_HEADER_BYTES
        + extension.len()
        + stored_assignments.len()
        + stored_body_len
        + BLOCK_TRAILER_BYTES;
    let mut bytes = Vec::with_capacity(len);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.push(codec.code());
    bytes.push(NO_FLAGS);
    bytes.extend_from_slice(&store_id);
    bytes.extend_from_slice(&assignments.first_position.get().to_le_bytes());
    bytes.extend_from_slice(&recorded_at.as_micros().to_le_bytes());
    bytes.extend_from_slice(&previous);
    bytes.extend_from_slice(&to_u32(body.count()).to_le_bytes());
    bytes.extend_from_slice(&to_u32(extension.len()).to_le_bytes());
    bytes.extend_from_slice(&to_u32(stored_assignments.len()).to_le_bytes());
    bytes.extend_from_slice(&to_u32(body.bytes().len()).to_le_bytes());
    bytes.extend_from_slice(&to_u32(stored_body_len).to_le_bytes());
    bytes.extend_from_slice(&to_u32(dense.len()).to_le_bytes());
    let hash = content_hash(&bytes, [extension, &stored_assignments, rest, dense]);
    bytes.extend_from_slice(extension);
    bytes.extend_from_slice(&stored_assignments);
    bytes.extend_from_slice(stored_rest);
    bytes.extend_from_slice(dense);
    bytes.extend_from_slice(&hash);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    EncodedBlock { bytes, hash }
}

/// The fixed fields of the block at the start of `bytes`, of which the first
/// [`BLOCK_HEADER_BYTES`] are enough. Nothing is checked but that they can be those of a block.
pub(crate) fn peek(bytes: &[u8]) -> Result<BlockHeader, BlockError> {
    if bytes.first_chunk().is_some_and(|magic: &[u8; 4]| *magic != MAGIC) {
        return Err(BlockError::NotABlock);
    }
    let fields = BlockFields::read(bytes).ok_or(BlockError::WrongLength)?;
    if fields.format_version != FORMAT_VERSION {
        return Err(BlockError::UnknownFormat { found: fields.format_version });
    }
    fields.check().map_err(BlockError::Unreadable)
}

/// What the fixed fields of the block say that is exactly `bytes`, and its hash as it says, once its
/// checksum holds: which store it is of is for the caller to see.
pub(crate) fn intact(bytes: &[u8]) -> Result<(BlockHeader, BlockHash), BlockError> {
    let header = peek(bytes)?;
    let parts = BlockParts::of(bytes, header.store_id)?;
    Ok((header, parts.hash))
}

/// Decodes a block that is exactly `bytes`. Everything is checked but the hash, which
/// [`Block::verify_hash`] does.
pub(crate) fn decode(
    bytes: &[u8],
    store_id: [u8; 16],
    schemas: &Schemas,
) -> Result<Block, BlockError> {
    let parts = BlockParts::of(bytes, store_id)?;
    if !is_extension(parts.extension) {
        return Err(BlockError::Unreadable("extension fields of a wrong length"));
    }
    let (rest, records) =
        parts.with_rest(|rest| Ok((rest.to_vec(), parts.records(rest, schemas)?)))?;
    Ok(Block {
        records,
        previous: parts.header.previous,
        hash: parts.hash,
        extension: parts.extension.to_vec(),
        header: parts.header_bytes,
        assignments: parts.assignments.to_vec(),
        rest,
        dense: parts.dense.to_vec(),
    })
}

/// The records of a block that is exactly `bytes`: what [`decode`] gives, at less cost.
pub(crate) fn records(
    bytes: &[u8],
    store_id: [u8; 16],
    schemas: &Schemas,
) -> Result<Records, BlockError> {
    let parts = BlockParts::of(bytes, store_id)?;
    parts.with_rest(|rest| parts.records(rest, schemas))
}

/// What a block that is exactly `bytes` says, its checksum believed and nothing unpacked.
pub(crate) fn look(bytes: &[u8], store_id: [u8; 16]) -> Result<BlockLook<'_>, BlockError> {
    let BlockParts { header, extension, hash, .. } = BlockParts::of(bytes, store_id)?;
    Ok(BlockLook { header, extension, hash })
}

/// The id of each record of a block that is exactly `bytes`, and with schemas the origins of those that
/// have one: for these the columns are unpacked, but no text and no payload.
pub(crate) fn event_keys(
    bytes: &[u8],
    store_id: [u8; 16],
    schemas: Option<&Schemas>,
) -> Result<EventKeys, BlockError> {
    let parts = BlockParts::of(bytes, store_id)?;
    let (first, count) = (parts.header.first_position, to_usize(parts.header.count));
    let ids = Records::decode_event_ids(parts.dense, count)?;
    let mut origins = Vec::new();
    if let Some(schemas) = schemas {
        let found = parts
            .with_rest(|rest| Ok(Records::decode_origins(schemas, rest, parts.dense, count)?))?;
        let keyed = |(index, origin)| KeyedOrigin::new(&origin, first.plus(to_u64(index)));
        origins = found.into_iter().map(keyed).collect();
    }
    Ok(EventKeys { ids, origins })
}

impl EncodedBlock {
    /// The id of each record: bytes that this process has just made are not checked.
    pub(crate) fn event_ids(&self) -> Result<Vec<EventId>, BlockError> {
        let parts = BlockParts::split(peek(&self.bytes)?, &self.bytes)?;
        Ok(Records::decode_event_ids(parts.dense, to_usize(parts.header.count))?)
    }
}

/// What a block consists of, its lengths and its checksum believed.
struct BlockParts<'a> {
    header: BlockHeader,
    header_bytes: [u8; BLOCK_HEADER_BYTES],
    extension: &'a [u8],
    assignments: &'a [u8],
    stored_rest: &'a [u8],
    dense: &'a [u8],
    hash: BlockHash,
}

impl<'a> BlockParts<'a> {
    fn of(bytes: &'a [u8], store_id: [u8; 16]) -> Result<Self, BlockError> {
        let header = peek(bytes)?;
        if bytes.len() != header.stored_len {
            return Err(BlockError::WrongLength);
        }
        let split = bytes.split_last_chunk::<CRC_BYTES>();
        let (checked, crc) = split.ok_or(BlockError::WrongLength)?;
        if crc32c::crc32c(checked).to_le_bytes() != *crc {
            return Err(BlockError::BadChecksum);
        }
        if header.store_id != store_id {
            return Err(BlockError::OtherStore);
        }
        Self::split(header, bytes)
    }

    /// Those of bytes whose checksum need not be looked at again.
    fn split(header: BlockHeader, bytes: &'a [u8]) -> Result<Self, BlockError> {
        let mut cursor = ByteReader::new(bytes);
        let header_bytes = cursor.array().ok_or(BlockError::WrongLength)?;
        let mut part = |len: u32| cursor.take(to_usize(len)).ok_or(BlockError::WrongLength);
        let extension = part(header.extension_len)?;
        let assignments = part(header.assignments_len)?;
        let stored_rest = part(header.stored_body_len - header.dense_len)?;
        let dense = part(header.dense_len)?;
        let hash = cursor.array().ok_or(BlockError::WrongLength)?;
        Ok(Self { header, header_bytes, extension, assignments, stored_rest, dense, hash })
    }

    /// Hands the body but for its dense part to `read`, as it was before it was stored.
    fn with_rest<T>(
        &self,
        read: impl FnOnce(&[u8]) -> Result<T, BlockError>,
    ) -> Result<T, BlockError> {
        let len = to_usize(self.header.body_len - self.header.dense_len);
        match self.header.codec {
            BodyCodec::None if self.stored_rest.len() == len => read(self.stored_rest),
            BodyCodec::None => Err(OTHER_LENGTH),
            BodyCodec::Lz4 => {
                scratch::with_bytes(len, |rest| {
                    match lz4_flex::block::decompress_into(self.stored_rest, rest) {
                        Ok(unpacked) if unpacked == len => read(rest),
                        Ok(_) => Err(OTHER_LENGTH),
                        Err(_) => Err(BlockError::Unreadable("a body that does not decompress")),
                    }
                })
            }
        }
    }

    fn records(&self, rest: &[u8], schemas: &Schemas) -> Result<Records, BlockError> {
        let BlockHeader { first_position, recorded_at, count, .. } = self.header;
        let assignments = Assignments::decode(self.assignments, first_position, recorded_at)?;
        Ok(Records::decode_parts(schemas, rest, self.dense, to_usize(count), assignments)?)
    }
}

impl Block {
    /// Its records with their bytes, as they stand in a frame.
    pub(crate) fn into_run(self) -> Result<RecordRun, BlockError> {
        let count = self.records.len();
        let body = EncodedBody::from_bytes([self.rest, self.dense].concat(), count)?;
        Ok(RecordRun { records: self.records, body: Arc::new(body) })
    }

    /// Makes sure that the hash is that of the content. Costs one BLAKE3 over the unpacked block.
    pub(crate) fn verify_hash(&self) -> Result<(), BlockError> {
        let parts = [&self.extension[..], &self.assignments, &self.rest, &self.dense];
        let content = content_hash(&self.header, parts);
        if content == self.hash { Ok(()) } else { Err(BlockError::WrongHash) }
    }
}

impl BlockHeader {
    /// The position of the last record.
    pub(crate) const fn last_position(&self) -> Position {
        // Lossless: the count is a u32, and at least 1.
        self.first_position.plus(self.count as u64).previous()
    }
}

/// BLAKE3 of what a block means: its fixed fields but those that say how it is stored, then its
/// parts, of which the fixed fields give the lengths.
fn content_hash(header: &[u8], parts: [&[u8]; 4]) -> BlockHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header.get(..CODEC_OFFSET).unwrap_or_default());
    hasher.update(header.get(CODEC_OFFSET + 1..STORAGE_OFFSET).unwrap_or_default());
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The fixed fields as they stand on disk, not yet believed.
struct BlockFields {
    format_version: u16,
    codec: u8,
    flags: u8,
    store_id: [u8; 16],
    first_position: u64,
    recorded_at: i64,
    previous: BlockHash,
    count: u32,
    extension_len: u32,
    assignments_len: u32,
    body_len: u32,
    stored_body_len: u32,
    dense_len: u32,
}

impl BlockFields {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = ByteReader::new(bytes);
        let _magic: [u8; 4] = cursor.array()?;
        Some(Self {
            format_version: cursor.u16()?,
            codec: cursor.u8()?,
            flags: cursor.u8()?,
            store_id: cursor.array()?,
            first_position: cursor.u64()?,
            recorded_at: cursor.i64()?,
            previous: cursor.array()?,
            count: cursor.u32()?,
            extension_len: cursor.u32()?,
            assignments_len: cursor.u32()?,
            body_len: cursor.u32()?,
            stored_body_len: cursor.u32()?,
            dense_len: cursor.u32()?,
        })
    }

    /// The header, when every field can be one of a block: lengths within their limits above all.
    fn check(&self) -> Result<BlockHeader, &'static str> {
        let limits = [
            (self.extension_len, MAX_EXTENSION_BYTES),
            (self.assignments_len, MAX_ASSIGNMENTS_BYTES),
            (self.body_len, MAX_BODY_BYTES),
            (self.stored_body_len, MAX_BODY_BYTES),
        ];
        if limits.iter().any(|(len, limit)| to_usize(*len) > *limit) {
            return Err("a length past its limit");
        }
        if self.dense_len > self.body_len.min(self.stored_body_len) {
            return Err("a dense part that is longer than its body");
        }
        if self.flags != NO_FLAGS {
            return Err("a flag of a later version");
        }
        check_run(self.first_position, self.count)?;
        let stored_len = BLOCK_HEADER_BYTES
            + to_usize(self.extension_len)
            + to_usize(self.assignments_len)
            + to_usize(self.stored_body_len)
            + BLOCK_TRAILER_BYTES;
        Ok(BlockHeader {
            store_id: self.store_id,
            first_position: Position::new(self.first_position),
            recorded_at: Timestamp::from_micros(self.recorded_at).ok_or("a time out of range")?,
            previous: self.previous,
            count: self.count,
            body_len: self.body_len,
            codec: BodyCodec::from_code(self.codec).ok_or("an unknown codec")?,
            stored_len,
            extension_len: self.extension_len,
            assignments_len: self.assignments_len,
            stored_body_len: self.stored_body_len,
            dense_len: self.dense_len,
        })
    }
}

#[cfg(test)]
mod tests;
