//! Blocks of segments for whoever reads the log in order: one read of a file for a block, and
//! nothing stays in memory. Sled takes four reads for it, and keeps what it has read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rustix::process::{Resource, getrlimit};
use spacefold_disk::File;
use spacefold_event_core::{Position, StorageError, bytes::to_usize, lock::Lock};

use super::read_index;
use crate::{block::segment::SegmentIndex, folder::StoreFolder, scratch};

/// How many files are held open: threads that read at a time are in as many, and what is looked up
/// is in any. A quarter of those that the process may have, within these bounds.
const FEW_OPEN_FILES: usize = 16;
const MANY_OPEN_FILES: usize = 256;
/// Of how many files it is known where their blocks are, 5 KB each: those of 8 GiB.
const KNOWN_INDEXES: usize = 1_024;

/// Finds blocks in the segments by their first position.
pub(crate) struct SegmentScan {
    folder: StoreFolder,
    store_id: [u8; 16],
    /// The position of the last event that a segment has, as far as is known.
    end: AtomicU64,
    /// How many files may be open.
    most_open: usize,
    files: Lock<Files>,
}

#[derive(Default)]
struct Files {
    /// The first position of each file, ascending, as they were listed last.
    firsts: Vec<Position>,
    /// The files that are open, by their first positions, each with when it was used last.
    open: BTreeMap<Position, (u64, Arc<OpenFile>)>,
    /// How often a file was used.
    uses: u64,
    /// The indexes of files that were open, by their first positions: a file never changes.
    indexes: BTreeMap<Position, Arc<SegmentIndex>>,
}

struct OpenFile {
    file: Arc<dyn File>,
    index: Arc<SegmentIndex>,
    /// Whether the kernel was told that it is read in order.
    is_in_order: AtomicBool,
}

impl SegmentScan {
    pub(crate) fn new(folder: StoreFolder, store_id: [u8; 16], end: Position) -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let quarter = usize::try_from(limit / 4).unwrap_or(usize::MAX);
        Self {
            folder,
            store_id,
            end: AtomicU64::new(end.get()),
            most_open: quarter.clamp(FEW_OPEN_FILES, MANY_OPEN_FILES),
            files: Lock::default(),
        }
    }

    /// Says up to where the segments go now.
    pub(crate) fn sealed_through(&self, end: Position) {
        self.end.fetch_max(end.get(), Ordering::Release);
    }

    /// Hands the bytes of the block that begins at a position to `read`, unlooked at; `None` when no
    /// segment has it, or none that can be read: sled's copy is to be asked then. Whoever goes on with
    /// the next block says so.
    pub(crate) fn with_block<T>(
        &self,
        first: Position,
        is_in_order: bool,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        if first.get() > self.end.load(Ordering::Acquire) {
            return None;
        }
        let found = self.open_file(first).and_then(|open| {
            let Some(open) = open else { return Ok(None) };
            if is_in_order && !open.is_in_order.swap(true, Ordering::Relaxed) {
                // The kernel reads on further ahead then.
                open.file.will_be_read_in_order();
            }
            let blocks = &open.index.blocks;
            let place = blocks.binary_search_by_key(&first, |entry| entry.first_position);
            let Some(entry) = place.ok().and_then(|place| blocks.get(place)) else {
                return Ok(None);
            };
            scratch::with_bytes(to_usize(entry.len), |bytes| {
                open.file.read_exact_at(bytes, entry.offset)?;
                Ok(Some(read(bytes)))
            })
        });
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "a segment cannot be read: sled's copy is");
            None
        })
    }

    /// The first position of the block that holds a position, as far as a segment says it that can be
    /// read.
    pub(crate) fn block_of(&self, position: Position) -> Option<Position> {
        if position.get() > self.end.load(Ordering::Acquire) {
            return None;
        }
        let found = self.open_file(position).unwrap_or_else(|error| {
            tracing::warn!(%error, "a segment cannot be read: sled's copy is");
            None
        });
        found.and_then(|open| open.block_of(position))
    }

    /// The file that has the event at a position.
    fn open_file(&self, position: Position) -> Result<Option<Arc<OpenFile>>, StorageError> {
        let mut files = self.files.lock();
        if let Some(open) = files.take(position) {
            return Ok(Some(open));
        }
        if let Some(open) = self.open_listed(&mut files, position)? {
            return Ok(Some(files.keep(open, self.most_open)));
        }
        // It was written since.
        files.firsts = self.folder.segment_firsts()?;
        let open = self.open_listed(&mut files, position)?;
        Ok(open.map(|open| files.keep(open, self.most_open)))
    }

    fn open_listed(
        &self,
        files: &mut Files,
        position: Position,
    ) -> Result<Option<OpenFile>, StorageError> {
        let place = files.firsts.partition_point(|first| *first <= position);
        let Some(first) = place.checked_sub(1).and_then(|place| files.firsts.get(place)) else {
            return Ok(None);
        };
        let first = *first;
        let file = self.folder.open_segment(first)?;
        let index = match files.indexes.get(&first).cloned() {
            Some(index) => index,
            None => {
                // One that is damaged is for `verify` to say.
                let Ok(index) = read_index(file.as_ref(), self.store_id)? else { return Ok(None) };
                files.know(first, index)
            }
        };
        let open = OpenFile { file, index, is_in_order: AtomicBool::new(false) };
        Ok(Some(open).filter(|open| open.has(position)))
    }
}

impl Files {
    /// An open file that has a position.
    fn take(&mut self, position: Position) -> Option<Arc<OpenFile>> {
        let (_, (used, open)) = self.open.range_mut(..=position).next_back()?;
        if !open.has(position) {
            return None;
        }
        self.uses += 1;
        *used = self.uses;
        Some(Arc::clone(open))
    }

    fn know(&mut self, first: Position, index: SegmentIndex) -> Arc<SegmentIndex> {
        let index = Arc::new(index);
        if self.indexes.len() >= KNOWN_INDEXES {
            self.indexes.pop_first();
        }
        self.indexes.insert(first, Arc::clone(&index));
        index
    }

    /// Keeps a file open, and closes the one that was used longest ago where there are too many.
    fn keep(&mut self, open: OpenFile, most: usize) -> Arc<OpenFile> {
        let open = Arc::new(open);
        let oldest = self.open.iter().min_by_key(|(_, (used, _))| *used);
        if self.open.len() >= most
            && let Some(oldest) = oldest.map(|(first, _)| *first)
        {
            self.open.remove(&oldest);
        }
        self.uses += 1;
        self.open.insert(open.index.first_position, (self.uses, Arc::clone(&open)));
        open
    }
}

impl OpenFile {
    fn block_of(&self, position: Position) -> Option<Position> {
        let blocks = &self.index.blocks;
        let behind = blocks.partition_point(|entry| entry.first_position <= position);
        blocks.get(behind.checked_sub(1)?).map(|entry| entry.first_position)
    }

    fn has(&self, position: Position) -> bool {
        (self.index.first_position..=self.index.last_position).contains(&position)
    }
}
