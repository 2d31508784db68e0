//! A run: a file of sorted rows that never changes.
//!
//! Bytes: pages of rows and, after them as they fill, pages of the index and filters; then the
//! trailer. A row of an index page has the first key of a page as its key, and as its value where
//! that page is and, where it is of the lowest level of the index, where its filter is: each an
//! offset (u64) and a length (u32).
//!
//! Trailer: magic (8 bytes), number of rows (u64), root page and its filter (offset u64, length u32
//! each), levels of the index (u8, then 7 zeros), seal (u64), digest of all before (u64, seeded as
//! that of a page). The seal is a digest over the digests of all pages and filters: a manifest names a
//! run by it, so that no run of another set or time is taken for its own.

use std::{
    fmt,
    ops::Bound,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use spacefold_disk::{Access, File, Folder};

use crate::{
    cache::{Cached, PageCache},
    error::RunsError,
    filter::Filter,
    held::HeldFilters,
    page::{RunPage, digest, place, prefix},
};

pub(crate) const MAGIC: [u8; 8] = *b"SFRUN\0\0\x01";
pub(crate) const TRAILER_BYTES: usize = 64;
/// Bytes of where a page and its filter are.
pub(crate) const CHILD_BYTES: usize = 24;
/// Levels of an index; with a fan-out of 2 as many pages have no room on a disk.
const MAX_LEVELS: u8 = 60;

/// Where bytes are in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
}

/// A page, and the filter of what is under it if it is of the lowest level of the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChildPage {
    pub(crate) page: Extent,
    /// Of no bytes where there is none.
    pub(crate) filter: Extent,
}

impl ChildPage {
    pub(crate) fn encode(self) -> [u8; CHILD_BYTES] {
        let mut bytes = [0; CHILD_BYTES];
        let parts = [self.page, self.filter];
        for (to, extent) in bytes.chunks_exact_mut(CHILD_BYTES / 2).zip(parts) {
            let (offset, length) = to.split_at_mut(8);
            offset.copy_from_slice(&extent.offset.to_le_bytes());
            length.copy_from_slice(&extent.bytes.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (page, rest) = take_extent(bytes)?;
        let (filter, rest) = take_extent(rest)?;
        rest.is_empty().then_some(Self { page, filter })
    }
}

fn take_extent(bytes: &[u8]) -> Option<(Extent, &[u8])> {
    let (offset, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let extent = Extent { offset: u64::from_le_bytes(*offset), bytes: u32::from_le_bytes(*length) };
    Some((extent, rest))
}

/// What a manifest says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunName {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    pub(crate) seal: u64,
}

/// What the trailer of a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) rows: u64,
    pub(crate) root: ChildPage,
    pub(crate) levels: u8,
    pub(crate) seal: u64,
}

impl Trailer {
    pub(crate) fn encode(&self, place: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.root.encode());
        bytes.extend_from_slice(&[self.levels, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&self.seal.to_le_bytes());
        bytes.extend_from_slice(&digest(place, &bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; TRAILER_BYTES], place: u64) -> Option<Self> {
        let (body, stored) = bytes.split_last_chunk()?;
        if u64::from_le_bytes(*stored) != digest(place, body) {
            return None;
        }
        let body = body.strip_prefix(&MAGIC)?;
        let (rows, body) = body.split_first_chunk()?;
        let (root, body) = body.split_first_chunk::<CHILD_BYTES>()?;
        let (levels, body) = body.split_first_chunk::<8>()?;
        let (seal, _) = body.split_first_chunk()?;
        let [levels, ..] = *levels;
        let root = ChildPage::decode(root)?;
        let (rows, seal) = (u64::from_le_bytes(*rows), u64::from_le_bytes(*seal));
        let has_levels = (1..=MAX_LEVELS).contains(&levels);
        has_levels.then_some(Self { rows, root, levels, seal })
    }
}

/// The name of the file of a run.
pub(crate) fn file_name(id: u64) -> String {
    format!("{id:020}.run")
}

/// The run whose file has this name; `None` of every other.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let id = name.strip_suffix(".run")?.parse().ok()?;
    (file_name(id) == name).then_some(id)
}

/// An open run. Its file is read also once it has lost its name.
pub(crate) struct RunFile {
    file: Arc<dyn File>,
    name: RunName,
    /// In the cache: no other run of the process has it.
    number: u64,
    rows: u64,
    levels: u8,
    filter: Extent,
    root: RunPage,
    /// Its filters, once it was looked into and if there was room for them.
    held: OnceLock<HeldFilters>,
    /// Its last key, once it was asked for.
    last_key: OnceLock<Box<[u8]>>,
}

/// The first and the last key of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRange<'r> {
    pub(crate) first: &'r [u8],
    pub(crate) last: &'r [u8],
}

/// A row that was found in a run: it is in memory for as long as this is.
#[derive(Clone, Debug)]
pub(crate) struct FoundRow {
    pub(crate) page: RunPage,
    pub(crate) index: usize,
}

impl RunFile {
    /// The run that a manifest names.
    pub(crate) fn open(
        folder: &Arc<dyn Folder>,
        name: RunName,
        cache: &PageCache,
    ) -> Result<Self, RunsError> {
        let found = folder.find(&file_name(name.id), Access::Read)?;
        let path = || folder.path().join(file_name(name.id));
        let file = found.ok_or_else(|| RunsError::damaged(&path(), 0, "the run is missing"))?;
        let bytes = file.bytes()?;
        if bytes != name.bytes {
            let what = format!("it has {bytes} bytes instead of {}", name.bytes);
            return Err(RunsError::damaged(&path(), 0, what));
        }
        let trailer_at = name.bytes.saturating_sub(TRAILER_BYTES as u64);
        let damaged = |what| RunsError::damaged(&path(), trailer_at, what);
        let mut trailer = [0; TRAILER_BYTES];
        let read = file.read_if_there(&mut trailer, trailer_at);
        if !read.map_err(|error| RunsError::unreadable(&path(), trailer_at, error))? {
            return Err(damaged("its trailer is cut"));
        }
        let trailer = Trailer::decode(&trailer, place(name.id, trailer_at))
            .ok_or_else(|| damaged("its trailer does not match its digest"))?;
        if trailer.seal != name.seal {
            return Err(damaged("it is another run than the one of the manifest"));
        }
        Self::of(file, name, trailer, cache)
    }

    /// A run that is complete in this file.
    pub(crate) fn of(
        file: Arc<dyn File>,
        name: RunName,
        trailer: Trailer,
        cache: &PageCache,
    ) -> Result<Self, RunsError> {
        let Trailer { rows, root, levels, .. } = trailer;
        let page = read_page(&*file, name, root.page)?;
        let number = cache.run_number();
        let (filter, held, last_key) = (root.filter, OnceLock::new(), OnceLock::new());
        Ok(Self { file, name, number, rows, levels, filter, root: page, held, last_key })
    }

    pub(crate) const fn name(&self) -> RunName {
        self.name
    }

    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }

    pub(crate) const fn root(&self) -> &RunPage {
        &self.root
    }

    pub(crate) const fn levels(&self) -> u8 {
        self.levels
    }

    /// The row of a key: its value, or that it is removed. `filtered` is the digest of what the filters
    /// have of the key.
    pub(crate) fn get(
        &self,
        key: &[u8],
        filtered: u64,
        cache: &Arc<PageCache>,
    ) -> Result<Option<FoundRow>, RunsError> {
        if self.held(cache)?.is_some_and(|held| !held.may_have(key, filtered)) {
            return Ok(None);
        }
        let found = self.last_row(Bound::Included(key), filtered, cache)?;
        Ok(found.filter(|found| found.row().is_some_and(|(at, _)| at == key)))
    }

    /// Its first and its last key; `None` where it has no row.
    pub(crate) fn key_range(&self, cache: &PageCache) -> Result<Option<KeyRange<'_>>, RunsError> {
        let Some((first, _)) = self.root.row(0) else { return Ok(None) };
        if let Some(last) = self.last_key.get() {
            return Ok(Some(KeyRange { first, last }));
        }
        let mut page = self.root.clone();
        for _ in 0..self.levels {
            let child = self.child(&page, page.len().saturating_sub(1))?;
            page = self.page(child.page, Some(cache))?;
        }
        let Some((last, _)) = page.len().checked_sub(1).and_then(|last| page.row(last)) else {
            return Ok(None);
        };
        Ok(Some(KeyRange { first, last: self.last_key.get_or_init(|| last.into()) }))
    }

    fn held(&self, cache: &Arc<PageCache>) -> Result<Option<&HeldFilters>, RunsError> {
        if let Some(held) = self.held.get() {
            return Ok(Some(held));
        }
        // They are not read before there is room.
        let Some(room) = cache.take_filter_room(HeldFilters::bytes_of(self.rows)) else {
            return Ok(None);
        };
        let held = HeldFilters::new(self.read_filters()?, room);
        Ok(Some(self.held.get_or_init(|| held)))
    }

    /// Every filter, in order, each with how the first key under it begins.
    fn read_filters(&self) -> Result<Vec<(u128, Filter)>, RunsError> {
        let mut pages = vec![(self.root.clone(), self.filter)];
        for _ in 1..self.levels {
            let mut below = Vec::new();
            for (page, _) in &pages {
                for index in 0..page.len() {
                    let child = self.child(page, index)?;
                    below.push((self.page(child.page, None)?, child.filter));
                }
            }
            pages = below;
        }
        let filter = |(page, filter): &(RunPage, Extent)| {
            let first = page.row(0).map_or(0, |(key, _)| prefix(key));
            Ok((first, self.read_filter(*filter)?))
        };
        pages.iter().map(filter).collect()
    }

    /// The last row whose key is within a bound; `None` also where no key of that digest is near.
    pub(crate) fn last_row(
        &self,
        to: Bound<&[u8]>,
        filtered: u64,
        cache: &PageCache,
    ) -> Result<Option<FoundRow>, RunsError> {
        let (mut page, mut filter) = (self.root.clone(), self.filter);
        for level in (1..=self.levels).rev() {
            if level == 1 && !self.filter(filter, cache)?.may_have(filtered) {
                return Ok(None);
            }
            let Some(index) = page.seek_back(to) else { return Ok(None) };
            let child = self.child(&page, index)?;
            page = self.page(child.page, Some(cache))?;
            filter = child.filter;
        }
        Ok(page.seek_back(to).map(|index| FoundRow { page, index }))
    }

    /// The page that a row of an index page names.
    pub(crate) fn child(&self, page: &RunPage, index: usize) -> Result<ChildPage, RunsError> {
        let value = page.row(index).and_then(|(_, value)| value);
        let child = value.and_then(ChildPage::decode);
        child.ok_or_else(|| RunsError::damaged(&self.path(), 0, "a row of its index is no place"))
    }

    /// A page, which is kept in the cache if there is one.
    pub(crate) fn page(
        &self,
        extent: Extent,
        cache: Option<&PageCache>,
    ) -> Result<RunPage, RunsError> {
        let key = (self.number, extent.offset);
        if let Some(Cached::Page(page)) = cache.and_then(|cache| cache.get(key)) {
            return Ok(page);
        }
        let page = read_page(&*self.file, self.name, extent)?;
        if let Some(cache) = cache {
            cache.insert(key, Cached::Page(page.clone()));
        }
        Ok(page)
    }

    fn filter(&self, extent: Extent, cache: &PageCache) -> Result<Filter, RunsError> {
        let key = (self.number, extent.offset);
        if let Some(Cached::Filter(filter)) = cache.get(key) {
            return Ok(filter);
        }
        let filter = self.read_filter(extent)?;
        cache.insert(key, Cached::Filter(filter.clone()));
        Ok(filter)
    }

    fn read_filter(&self, extent: Extent) -> Result<Filter, RunsError> {
        let bytes = read(&*self.file, self.name, extent)?;
        let filter = Filter::decode(bytes, place(self.name.id, extent.offset));
        filter.ok_or_else(|| damaged_page(&*self.file, extent))
    }
}

impl FoundRow {
    pub(crate) fn row(&self) -> Option<(&[u8], Option<&[u8]>)> {
        self.page.row(self.index)
    }
}

fn read_page(file: &dyn File, name: RunName, extent: Extent) -> Result<RunPage, RunsError> {
    let bytes = read(file, name, extent)?;
    let page = RunPage::decode(bytes, place(name.id, extent.offset));
    page.ok_or_else(|| damaged_page(file, extent))
}

fn read(file: &dyn File, name: RunName, extent: Extent) -> Result<Vec<u8>, RunsError> {
    let end = extent.offset.checked_add(u64::from(extent.bytes));
    if end.is_none_or(|end| end > name.bytes) {
        return Err(RunsError::damaged(file.path(), extent.offset, "a page is past its end"));
    }
    let mut bytes = vec![0; usize::try_from(extent.bytes).unwrap_or(usize::MAX)];
    let read = file.read_if_there(&mut bytes, extent.offset);
    match read.map_err(|error| RunsError::unreadable(file.path(), extent.offset, error))? {
        true => Ok(bytes),
        false => Err(RunsError::damaged(file.path(), extent.offset, "a page is cut")),
    }
}

fn damaged_page(file: &dyn File, extent: Extent) -> RunsError {
    RunsError::damaged(file.path(), extent.offset, "a page does not match its digest")
}

impl fmt::Debug for RunFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, rows, levels, .. } = self;
        f.debug_struct("Run")
            .field("name", name)
            .field("rows", rows)
            .field("levels", levels)
            .finish_non_exhaustive()
    }
}
