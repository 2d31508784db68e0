//! The segments of the journal: blocks, immutable, synced, chained from file to file.

mod scan;

use spacefold_disk::File;
use spacefold_event_core::{
    Position, StorageError,
    bytes::{to_u64, to_usize},
};

pub(crate) use self::scan::SegmentScan;
use crate::{
    block::{
        self, Block, BlockError, BlockHash, EncodedBlock,
        segment::{self, SegmentEntry, SegmentIndex},
    },
    error::OpenError,
    folder::StoreFolder,
};

/// What is done with each block and its bytes.
pub(crate) type VisitBlockBytes<'v> = dyn FnMut(&Block, &[u8]) -> Result<(), OpenError> + 'v;

/// The segments of a store, ascending.
#[derive(Debug)]
pub(crate) struct Segments {
    folder: StoreFolder,
    store_id: [u8; 16],
    files: Vec<SegmentIndex>,
}

impl Segments {
    /// Reads the index of every segment and checks that they follow one another.
    pub(crate) fn open(folder: &StoreFolder, store_id: [u8; 16]) -> Result<Self, OpenError> {
        let mut segments = Self { folder: folder.clone(), store_id, files: Vec::new() };
        segments.add(&folder.segment_firsts()?)?;
        Ok(segments)
    }

    /// Reads the indexes of those that were written since; of all of them, where others were put in
    /// the place of some.
    pub(crate) fn read_on(&mut self) -> Result<(), OpenError> {
        let firsts = self.folder.segment_firsts()?;
        let known = self.files.iter().map(|index| index.first_position);
        match firsts.get(..self.files.len()).filter(|begin| known.eq(begin.iter().copied())) {
            Some(_) => self.add(firsts.get(self.files.len()..).unwrap_or_default()),
            None => {
                *self = Self::open(&self.folder, self.store_id)?;
                Ok(())
            }
        }
    }

    /// Reads the indexes of the next files.
    fn add(&mut self, firsts: &[Position]) -> Result<(), OpenError> {
        for first in firsts {
            let next = self.end().next();
            let damaged = |what: String| OpenError::JournalDamaged {
                position: next,
                file: self.folder.segment_path(*first),
                offset: 0,
                what,
            };
            let index = read_index(self.folder.open_segment(*first)?.as_ref(), self.store_id)?;
            let index = index.map_err(|error| damaged(error.to_string()))?;
            if index.first_position != next || index.previous != self.last_hash() {
                return Err(damaged(format!("the file begins at {}", index.first_position)));
            }
            self.files.push(index);
        }
        Ok(())
    }

    /// What each file says of itself, in order.
    pub(crate) fn files(&self) -> &[SegmentIndex] {
        &self.files
    }

    /// A block of the same store, wherever it is from.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Block, BlockError> {
        block::decode(bytes, self.store_id, self.folder.schemas())
    }

    /// The position of the last event in a segment.
    pub(crate) fn end(&self) -> Position {
        self.files.last().map_or(Position::START, |index| index.last_position)
    }

    /// The hash of the last block in a segment.
    pub(crate) fn last_hash(&self) -> BlockHash {
        self.files.last().map_or_else(|| block::genesis(self.store_id), |index| index.last_hash)
    }

    /// The hash of the block that ends a file at a position; `None` when no file ends there.
    pub(crate) fn hash_at(&self, position: Position) -> Option<BlockHash> {
        let ends = self.files.iter().find(|index| index.last_position == position);
        ends.map(|index| index.last_hash)
    }

    /// Where each file after a position ends, and the hash of the last block there, in order.
    pub(crate) fn ends_after(
        &self,
        position: Position,
    ) -> impl Iterator<Item = (Position, BlockHash)> {
        let after = self.files.iter().filter(move |index| index.last_position > position);
        after.map(|index| (index.last_position, index.last_hash))
    }

    /// The first position of the block that holds a position, or of the first block.
    pub(crate) fn block_of(&self, position: Position) -> Position {
        let entries = self.files.iter().flat_map(|index| &index.blocks);
        let before = entries.map(|entry| entry.first_position);
        before.take_while(|first| *first <= position).last().unwrap_or(Position::new(1))
    }

    /// Where each block begins from `from` on, and its bytes, as the indexes of the files say.
    pub(crate) fn places_from(&self, from: Position) -> impl Iterator<Item = (Position, usize)> {
        let entries = self.files.iter().flat_map(|index| &index.blocks);
        let behind = entries.filter(move |entry| entry.first_position >= from);
        behind.map(|entry| (entry.first_position, to_usize(entry.len)))
    }

    /// Reads every block from the one at `from` on, checked against its own hash and the chain.
    pub(crate) fn blocks_from(
        &self,
        from: Position,
        visit: &mut VisitBlockBytes<'_>,
    ) -> Result<(), OpenError> {
        for index in self.files.iter().filter(|index| index.last_position >= from) {
            let file = self.folder.open_segment(index.first_position)?;
            let mut previous = None;
            for entry in index.blocks.iter().filter(|entry| entry.first_position >= from) {
                let damaged = |error: BlockError| OpenError::JournalDamaged {
                    position: entry.first_position,
                    file: file.path().to_owned(),
                    offset: entry.offset,
                    what: error.to_string(),
                };
                let bytes = read_block(file.as_ref(), *entry)?;
                let block = self.decode(&bytes).map_err(damaged)?;
                block.verify_hash().map_err(damaged)?;
                if block.records.first_position() != entry.first_position
                    || previous.is_some_and(|previous| previous != block.previous)
                {
                    return Err(damaged(BlockError::WrongHash));
                }
                previous = Some(block.hash);
                visit(&block, &bytes)?;
            }
        }
        Ok(())
    }
}

/// What a segment ends with, the last position and the hash of the last block, if every byte of
/// it is as it was written and it follows what comes before; `None` when it is not. Each of its
/// blocks is visited until one is not.
pub(crate) fn check(
    folder: &StoreFolder,
    store_id: [u8; 16],
    first: Position,
    previous: BlockHash,
    visit: &mut dyn FnMut(&Block) -> Result<(), OpenError>,
) -> Result<Option<(Position, BlockHash)>, OpenError> {
    let bytes = folder.open_segment(first)?.read_all()?;
    let Ok(index) = segment::parse(&bytes, store_id) else { return Ok(None) };
    let mut chain = previous;
    for entry in &index.blocks {
        let start = to_usize(entry.offset);
        let len = to_usize(entry.len);
        let stored = bytes.get(start..start.saturating_add(len)).unwrap_or(&[]);
        match block::decode(stored, store_id, folder.schemas()) {
            Ok(block) if block.verify_hash().is_ok() && block.previous == chain => {
                chain = block.hash;
                visit(&block)?;
            }
            _ => return Ok(None),
        }
    }
    let whole = index.first_position == first && chain == index.last_hash;
    Ok(whole.then_some((index.last_position, index.last_hash)))
}

/// Whether a file says that it is a segment of a store.
pub(crate) fn is_of(
    folder: &StoreFolder,
    first: Position,
    store_id: [u8; 16],
) -> Result<bool, StorageError> {
    Ok(read_index(folder.open_segment(first)?.as_ref(), store_id)?.is_ok())
}

/// Writes a segment: complete under another name, synced, renamed, its folder synced. Answers
/// what it holds.
pub(crate) fn write(
    folder: &StoreFolder,
    store_id: [u8; 16],
    blocks: &[EncodedBlock],
) -> Result<SegmentIndex, StorageError> {
    let segment = segment::encode(store_id, blocks)
        .map_err(|error| StorageError::new("making a segment", error))?;
    folder.replace_segment(segment.index.first_position, &segment.parts())?;
    Ok(segment.index)
}

/// What a file says of itself.
fn read_index(
    file: &dyn File,
    store_id: [u8; 16],
) -> Result<Result<SegmentIndex, BlockError>, StorageError> {
    let len = file.bytes()?;
    let mut header = [0; segment::HEADER_BYTES];
    let mut tail = [0; segment::TAIL_BYTES];
    let tail_len = to_u64(segment::TAIL_BYTES);
    let shortest = to_u64(segment::HEADER_BYTES) + tail_len;
    if len < shortest {
        return Ok(Err(BlockError::WrongLength));
    }
    file.read_exact_at(&mut header, 0)?;
    file.read_exact_at(&mut tail, len - tail_len)?;
    let footer_len = match segment::footer_len(&tail) {
        Ok(footer_len) => footer_len,
        Err(error) => return Ok(Err(error)),
    };
    let Some(start) = len.checked_sub(to_u64(footer_len)) else {
        return Ok(Err(BlockError::WrongLength));
    };
    let mut footer = vec![0; footer_len];
    file.read_exact_at(&mut footer, start)?;
    Ok(segment::parse_parts(&header, &footer, len, store_id))
}

fn read_block(file: &dyn File, entry: SegmentEntry) -> Result<Vec<u8>, StorageError> {
    let mut bytes = vec![0; to_usize(entry.len)];
    file.read_exact_at(&mut bytes, entry.offset)?;
    Ok(bytes)
}
