//! The pages of a table that were read last.

use rapidhash::RapidHashMap;

use spacefold_event_core::lock::Lock;

use super::page::Page;

/// Bytes of pages in each half of the cache.
const HALF_BYTES: usize = 4 << 20;

type PageId = (u64, u32);

/// Two halves: a page that is used is in the newer one; when that is full it becomes the older
/// one, whose pages are forgotten unless they are used again.
#[derive(Default)]
pub(super) struct PageCache {
    halves: Lock<Halves>,
}

#[derive(Default)]
struct Halves {
    newer: RapidHashMap<PageId, Page>,
    newer_bytes: usize,
    older: RapidHashMap<PageId, Page>,
}

impl PageCache {
    pub(super) fn get(&self, id: PageId) -> Option<Page> {
        let mut halves = self.halves.lock();
        if let Some(page) = halves.newer.get(&id) {
            return Some(page.clone());
        }
        let page = halves.older.remove(&id)?;
        halves.insert(id, page.clone());
        Some(page)
    }

    pub(super) fn insert(&self, id: PageId, page: Page) {
        self.halves.lock().insert(id, page);
    }
}

impl Halves {
    fn insert(&mut self, id: PageId, page: Page) {
        self.newer_bytes += page.memory_bytes();
        self.newer.insert(id, page);
        if self.newer_bytes > HALF_BYTES {
            self.older = std::mem::take(&mut self.newer);
            self.newer_bytes = 0;
        }
    }
}
