//! The pages and filters that were read last, within a bound.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{Weighter, sync::Cache};

use crate::{filter::Filter, page::RunPage};

/// What an entry takes besides its bytes, about.
const ENTRY_BYTES: usize = 64;
/// Bytes of an entry, about: how many entries the cache expects.
const TYPICAL_BYTES: u64 = 4 << 10;

/// The run that a page is of, unique in the process, and where it begins.
type PageKey = (u64, u64);

/// The pages that were read last, of any number of sets. Those used least go first.
///
/// Threads may share it; memory is bounded by the bytes that it was made for.
pub struct PageCache {
    entries: Cache<PageKey, Cached, Weight>,
    runs: AtomicU64,
    /// Bytes of filters that may yet be held.
    filter_room: AtomicU64,
}

/// Room for filters that is taken; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct FilterRoom {
    cache: Arc<PageCache>,
    bytes: u64,
}

impl Drop for FilterRoom {
    fn drop(&mut self) {
        self.cache.filter_room.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// A part of a run.
#[derive(Clone)]
pub(crate) enum Cached {
    Page(RunPage),
    Filter(Filter),
}

#[derive(Clone)]
struct Weight;

impl Weighter<PageKey, Cached> for Weight {
    fn weight(&self, _: &PageKey, cached: &Cached) -> u64 {
        let bytes = match cached {
            Cached::Page(page) => page.bytes(),
            Cached::Filter(filter) => filter.bytes(),
        };
        u64::try_from(bytes + ENTRY_BYTES).unwrap_or(u64::MAX)
    }
}

impl PageCache {
    /// A cache that takes about this many bytes at most.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        let entries = Cache::with_weighter(entries, bytes, Weight);
        Self { entries, runs: AtomicU64::new(0), filter_room: AtomicU64::new(0) }
    }

    /// Has the filters of runs held in memory for as long as they are there, up to this many bytes in
    /// all, besides the pages: where most lookups are of keys that are absent. To be said once.
    pub fn hold_filters(&self, bytes: u64) {
        self.filter_room.store(bytes, Ordering::Relaxed);
    }

    /// Room for the filters of a run, if there is any.
    pub(crate) fn take_filter_room(self: &Arc<Self>, bytes: u64) -> Option<FilterRoom> {
        let room = |left: u64| left.checked_sub(bytes);
        let taken = self.filter_room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        taken.is_ok().then(|| FilterRoom { cache: Arc::clone(self), bytes })
    }

    /// A number for a run that no other has.
    pub(crate) fn run_number(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, key: PageKey) -> Option<Cached> {
        self.entries.get(&key)
    }

    pub(crate) fn insert(&self, key: PageKey, cached: Cached) {
        self.entries.insert(key, cached);
    }
}

impl fmt::Debug for PageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageCache").field("bytes", &self.entries.weight()).finish_non_exhaustive()
    }
}
