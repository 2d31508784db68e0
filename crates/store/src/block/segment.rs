//! Segments: blocks one after another between a header and an index, immutable.
//!
//! A reader that has the whole file calls [`parse`]. One that wants no more than the index reads
//! the first [`HEADER_BYTES`] and the last [`TAIL_BYTES`], asks [`footer_len`], and hands the
//! pieces to [`parse_parts`].

pub(crate) mod noted;

use std::iter::once;

use spacefold_event_core::{
    Position,
    bytes::{ByteReader, to_u32, to_u64, to_usize},
};

use super::{
    BLOCK_HEADER_BYTES, BLOCK_TRAILER_BYTES, BlockError, BlockHash, CRC_BYTES, EncodedBlock,
    FORMAT_VERSION, MAX_BLOCK_BYTES, peek,
};

/// Bytes before the first block.
pub(crate) const HEADER_BYTES: usize = 80;
/// The last bytes of a file, which say how long the footer is.
pub(crate) const TAIL_BYTES: usize = size_of::<u32>() + END_MAGIC.len();
/// Blocks of one file. A limit for what is read; files are far shorter.
pub(crate) const MAX_BLOCKS: usize = 1 << 20;

const MAGIC: [u8; 4] = *b"SFSF";
const END_MAGIC: [u8; 4] = *b"SFSE";
const NO_FLAGS: u16 = 0;
const ENTRY_BYTES: usize = 2 * size_of::<u64>();
const MIN_BLOCK_BYTES: usize = BLOCK_HEADER_BYTES + BLOCK_TRAILER_BYTES;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    /// The position of the first record.
    pub(crate) first_position: Position,
    /// The position of the last record.
    pub(crate) last_position: Position,
    /// The hash of the block before the first.
    pub(crate) previous: BlockHash,
    /// The hash of the last block.
    pub(crate) last_hash: BlockHash,
    /// The blocks in order, from 1.
    pub(crate) blocks: Vec<SegmentEntry>,
}

/// What is known of a segment but where its blocks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEnds {
    /// The position of the first record.
    pub(crate) first_position: Position,
    /// The position of the last record.
    pub(crate) last_position: Position,
    /// The hash of the block before the first.
    pub(crate) previous: BlockHash,
    /// The hash of the last block.
    pub(crate) last_hash: BlockHash,
}

impl SegmentIndex {
    pub(crate) const fn ends(&self) -> SegmentEnds {
        let Self { first_position, last_position, previous, last_hash, .. } = *self;
        SegmentEnds { first_position, last_position, previous, last_hash }
    }
}

/// Where a block lies in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    /// The position of its first record.
    pub(crate) first_position: Position,
    /// Bytes from the start of the file.
    pub(crate) offset: u64,
    /// Bytes of the block.
    pub(crate) len: u64,
}

impl SegmentEntry {
    /// Its bytes in those of the file; none where they are cut off.
    pub(crate) fn of<'f>(&self, file: &'f [u8]) -> &'f [u8] {
        let start = to_usize(self.offset);
        file.get(start..start.saturating_add(to_usize(self.len))).unwrap_or_default()
    }
}

/// A file of blocks that is not written yet: what is before them and what is after them.
pub(crate) struct EncodedSegment<'b> {
    header: Vec<u8>,
    blocks: &'b [EncodedBlock],
    footer: Vec<u8>,
    /// What it says of itself, read back.
    pub(crate) index: SegmentIndex,
}

impl EncodedSegment<'_> {
    /// Its bytes, one part after another.
    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        let blocks = self.blocks.iter().map(|block| &*block.bytes);
        once(&*self.header).chain(blocks).chain(once(&*self.footer)).collect()
    }
}

/// Encodes a file of these blocks.
///
/// # Errors
/// A [`BlockError`] when there is none, too many, or they do not follow one another: nothing that
/// could not be read back is written.
pub(crate) fn encode(
    store_id: [u8; 16],
    blocks: &[EncodedBlock],
) -> Result<EncodedSegment<'_>, BlockError> {
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return Err(BlockError::Unreadable("a segment without a block"));
    };
    if blocks.len() > MAX_BLOCKS {
        return Err(BlockError::Unreadable("a segment of too many blocks"));
    }
    let first_header = peek(&first.bytes)?;
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    header.extend_from_slice(&NO_FLAGS.to_le_bytes());
    header.extend_from_slice(&store_id);
    header.extend_from_slice(&first_header.first_position.get().to_le_bytes());
    let last_position = peek(&last.bytes)?.last_position();
    header.extend_from_slice(&last_position.get().to_le_bytes());
    header.extend_from_slice(&first_header.previous);
    header.extend_from_slice(&to_u32(blocks.len()).to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());

    let mut footer = Vec::with_capacity(file_footer_len(blocks.len()));
    let (mut next_position, mut previous) = (first_header.first_position, first_header.previous);
    let mut end = to_u64(header.len());
    for block in blocks {
        let header = peek(&block.bytes)?;
        if header.first_position != next_position
            || header.previous != previous
            || header.store_id != store_id
            || header.stored_len != block.bytes.len()
        {
            return Err(BlockError::Unreadable("blocks that do not follow each other"));
        }
        next_position = header.last_position().next();
        previous = block.hash;
        footer.extend_from_slice(&header.first_position.get().to_le_bytes());
        footer.extend_from_slice(&end.to_le_bytes());
        end += to_u64(block.bytes.len());
    }
    footer.extend_from_slice(&last.hash);
    footer.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
    footer.extend_from_slice(&to_u32(file_footer_len(blocks.len())).to_le_bytes());
    footer.extend_from_slice(&END_MAGIC);
    let index = parse_parts(&header, &footer, end + to_u64(footer.len()), store_id)?;
    Ok(EncodedSegment { header, blocks, footer, index })
}

/// Reads the index of the file that is exactly `bytes`. The blocks themselves are not looked at.
pub(crate) fn parse(bytes: &[u8], store_id: [u8; 16]) -> Result<SegmentIndex, BlockError> {
    let header = bytes.get(..HEADER_BYTES).ok_or_else(|| too_short(bytes))?;
    let tail = bytes.last_chunk().ok_or(BlockError::WrongLength)?;
    let start = bytes.len().checked_sub(footer_len(tail)?);
    let footer = start.and_then(|start| bytes.get(start..));
    let footer = footer.ok_or(BlockError::WrongLength)?;
    parse_parts(header, footer, to_u64(bytes.len()), store_id)
}

/// Bytes of the footer, from the last bytes of a file. Within the limit for footers.
pub(crate) fn footer_len(tail: &[u8; TAIL_BYTES]) -> Result<usize, BlockError> {
    let mut cursor = ByteReader::new(tail);
    let len = cursor.u32().map(to_usize).ok_or(BlockError::WrongLength)?;
    if cursor.rest() != END_MAGIC {
        return Err(BlockError::Unreadable("a segment without its end"));
    }
    if len > file_footer_len(MAX_BLOCKS) {
        return Err(BlockError::Unreadable("a length past its limit"));
    }
    Ok(len)
}

/// Reads the index from the header, the footer and the length of a file.
pub(crate) fn parse_parts(
    header: &[u8],
    footer: &[u8],
    file_len: u64,
    store_id: [u8; 16],
) -> Result<SegmentIndex, BlockError> {
    let header = SegmentHeader::parse(header, store_id)?;
    if footer.len() != file_footer_len(header.block_count) {
        return Err(BlockError::WrongLength);
    }
    let footer_offset =
        file_len.checked_sub(to_u64(footer.len())).ok_or(BlockError::WrongLength)?;
    let (last_hash, entries) = parse_footer(footer)?;
    let ends = entries.iter().skip(1).map(|(_, offset)| *offset).chain([footer_offset]);
    let blocks: Option<Vec<SegmentEntry>> = entries
        .iter()
        .zip(ends)
        .map(|((first_position, offset), end)| {
            let len = end.checked_sub(*offset)?;
            let limits = to_u64(MIN_BLOCK_BYTES)..=to_u64(MAX_BLOCK_BYTES);
            limits.contains(&len).then_some(SegmentEntry {
                first_position: *first_position,
                offset: *offset,
                len,
            })
        })
        .collect();
    let blocks = blocks.ok_or(BlockError::WrongLength)?;
    let starts = entries.first();
    let rising =
        entries.iter().zip(entries.iter().skip(1)).all(|((before, _), (after, _))| before < after);
    if starts != Some(&(header.first_position, to_u64(HEADER_BYTES)))
        || !rising
        || entries.last().is_none_or(|(position, _)| *position > header.last_position)
    {
        return Err(BlockError::Unreadable("an index that does not fit its file"));
    }
    Ok(SegmentIndex {
        first_position: header.first_position,
        last_position: header.last_position,
        previous: header.previous,
        last_hash,
        blocks,
    })
}

struct SegmentHeader {
    first_position: Position,
    last_position: Position,
    previous: BlockHash,
    block_count: usize,
}

impl SegmentHeader {
    fn parse(bytes: &[u8], store_id: [u8; 16]) -> Result<Self, BlockError> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(|| too_short(bytes))?;
        let mut cursor = ByteReader::new(bytes);
        if cursor.array() != Some(MAGIC) {
            return Err(BlockError::NotABlock);
        }
        let (checked, crc) =
            bytes.split_last_chunk::<CRC_BYTES>().ok_or(BlockError::WrongLength)?;
        if crc32c::crc32c(checked).to_le_bytes() != *crc {
            return Err(BlockError::BadChecksum);
        }
        let short = BlockError::WrongLength;
        let found = cursor.u16().ok_or(short)?;
        if found != FORMAT_VERSION {
            return Err(BlockError::UnknownFormat { found });
        }
        let flags = cursor.u16().ok_or(short)?;
        if cursor.array() != Some(store_id) {
            return Err(BlockError::OtherStore);
        }
        if flags != NO_FLAGS {
            return Err(BlockError::Unreadable("a flag of a later version"));
        }
        let header = Self {
            first_position: cursor.u64().map(Position::new).ok_or(short)?,
            last_position: cursor.u64().map(Position::new).ok_or(short)?,
            previous: cursor.array().ok_or(short)?,
            block_count: cursor.u32().map(to_usize).ok_or(short)?,
        };
        if header.block_count == 0 || header.block_count > MAX_BLOCKS {
            return Err(BlockError::Unreadable("a count of blocks out of range"));
        }
        if header.first_position == Position::START || header.first_position > header.last_position
        {
            return Err(BlockError::Unreadable("a position out of range"));
        }
        Ok(header)
    }
}

type FooterEntries = Vec<(Position, u64)>;

/// The hash of the last block, and the entries.
fn parse_footer(footer: &[u8]) -> Result<(BlockHash, FooterEntries), BlockError> {
    let (rest, tail) = footer.split_last_chunk::<TAIL_BYTES>().ok_or(BlockError::WrongLength)?;
    if footer_len(tail)? != footer.len() {
        return Err(BlockError::WrongLength);
    }
    let (checked, crc) = rest.split_last_chunk::<CRC_BYTES>().ok_or(BlockError::WrongLength)?;
    if crc32c::crc32c(checked).to_le_bytes() != *crc {
        return Err(BlockError::BadChecksum);
    }
    let (entries, last_hash) = checked.split_last_chunk().ok_or(BlockError::WrongLength)?;
    let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
    let entry = |bytes: &[u8; ENTRY_BYTES]| {
        let mut cursor = ByteReader::new(bytes);
        Some((Position::new(cursor.u64()?), cursor.u64()?))
    };
    Ok((*last_hash, entries.iter().filter_map(entry).collect()))
}

const fn file_footer_len(block_count: usize) -> usize {
    block_count * ENTRY_BYTES + size_of::<BlockHash>() + CRC_BYTES + TAIL_BYTES
}

fn too_short(bytes: &[u8]) -> BlockError {
    if bytes.len() >= MAGIC.len() && !bytes.starts_with(&MAGIC) {
        BlockError::NotABlock
    } else {
        BlockError::WrongLength
    }
}
