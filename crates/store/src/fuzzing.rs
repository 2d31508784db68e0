//! Doors to the decoders, for tests that feed them anything. Only with the feature `fuzzing`.
//!
//! Each decoder is given bytes as they would stand on disk and reads all there is to read in them.
//! Its checksums can be made to fit first, so that what lies behind them is reached.

use spacefold_disk::MemoryDisk;
use spacefold_event_core::{Records, Schemas, bytes::to_usize};

use crate::{
    block::{
        self,
        index::kept::{self, FoundIndex},
        segment,
    },
    head::{self, extension},
    journal::frame::{self, FileHeader},
    lineage::Lineage,
    wire::is_extension,
};

/// Something that reads bytes from disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// A frame of the journal.
    Frame,
    /// The header of a journal file.
    FileHeader,
    /// The HEAD file.
    Head,
    /// The extension fields of HEAD and of the headers of journal files.
    Extension,
    /// A list of sessions, as it stands in extension fields and in what sled's copy says of itself.
    Sessions,
    /// What sled's copy says of the store that it is a copy of.
    Lineage,
    /// A block.
    Block,
    /// A segment.
    Segment,
    /// A value of the index of the blocks.
    BlockIndex,
}

/// Where frames, file headers, blocks and segments have the store id.
const STORE_ID_OFFSET: usize = 8;
const FRAME_CRC_OFFSET: usize = 76;
const SLOT_OFFSETS: [usize; 2] = [0, 4_096];

impl Decoder {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Frame,
        Self::FileHeader,
        Self::Head,
        Self::Extension,
        Self::Sessions,
        Self::Lineage,
        Self::Block,
        Self::Segment,
        Self::BlockIndex,
    ];

    /// Reads all there is in the bytes, as those of the store that they name; whether they are
    /// what they should be.
    #[must_use]
    pub fn run(self, bytes: &[u8]) -> bool {
        let store_id = store_id(bytes);
        match self {
            Self::Frame => {
                let frame = frame::parse(bytes, store_id, Schemas::today());
                let runs = frame.ok().and_then(|frame| frame.runs().ok());
                runs.is_some_and(|runs| runs.iter().all(|run| reads(&run.records)))
            }
            Self::FileHeader => FileHeader::parse(bytes, store_id).is_ok(),
            Self::Head => {
                let _ = head::damaged_slots(bytes);
                head::parse(bytes).is_ok()
            }
            Self::Extension => is_extension(bytes) && read_extension(bytes),
            Self::Sessions => read_sessions(bytes),
            Self::Lineage => Lineage::parse(bytes).is_some_and(|lineage| lineage.encode() == bytes),
            Self::Block => read_block(bytes, store_id),
            Self::Segment => read_segment(bytes, store_id),
            Self::BlockIndex => kept::reads_back(bytes),
        }
    }

    /// Makes the checksums fit the bytes, as far as the bytes have room for them.
    pub fn repair(self, bytes: &mut [u8]) {
        match self {
            Self::Frame => repair_frame(bytes),
            Self::FileHeader => repair_at(bytes, 0, frame::FILE_HEADER_BYTES),
            Self::Head => {
                for start in SLOT_OFFSETS {
                    repair_at(bytes, start, start + head::SLOT_BYTES);
                }
            }
            Self::Block | Self::Lineage => repair_at(bytes, 0, bytes.len()),
            Self::Segment => repair_segment(bytes),
            Self::BlockIndex | Self::Extension | Self::Sessions => {}
        }
    }
}

/// The index of a store that has this block alone.
#[must_use]
pub fn block_index(block: &[u8]) -> Option<Vec<u8>> {
    let block = block::decode(block, store_id(block), Schemas::today()).ok()?;
    let disk = MemoryDisk::new().root();
    let (_, mut index) = FoundIndex::look(&disk).open(block.previous, |_, _| false).ok()?;
    index.add(&block.records, block.hash);
    Some(kept::encode_newest(&index))
}

/// The blocks of a segment.
#[must_use]
pub fn blocks(segment: &[u8]) -> Vec<&[u8]> {
    let Ok(index) = segment::parse(segment, store_id(segment)) else {
        return Vec::new();
    };
    let range = |entry: &segment::SegmentEntry| {
        let start = to_usize(entry.offset);
        let end = start.checked_add(to_usize(entry.len))?;
        segment.get(start..end)
    };
    index.blocks.iter().filter_map(range).collect()
}

/// Looks at everything in a run of records; whether all of it decodes.
#[must_use]
pub fn reads(records: &Records) -> bool {
    let _ = records.spaces().count();
    let events = records.envelopes().map(spacefold_event_core::Envelope::decode);
    events.fold(true, |all, event| match event {
        Ok(event) => !event.to_json().is_empty() && all,
        Err(_) => false,
    })
}

fn store_id(bytes: &[u8]) -> [u8; 16] {
    let id = bytes.get(STORE_ID_OFFSET..).and_then(|rest| rest.first_chunk());
    id.copied().unwrap_or_default()
}

/// Reads extension fields; what they say is written as fields that say the same.
fn read_extension(bytes: &[u8]) -> bool {
    extension::decode(bytes).is_some_and(|fields| {
        let written = extension::encode(&fields);
        written.len() <= extension::MAX_BYTES && extension::decode(&written) == Some(fields)
    })
}

/// Reads a list of sessions, asks it what it is asked of journals and copies, and writes it as it was.
fn read_sessions(bytes: &[u8]) -> bool {
    let Some(sessions) = extension::decode_sessions(bytes) else { return false };
    let mut longer = sessions.clone();
    if let Some(newest) = sessions.newest() {
        let _ = (sessions.excludes(newest.incarnation), sessions.has(newest.incarnation));
        longer.push(newest);
    }
    let _ = (sessions.kinship(&longer), longer.kinship(&sessions));
    extension::encode_sessions(&sessions) == bytes
}

fn read_block(bytes: &[u8], store_id: [u8; 16]) -> bool {
    let _ = block::peek(bytes);
    let _ = block::event_keys(bytes, store_id, Some(Schemas::today()));
    block::decode(bytes, store_id, Schemas::today()).is_ok_and(|block| {
        let _ = block.verify_hash();
        reads(&block.records)
    })
}

fn read_segment(bytes: &[u8], store_id: [u8; 16]) -> bool {
    let is_whole = segment::parse(bytes, store_id).is_ok();
    blocks(bytes).into_iter().fold(is_whole, |all, block| read_block(block, store_id) && all)
}

/// Puts the checksum of `start..end` into its last four bytes.
fn repair_at(bytes: &mut [u8], start: usize, end: usize) {
    let Some(slot) = bytes.get_mut(start..end) else { return };
    let Some((checked, crc)) = slot.split_last_chunk_mut::<4>() else { return };
    *crc = crc32c::crc32c(checked).to_le_bytes();
}

fn repair_frame(bytes: &mut [u8]) {
    let u32_at = |offset: usize| {
        let field = bytes.get(offset..).and_then(|rest| rest.first_chunk());
        field.map_or(0, |field| to_usize(u32::from_le_bytes(*field)))
    };
    let parts = [44, 48, 52].map(u32_at).into_iter().fold(0_usize, usize::saturating_add);
    let end = frame::FRAME_HEADER_BYTES.saturating_add(parts).min(bytes.len());
    let part = |start: usize, end: usize| bytes.get(start..end).unwrap_or_default();
    // Store id and incarnation, then the checksum of the frame before.
    let seed = crc32c::crc32c(part(STORE_ID_OFFSET, 32));
    let seed = crc32c::crc32c_append(seed, part(72, FRAME_CRC_OFFSET));
    let crc = crc32c::crc32c_append(seed, part(0, FRAME_CRC_OFFSET));
    let crc = crc32c::crc32c_append(crc, part(frame::FRAME_HEADER_BYTES, end));
    if let Some(field) = bytes.get_mut(FRAME_CRC_OFFSET..FRAME_CRC_OFFSET + 4) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
}

fn repair_segment(bytes: &mut [u8]) {
    repair_at(bytes, 0, segment::HEADER_BYTES);
    let footer_len = bytes.last_chunk().and_then(|tail| segment::footer_len(tail).ok());
    if let Some(start) = footer_len.and_then(|len| bytes.len().checked_sub(len)) {
        repair_at(bytes, start, bytes.len() - segment::TAIL_BYTES);
    }
    let Ok(index) = segment::parse(bytes, store_id(bytes)) else { return };
    for entry in &index.blocks {
        let start = to_usize(entry.offset);
        let len = to_usize(entry.len);
        repair_at(bytes, start, start.saturating_add(len));
    }
}
