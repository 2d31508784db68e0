//! Writes a run from rows that come in order, each byte once.

use std::sync::Arc;

use spacefold_disk::{File, Folder};

use crate::{
    cache::PageCache,
    error::RunsError,
    filter::{self, key_digest},
    page::{MAX_KEY_BYTES, PageBuilder, Row, digest, place},
    run::{CHILD_BYTES, ChildPage, Extent, RunFile, RunName, Trailer, file_name},
};

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// A run that is being written. Dropped before [`RunWriter::finish`], its file is removed.
#[derive(Debug)]
pub(crate) struct RunWriter<'a> {
    folder: &'a Arc<dyn Folder>,
    file: Arc<dyn File>,
    id: u64,
    filter_key: fn(&[u8]) -> &[u8],
    /// What comes after `written` bytes of the file.
    buffer: Vec<u8>,
    written: u64,
    leaf: Level,
    /// The index, its lowest level first.
    index: Vec<Level>,
    /// What the filter of the lowest index page at hand will have of its leaves, and then of the leaf
    /// at hand, which may be of the next index page.
    filter_keys: Vec<u64>,
    leaf_filter_keys: Vec<u64>,
    rows: u64,
    seal: u64,
    is_finished: bool,
}

/// The page of a level that is being filled.
#[derive(Debug, Default)]
struct Level {
    page: PageBuilder,
    first_key: Vec<u8>,
}

impl Level {
    fn push(&mut self, row: Row<'_>) {
        if self.page.is_empty() {
            self.first_key.clear();
            self.first_key.extend_from_slice(row.0);
        }
        self.page.push(row);
    }
}

impl<'a> RunWriter<'a> {
    pub(crate) fn create(
        folder: &'a Arc<dyn Folder>,
        id: u64,
        filter_key: fn(&[u8]) -> &[u8],
    ) -> Result<Self, RunsError> {
        let file = folder.create(&file_name(id))?;
        Ok(Self {
            folder,
            file,
            id,
            filter_key,
            buffer: Vec::new(),
            written: 0,
            leaf: Level::default(),
            index: Vec::new(),
            filter_keys: Vec::new(),
            leaf_filter_keys: Vec::new(),
            rows: 0,
            seal: 0,
            is_finished: false,
        })
    }

    /// Adds a row, whose key is after that of every row before.
    pub(crate) fn push(&mut self, row: Row<'_>) -> Result<(), RunsError> {
        let (key, value) = row;
        if key.len() > MAX_KEY_BYTES {
            return Err(RunsError::KeyTooLong { bytes: key.len() });
        }
        if !self.leaf.page.has_room(key.len() + value.map_or(0, <[u8]>::len)) {
            self.finish_leaf()?;
        }
        let filtered = key_digest((self.filter_key)(key));
        if self.leaf_filter_keys.last() != Some(&filtered) {
            self.leaf_filter_keys.push(filtered);
        }
        self.leaf.push(row);
        self.rows += 1;
        Ok(())
    }

    /// The run, complete and synced; `None` when it has no row. Its name is for the caller to sync.
    pub(crate) fn finish(mut self, cache: &PageCache) -> Result<Option<RunFile>, RunsError> {
        if self.rows == 0 {
            return Ok(None);
        }
        self.finish_leaf()?;
        let mut level = 0;
        while level + 1 < self.index.len() {
            self.finish_index(level)?;
            level += 1;
        }
        let root = self.put_index(level)?;
        let levels = u8::try_from(self.index.len()).unwrap_or(u8::MAX);
        let trailer = Trailer { rows: self.rows, root, levels, seal: self.seal };
        let bytes = trailer.encode(place(self.id, self.end()));
        self.buffer.extend_from_slice(&bytes);
        self.flush()?;
        self.file.sync_all()?;
        self.is_finished = true;
        let name = RunName { id: self.id, bytes: self.written, seal: self.seal };
        RunFile::of(Arc::clone(&self.file), name, trailer, cache).map(Some)
    }

    fn finish_leaf(&mut self) -> Result<(), RunsError> {
        let page = Self::put_page(&mut self.buffer, self.written, self.id, &mut self.leaf.page);
        self.sealed(page);
        let first_key = std::mem::take(&mut self.leaf.first_key);
        self.add_child(0, &first_key, ChildPage { page, filter: Extent::default() })?;
        self.leaf.first_key = first_key;
        self.filter_keys.append(&mut self.leaf_filter_keys);
        self.flush_when_full()
    }

    /// Adds a page to a level of the index.
    fn add_child(
        &mut self,
        level: usize,
        first_key: &[u8],
        child: ChildPage,
    ) -> Result<(), RunsError> {
        // A page of one child would need another one above it, and so on forever.
        let row_bytes = first_key.len() + CHILD_BYTES;
        let is_full = |index: &Level| index.page.len() > 1 && !index.page.has_room(row_bytes);
        if self.index.get(level).is_some_and(is_full) {
            self.finish_index(level)?;
        }
        if level == self.index.len() {
            self.index.push(Level::default());
        }
        if let Some(index) = self.index.get_mut(level) {
            index.push((first_key, Some(&child.encode())));
        }
        Ok(())
    }

    /// Writes the page of a level of the index, and names it in the level above.
    fn finish_index(&mut self, level: usize) -> Result<(), RunsError> {
        let child = self.put_index(level)?;
        let first_key = self.index.get_mut(level).map(|index| std::mem::take(&mut index.first_key));
        self.add_child(level + 1, &first_key.unwrap_or_default(), child)
    }

    fn put_index(&mut self, level: usize) -> Result<ChildPage, RunsError> {
        let Some(index) = self.index.get_mut(level) else { return Ok(ChildPage::default()) };
        let page = Self::put_page(&mut self.buffer, self.written, self.id, &mut index.page);
        self.sealed(page);
        let filter = if level == 0 { self.put_filter() } else { Extent::default() };
        self.flush_when_full()?;
        Ok(ChildPage { page, filter })
    }

    fn put_page(buffer: &mut Vec<u8>, written: u64, id: u64, page: &mut PageBuilder) -> Extent {
        let start = buffer.len();
        let offset = written + u64::try_from(start).unwrap_or(u64::MAX);
        page.finish(place(id, offset), buffer);
        Extent { offset, bytes: u32::try_from(buffer.len() - start).unwrap_or(u32::MAX) }
    }

    fn put_filter(&mut self) -> Extent {
        let (start, offset) = (self.buffer.len(), self.end());
        filter::encode(&self.filter_keys, place(self.id, offset), &mut self.buffer);
        self.filter_keys.clear();
        let bytes = u32::try_from(self.buffer.len() - start).unwrap_or(u32::MAX);
        let filter = Extent { offset, bytes };
        self.sealed(filter);
        filter
    }

    /// Takes the digest of what was put last into the seal.
    fn sealed(&mut self, extent: Extent) {
        let at = extent.offset.checked_sub(self.written).and_then(|at| usize::try_from(at).ok());
        let put = at.and_then(|at| self.buffer.get(at..)).unwrap_or_default();
        if let Some((stored, _)) = put.split_first_chunk::<8>() {
            self.seal = digest(self.seal, stored);
        }
    }

    fn end(&self) -> u64 {
        self.written + u64::try_from(self.buffer.len()).unwrap_or(u64::MAX)
    }

    fn flush_when_full(&mut self) -> Result<(), RunsError> {
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), RunsError> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written = self.end();
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for RunWriter<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            // What stays is in nobody's way, and is swept when the set is opened.
            let _ = self.folder.remove(&file_name(self.id));
        }
    }
}
