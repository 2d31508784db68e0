//! What a file holds: what is on the disk for sure, and every later state of each of its pages that
//! may have reached the disk, or not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use spacefold_event_core::bytes::{to_u64, to_usize};

/// What the page cache writes back at a time.
pub const PAGE_BYTES: usize = 4_096;
/// What a disk writes whole.
pub const SECTOR_BYTES: usize = 512;

/// The bytes of a page; `None` where nothing but zeros was ever written.
pub type PageBytes = Option<Arc<[u8; PAGE_BYTES]>>;

/// A page, which may stand on the disk in more than one state.
#[derive(Clone, Debug, Default)]
pub struct PageStates {
    /// What a sync has brought to the disk.
    durable: PageBytes,
    /// Every later state, with the time of the write that led to it.
    later: Vec<(u64, PageBytes)>,
    /// A sync failed at this time, and the page counts as clean since: states up to here reach the
    /// disk only with a later one.
    given_up: u64,
}

impl PageStates {
    /// What programs read.
    fn newest(&self) -> &PageBytes {
        self.later.last().map_or(&self.durable, |(_, bytes)| bytes)
    }

    /// The states that may be on the disk, the one that surely is first, each with its time.
    pub fn states(&self) -> impl DoubleEndedIterator<Item = (u64, &PageBytes)> {
        let later = self.later.iter().map(|(time, bytes)| (*time, bytes));
        std::iter::once((0, &self.durable)).chain(later)
    }

    /// A sync that began at this time has come back; whether nothing is left that it did not cover.
    fn sync(&mut self, time: u64) -> bool {
        let covered = self.later.iter().take_while(|(written, _)| *written <= time).count();
        let Some((written, bytes)) = covered.checked_sub(1).and_then(|last| self.later.get(last))
        else {
            return self.later.is_empty();
        };
        if *written > self.given_up {
            self.durable = bytes.clone();
            self.later.drain(..covered);
        }
        self.later.is_empty()
    }
}

/// The pages of a file.
#[derive(Clone, Debug, Default)]
pub struct FilePages {
    pages: BTreeMap<u64, PageStates>,
    /// Pages with states that are not durable.
    dirty: BTreeSet<u64>,
    durable_len: u64,
    /// Every later length, with its time.
    later_lens: Vec<(u64, u64)>,
    /// When the file was cut, and to what length, as long as that is not durable.
    cuts: Vec<(u64, u64)>,
}

impl FilePages {
    /// A file that is on the disk with these bytes.
    #[must_use]
    pub fn durable(bytes: &[u8]) -> Self {
        let mut pages = Self::default();
        pages.write(1, 0, bytes);
        pages.sync(1);
        pages
    }

    /// A file that is on the disk as an image of it says.
    #[must_use]
    pub fn of_image(bytes: u64, pages: Vec<(u64, Arc<[u8; PAGE_BYTES]>)>) -> Self {
        let page = |(number, mut page): (u64, Arc<[u8; PAGE_BYTES]>)| {
            // Nothing of what stands after the end is read when the file grows again.
            let within = bytes.saturating_sub(number * to_u64(PAGE_BYTES));
            let within = to_usize(within);
            if within < PAGE_BYTES {
                Arc::make_mut(&mut page).iter_mut().skip(within).for_each(|byte| *byte = 0);
            }
            (number, PageStates { durable: Some(page), ..PageStates::default() })
        };
        Self { pages: pages.into_iter().map(page).collect(), durable_len: bytes, ..Self::default() }
    }

    /// Fills a buffer with what programs read from an offset on; whether there is as much.
    #[must_use]
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        if offset.checked_add(to_u64(buffer.len())).is_none_or(|end| end > self.len()) {
            return false;
        }
        let mut offset = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let within = to_usize(offset) % PAGE_BYTES;
            let (now, later) = rest.split_at_mut(rest.len().min(PAGE_BYTES - within));
            let page = self.pages.get(&(offset / to_u64(PAGE_BYTES))).map(PageStates::newest);
            match page.and_then(Option::as_ref) {
                Some(page) => {
                    let from = page.iter().skip(within);
                    now.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                }
                None => now.fill(0),
            }
            offset += to_u64(now.len());
            rest = later;
        }
        true
    }

    /// The length that programs see.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.later_lens.last().map_or(self.durable_len, |(_, len)| *len)
    }

    /// Whether the file has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes were written.
    pub fn write(&mut self, time: u64, offset: u64, bytes: &[u8]) {
        let end = offset + to_u64(bytes.len());
        if bytes.is_empty() {
            return;
        }
        if end > self.len() {
            self.later_lens.push((time, end));
        }
        let mut offset = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = to_usize(offset) % PAGE_BYTES;
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES - within));
            self.change(time, offset / to_u64(PAGE_BYTES), |page| {
                page.iter_mut().skip(within).zip(now).for_each(|(to, from)| *to = *from);
            });
            offset += to_u64(now.len());
            rest = later;
        }
    }

    /// The file was given a length.
    pub fn truncate(&mut self, time: u64, len: u64) {
        let shrinks = len < self.len();
        self.later_lens.push((time, len));
        if !shrinks {
            return;
        }
        self.cuts.push((time, len));
        let within = to_usize(len) % PAGE_BYTES;
        let first_gone = len.div_ceil(to_u64(PAGE_BYTES));
        if within > 0 && self.pages.contains_key(&(first_gone - 1)) {
            self.change(time, first_gone - 1, |page| {
                page.iter_mut().skip(within).for_each(|byte| *byte = 0);
            });
        }
        for (number, page) in self.pages.range_mut(first_gone..) {
            page.later.push((time, None));
            self.dirty.insert(*number);
        }
    }

    /// The file was grown to a length, if it was shorter.
    pub fn grow(&mut self, time: u64, len: u64) {
        if len > self.len() {
            self.later_lens.push((time, len));
        }
    }

    /// A sync that began at this time has come back without an error.
    pub fn sync(&mut self, time: u64) {
        let pages = &mut self.pages;
        self.dirty.retain(|number| !pages.get_mut(number).is_some_and(|page| page.sync(time)));
        let covered = self.later_lens.iter().take_while(|(set, _)| *set <= time).count();
        if let Some((_, len)) = self.later_lens.drain(..covered).next_back() {
            self.durable_len = len;
        }
        self.cuts.retain(|(cut, _)| *cut > time);
    }

    /// A sync has failed: what is not durable counts as clean from now on.
    pub fn fail_sync(&mut self, time: u64) {
        for number in &self.dirty {
            if let Some(page) = self.pages.get_mut(number) {
                page.given_up = time;
            }
        }
    }

    /// The lengths that may be on the disk, the one that surely is first, each with its time.
    #[must_use]
    pub fn lens(&self) -> Vec<(u64, u64)> {
        let mut lens = vec![(0, self.durable_len)];
        lens.extend_from_slice(&self.later_lens);
        lens
    }

    /// The times of the writes that are not durable.
    pub fn unsynced(&self) -> BTreeSet<u64> {
        let pages = self.dirty.iter().filter_map(|number| self.pages.get(number));
        pages.flat_map(|page| page.later.iter().map(|(time, _)| *time)).collect()
    }

    /// The pages of an image of the file, without those that hold nothing but zeros. `choose` says
    /// which state of a page is on the disk: one, or one for each sector. What was done to the
    /// length is done up to `len_time`.
    pub fn image(
        &self,
        len_time: u64,
        choose: &mut dyn FnMut(&PageStates) -> Vec<PageBytes>,
    ) -> Vec<(u64, Arc<[u8; PAGE_BYTES]>)> {
        let mut image = Vec::new();
        for (number, page) in &self.pages {
            let bytes = if self.dirty.contains(number) {
                compose(&choose(&self.possible(*number, page, len_time)))
            } else {
                page.durable.clone()
            };
            image.extend(bytes.map(|bytes| (*number, bytes)));
        }
        image
    }

    /// The page with those states only that fit the length: where the file was cut and the cut is on the
    /// disk, nothing from before it; where the cut is not, nothing from after it.
    fn possible(&self, number: u64, page: &PageStates, len_time: u64) -> PageStates {
        let start = number * to_u64(PAGE_BYTES);
        let mut possible = page.clone();
        for (time, _) in self.cuts.iter().filter(|(_, len)| *len <= start) {
            if *time > len_time {
                possible.later.retain(|(written, _)| written < time);
                break;
            }
            possible.durable = None;
            possible.later.retain(|(written, _)| written > time);
        }
        possible
    }

    fn change(&mut self, time: u64, number: u64, change: impl FnOnce(&mut [u8; PAGE_BYTES])) {
        let page = self.pages.entry(number).or_default();
        let mut bytes = page.newest().as_ref().map_or([0; PAGE_BYTES], |bytes| **bytes);
        change(&mut bytes);
        let is_empty = bytes.iter().all(|byte| *byte == 0);
        page.later.push((time, (!is_empty).then(|| Arc::new(bytes))));
        self.dirty.insert(number);
    }
}

/// The page that is in this state, or whose sectors are in these.
fn compose(states: &[PageBytes]) -> PageBytes {
    if let [state] = states {
        return state.clone();
    }
    let mut bytes = [0; PAGE_BYTES];
    let sectors = bytes.chunks_mut(SECTOR_BYTES).enumerate();
    for ((place, sector), state) in sectors.zip(states) {
        if let Some(state) = state {
            let from = state.iter().skip(place * SECTOR_BYTES);
            sector.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    }
    Some(Arc::new(bytes))
}
