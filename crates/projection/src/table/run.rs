//! A run: rows that were persisted together, sorted, in pages, never changed.

use std::sync::atomic::{AtomicBool, Ordering};

use spacefold_event_core::{
    StorageError,
    bytes::{ByteReader, put_count, put_sized, put_u64},
};

use super::{
    TableError,
    bloom::Bloom,
    cache::PageCache,
    page::{Page, PageBuilder, Row},
    place::{Blob, Place},
};
use crate::wire::{seal, unseal};

pub(super) struct Run {
    place: Place,
    id: u64,
    /// How often its rows have been merged: runs of one level are of about one size.
    level: u8,
    /// How many rows, those that are removed too.
    rows: u64,
    /// The first key of each page.
    firsts: Vec<Box<[u8]>>,
    bloom: Bloom,
    /// Whether its blobs go when nobody reads it any more.
    superseded: AtomicBool,
}

impl Run {
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The run of this id, without its pages.
    pub(super) fn load(place: &Place, id: u64) -> Result<Self, TableError> {
        let bytes = place.get(Blob::RunFooter(id))?;
        let run = bytes.and_then(|bytes| Self::decode(place, id, &bytes));
        run.ok_or_else(|| TableError::damaged(format_args!("run {id} has no good footer")))
    }

    /// Says that other runs have its rows now.
    pub(super) fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
    }

    /// What the run has of a key: a value, that it is removed, or nothing.
    pub(super) fn get(
        &self,
        key: &[u8],
        digest: u64,
        cache: &PageCache,
    ) -> Result<Option<Option<Vec<u8>>>, TableError> {
        if !self.bloom.may_have(digest) {
            return Ok(None);
        }
        let Some(number) = self.page_of(key).checked_sub(1) else {
            return Ok(None);
        };
        let page = self.page(number, Some(cache))?;
        Ok(match page.row(page.seek(key)) {
            Some((found, value)) if found == key => Some(value.map(<[u8]>::to_vec)),
            _ => None,
        })
    }

    /// How many pages begin at `key` or before it.
    pub(super) fn page_of(&self, key: &[u8]) -> usize {
        self.firsts.partition_point(|first| **first <= *key)
    }

    pub(super) const fn pages(&self) -> usize {
        self.firsts.len()
    }

    pub(super) fn page(
        &self,
        number: usize,
        cache: Option<&PageCache>,
    ) -> Result<Page, TableError> {
        let number = page_number(number);
        if let Some(page) = cache.and_then(|cache| cache.get((self.id, number))) {
            return Ok(page);
        }
        let bytes = self.place.get(Blob::RunPage(self.id, number))?;
        let page = bytes.and_then(|bytes| Page::decode(bytes, place_of(self.id, number)));
        let page = page.ok_or_else(|| {
            TableError::damaged(format_args!("page {number} of run {} is not there", self.id))
        })?;
        if let Some(cache) = cache {
            cache.insert((self.id, number), page.clone());
        }
        Ok(page)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.level];
        put_u64(&mut bytes, self.rows);
        put_count(&mut bytes, self.firsts.len());
        self.firsts.iter().for_each(|first| put_sized(&mut bytes, first));
        self.bloom.encode(&mut bytes);
        seal(bytes)
    }

    fn decode(place: &Place, id: u64, bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader::new(unseal(bytes)?);
        let level = reader.u8()?;
        let rows = reader.u64()?;
        let pages = reader.count(4)?;
        let firsts = (0..pages).map(|_| reader.sized().map(Box::from)).collect::<Option<_>>()?;
        let bloom = Bloom::decode(&mut reader)?;
        let superseded = AtomicBool::new(false);
        reader.end(Self { place: place.clone(), id, level, rows, firsts, bloom, superseded })
    }

    fn remove_blobs(&self) -> Result<(), StorageError> {
        for number in 0..self.firsts.len() {
            self.place.remove(Blob::RunPage(self.id, page_number(number)))?;
        }
        self.place.remove(Blob::RunFooter(self.id))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.superseded.load(Ordering::Acquire)
            && let Err(error) = self.remove_blobs()
        {
            // They are in nobody's way, and go when the table is opened.
            tracing::warn!(%error, run = self.id, "a superseded run could not be removed");
        }
    }
}

/// Writes a run from rows that come in order.
pub(super) struct RunWriter {
    run: Run,
    page: PageBuilder,
}

impl RunWriter {
    pub(super) fn new(place: &Place, id: u64, level: u8, rows_at_most: u64) -> Self {
        let run = Run {
            place: place.clone(),
            id,
            level,
            rows: 0,
            firsts: Vec::new(),
            bloom: Bloom::with_rows(rows_at_most),
            // Until it is complete.
            superseded: AtomicBool::new(true),
        };
        Self { run, page: PageBuilder::default() }
    }

    pub(super) fn push(&mut self, row: Row<'_>) -> Result<(), TableError> {
        let (key, value) = row;
        if !self.page.has_room(key.len() + value.map_or(0, <[u8]>::len)) {
            self.write_page()?;
        }
        if self.page.is_empty() {
            self.run.firsts.push(key.into());
        }
        self.run.bloom.add(Bloom::digest(key));
        self.run.rows += 1;
        self.page.push(row);
        Ok(())
    }

    /// The run, complete in the store; `None` when it has no row.
    pub(super) fn finish(mut self) -> Result<Option<Run>, TableError> {
        if self.page.is_empty() {
            return Ok(None);
        }
        self.write_page()?;
        self.run.place.put(Blob::RunFooter(self.run.id), &self.run.encode())?;
        self.run.superseded.store(false, Ordering::Release);
        Ok(Some(self.run))
    }

    fn write_page(&mut self) -> Result<(), TableError> {
        let number = page_number(self.run.firsts.len() - 1);
        let bytes = self.page.finish(place_of(self.run.id, number));
        self.run.place.put(Blob::RunPage(self.run.id, number), &bytes)?;
        Ok(())
    }
}

fn page_number(number: usize) -> u32 {
    // 4 KiB each: as many make 16 TiB.
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What the digest of a page is seeded with.
const fn place_of(run: u64, page: u32) -> u64 {
    run.rotate_left(32) ^ u64::from_le_bytes(widen(page))
}

const fn widen(number: u32) -> [u8; 8] {
    let [a, b, c, d] = number.to_le_bytes();
    [a, b, c, d, 0, 0, 0, 0]
}
