//! The segments of the journal: blocks, immutable, synced, chained from file to file.

mod scan;

use std::sync::Arc;

use spacefold_disk::{File, FileStamp};
use spacefold_event_core::{
    Position, StorageError,
    bytes::{to_u64, to_usize},
};

pub(crate) use self::scan::SegmentScan;
use crate::{
    block::{
        self, Block, BlockError, BlockHash, EncodedBlock,
        segment::{
            self, SegmentEnds, SegmentEntry, SegmentIndex,
            noted::{NotedSegment, NotedSegments},
        },
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
    files: Vec<SegmentEnds>,
    /// What is to be noted of those that were read.
    unnoted: Vec<NotedSegment>,
}

impl Segments {
    /// Reads what every segment says of itself, and checks that they follow one another.
    pub(crate) fn open(folder: &StoreFolder, store_id: [u8; 16]) -> Result<Self, OpenError> {
        Self::open_noted(folder, store_id, &NotedSegments::new())
    }

    /// As [`Segments::open`], but reads no file that is as it was when something was noted of it.
    ///
    /// # Cost
    /// A list of the folder, and a look at the file of each segment that does not open it.
    pub(crate) fn open_noted(
        folder: &StoreFolder,
        store_id: [u8; 16],
        noted: &NotedSegments,
    ) -> Result<Self, OpenError> {
        let (files, unnoted) = (Vec::new(), Vec::new());
        let mut segments = Self { folder: folder.clone(), store_id, files, unnoted };
        segments.add(&folder.segment_firsts()?, noted)?;
        Ok(segments)
    }

    /// Reads of those that were written since; of all of them, where others were put in the place of
    /// some.
    pub(crate) fn read_on(&mut self) -> Result<(), OpenError> {
        let firsts = self.folder.segment_firsts()?;
        let known = self.files.iter().map(|file| file.first_position);
        match firsts.get(..self.files.len()).filter(|begin| known.eq(begin.iter().copied())) {
            Some(_) => {
                let new = firsts.get(self.files.len()..).unwrap_or_default();
                self.add(new, &NotedSegments::new())
            }
            None => {
                *self = Self::open(&self.folder, self.store_id)?;
                Ok(())
            }
        }
    }

    /// Takes in the next files.
    fn add(&mut self, firsts: &[Position], noted: &NotedSegments) -> Result<(), OpenError> {
        for first in firsts {
            let next = self.end().next();
            let stamp = self.folder.segment_stamp(*first)?;
            let noted = noted.get(first).filter(|noted| stamp == Some(noted.stamp));
            let ends = match noted {
                Some(noted) => noted.ends,
                None => self.read_ends(*first, stamp)?,
            };
            if ends.first_position != next || ends.previous != self.last_hash() {
                let what = format!("the file begins at {}", ends.first_position);
                return Err(self.damaged(*first, next, what));
            }
            self.files.push(ends);
        }
        Ok(())
    }

    /// Reads what a file says of itself, whose stamp was this before.
    fn read_ends(
        &mut self,
        first: Position,
        stamp: Option<FileStamp>,
    ) -> Result<SegmentEnds, OpenError> {
        let file = self.folder.open_segment(first)?;
        let index = read_index(file.as_ref(), self.store_id)?;
        let index =
            index.map_err(|error| self.damaged(first, self.end().next(), error.to_string()))?;
        let ends = index.ends();
        self.unnoted.extend(stamp.map(|stamp| NotedSegment { ends, stamp }));
        Ok(ends)
    }

    fn damaged(&self, first: Position, position: Position, what: String) -> OpenError {
        OpenError::JournalDamaged {
            position,
            file: self.folder.segment_path(first),
            offset: 0,
            what,
        }
    }

    /// The file that begins as one of these says, and where its blocks are.
    fn index_of(&self, ends: &SegmentEnds) -> Result<(Arc<dyn File>, SegmentIndex), OpenError> {
        let first = ends.first_position;
        let file = self.folder.open_segment(first)?;
        let index = read_index(file.as_ref(), self.store_id)?;
        let index = index.map_err(|error| self.damaged(first, first, error.to_string()))?;
        if index.ends() != *ends {
            let what = "it is another segment than it was".to_owned();
            return Err(self.damaged(first, first, what));
        }
        Ok((file, index))
    }

    /// What is to be noted of the files that were read, since nothing was or they had changed.
    pub(crate) fn unnoted(&self) -> &[NotedSegment] {
        &self.unnoted
    }

    /// What each file says of itself, in order.
    pub(crate) fn files(&self) -> &[SegmentEnds] {
        &self.files
    }

    /// A block of the same store, wherever it is from.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Block, BlockError> {
        block::decode(bytes, self.store_id, self.folder.schemas())
    }

    /// The position of the last event in a segment.
    pub(crate) fn end(&self) -> Position {
        self.files.last().map_or(Position::START, |file| file.last_position)
    }

    /// The hash of the last block in a segment.
    pub(crate) fn last_hash(&self) -> BlockHash {
        self.files.last().map_or_else(|| block::genesis(self.store_id), |file| file.last_hash)
    }

    /// The hash of the block that ends a file at a position; `None` when no file ends there.
    pub(crate) fn hash_at(&self, position: Position) -> Option<BlockHash> {
        let place = self.files.binary_search_by_key(&position, |file| file.last_position).ok()?;
        self.files.get(place).map(|file| file.last_hash)
    }

    /// Where each file after a position ends, and the hash of the last block there, in order.
    pub(crate) fn ends_after(
        &self,
        position: Position,
    ) -> impl Iterator<Item = (Position, BlockHash)> {
        self.files_from(position.next()).iter().map(|file| (file.last_position, file.last_hash))
    }

    /// The file that has a position, and those after it.
    fn files_from(&self, position: Position) -> &[SegmentEnds] {
        let before = self.files.partition_point(|file| file.last_position < position);
        self.files.get(before..).unwrap_or_default()
    }

    /// The first position of the block that holds a position, or of the last block before it.
    pub(crate) fn block_of(&self, position: Position) -> Result<Position, OpenError> {
        let file = self.files_from(position).first().or(self.files.last());
        let Some(file) = file else { return Ok(Position::new(1)) };
        let (_, index) = self.index_of(file)?;
        let before = index.blocks.iter().map(|entry| entry.first_position);
        let found = before.take_while(|first| *first <= position).last();
        Ok(found.unwrap_or(file.first_position))
    }

    /// Where each block begins from `from` on, and its bytes, as the indexes of the files say.
    pub(crate) fn places_from(&self, from: Position) -> Result<Vec<(Position, usize)>, OpenError> {
        let mut places = Vec::new();
        for file in self.files_from(from) {
            let (_, index) = self.index_of(file)?;
            let behind = index.blocks.iter().filter(|entry| entry.first_position >= from);
            places.extend(behind.map(|entry| (entry.first_position, to_usize(entry.len))));
        }
        Ok(places)
    }

    /// Reads every block from the one at `from` on, checked against its own hash and the chain.
    pub(crate) fn blocks_from(
        &self,
        from: Position,
        visit: &mut VisitBlockBytes<'_>,
    ) -> Result<(), OpenError> {
        self.some_blocks_from(from, usize::MAX, visit)
    }

    /// As [`Segments::blocks_from`], but no more of them than have so many bytes together, or one.
    pub(crate) fn some_blocks_from(
        &self,
        from: Position,
        max_bytes: usize,
        visit: &mut VisitBlockBytes<'_>,
    ) -> Result<(), OpenError> {
        let mut left = max_bytes;
        for ends in self.files_from(from) {
            let (file, index) = self.index_of(ends)?;
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
                left = left.saturating_sub(bytes.len());
                if left == 0 {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// How many files have positions after one.
    pub(crate) fn files_after(&self, position: Position) -> usize {
        self.files_from(position.next()).len()
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

#[cfg(test)]
mod tests;
