//! Finds places of a ring of ids.

use std::hash::{BuildHasher, Hasher};

use rapidhash::quality::RandomState;

use crate::{bytes::to_usize, event_id::EventId};

/// Finds places of a ring by id, at the cost of about one cache miss: the bucket of an id is one
/// cache line, and few are full, so that an id seldom has to go to the next one.
///
/// A hashbrown table does not do here. Two of them take 37 bytes an id of a window of 1,000,000
/// instead of 30, its sizes being powers of two. One from which the oldest id is removed with every
/// new one takes 27, but removed entries stay in its way: every 12 laps of the ring it would have to
/// be made anew, and an append would wait for 80 ms.
#[derive(Debug)]
pub(super) struct PlaceTable {
    buckets: Vec<Bucket>,
    /// The slots in use.
    used: usize,
    capacity: usize,
    /// The bits of a slot that hold a place; the others hold as many bits of the id's hash.
    place_bits: u32,
    hashes: RandomState,
}

/// Slots are used from the first on, and never emptied one by one: the last one is empty unless
/// the bucket is full.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket([u32; BUCKET_SLOTS]);

const BUCKET_SLOTS: usize = 16;
/// A slot without an entry; others have a place plus 1.
const EMPTY: u32 = 0;
/// A table grows before it is fuller than this: three of five.
const MOST_FULL: (usize, usize) = (3, 5);
/// The buckets of a table that has any.
const MIN_BUCKETS: usize = 64;

impl PlaceTable {
    /// A table for places below `capacity`, whose hashes are of this making.
    pub(super) fn new(capacity: u32, hashes: RandomState) -> Self {
        let place_bits = u32::MAX.checked_shr(capacity.leading_zeros()).unwrap_or(0);
        Self { buckets: Vec::new(), used: 0, capacity: to_usize(capacity), place_bits, hashes }
    }

    fn buckets_for(places: usize) -> usize {
        let (of, slots) = MOST_FULL;
        (places * slots).div_ceil(of * BUCKET_SLOTS)
    }

    /// Forgets everything, and keeps its room.
    pub(super) fn empty(&mut self) {
        self.buckets.fill(Bucket([EMPTY; BUCKET_SLOTS]));
        self.used = 0;
    }

    /// Room for one more place, no more of it than there can be places.
    fn make_room(&mut self, ids: &[EventId]) {
        if Self::buckets_for(self.used + 1) <= self.buckets.len() {
            return;
        }
        let most = Self::buckets_for(self.capacity);
        let count = (self.buckets.len() * 2).max(MIN_BUCKETS).min(most);
        let places: Vec<usize> = self.places().collect();
        // The smaller table goes before the larger one comes.
        self.buckets = Vec::new();
        self.buckets = vec![Bucket([EMPTY; BUCKET_SLOTS]); count];
        self.used = 0;
        for place in places {
            if let Some(id) = ids.get(place) {
                self.put(place, *id, ids);
            }
        }
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        let slots = self.buckets.iter().flat_map(|bucket| bucket.0);
        slots.filter_map(|slot| to_usize(slot & self.place_bits).checked_sub(1))
    }

    #[cfg(test)]
    pub(super) fn slots_in_use(&self) -> usize {
        self.buckets.iter().map(Bucket::used).sum()
    }

    /// The buckets that are looked at for this id, which is in the table.
    #[cfg(test)]
    pub(super) fn buckets_looked_at(&self, id: EventId, ids: &[EventId]) -> usize {
        let hash = hash(id, self.hashes);
        let (home, count) = (home(hash, self.buckets.len()), self.buckets.len());
        let has_it = |further: &usize| {
            self.find_in(&self.buckets[(home + further) % count], id, hash, ids).is_some()
        };
        (0..count).find(has_it).unwrap() + 1
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Whether the id with this hash may be in the table. Decided without a branch, and seldom
    /// wrong.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let bucket = self.buckets.get(home(hash, self.buckets.len()));
        bucket.is_some_and(|bucket| bucket.has(self.tag(hash), self.place_bits) | bucket.is_full())
    }

    /// The place of this id, `ids` being the ring.
    pub(super) fn find(&self, id: EventId, hash: u64, ids: &[EventId]) -> Option<usize> {
        let mut at = home(hash, self.buckets.len());
        loop {
            let bucket = self.buckets.get(at)?;
            if let Some((_, place)) = self.find_in(bucket, id, hash, ids) {
                return Some(place);
            }
            if !bucket.is_full() {
                return None;
            }
            at = (at + 1) % self.buckets.len();
        }
    }

    /// Puts a place of the ring where its id is found; an older place of the same id goes.
    pub(super) fn note(&mut self, place: usize, id: EventId, ids: &[EventId]) {
        self.make_room(ids);
        self.put(place, id, ids);
    }

    fn put(&mut self, place: usize, id: EventId, ids: &[EventId]) {
        let hash = hash(id, self.hashes);
        let mut at = home(hash, self.buckets.len());
        while let Some(bucket) = self.buckets.get(at) {
            let known = self.find_in(bucket, id, hash, ids);
            let slot = known.map_or_else(|| bucket.used(), |(slot, _)| slot);
            let is_new = known.is_none();
            let entry = self.tag(hash) | u32::try_from(place + 1).unwrap_or(u32::MAX);
            let slot = self.buckets.get_mut(at).and_then(|bucket| bucket.0.get_mut(slot));
            if let Some(slot) = slot {
                *slot = entry;
                self.used += usize::from(is_new);
                return;
            }
            at = (at + 1) % self.buckets.len();
        }
    }

    /// The slot of this id in a bucket, and its place in the ring.
    fn find_in(
        &self,
        bucket: &Bucket,
        id: EventId,
        hash: u64,
        ids: &[EventId],
    ) -> Option<(usize, usize)> {
        let tag = self.tag(hash);
        if !bucket.has(tag, self.place_bits) {
            return None;
        }
        bucket.0.iter().enumerate().find_map(|(slot, entry)| {
            let place = to_usize((entry & self.place_bits).checked_sub(1)?);
            let is_it = entry & !self.place_bits == tag && ids.get(place) == Some(&id);
            is_it.then_some((slot, place))
        })
    }

    /// What a slot holds of the hash.
    fn tag(&self, hash: u64) -> u32 {
        let low = u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(0);
        low & !self.place_bits
    }
}

impl Bucket {
    /// Whether a slot has this tag.
    fn has(&self, tag: u32, place_bits: u32) -> bool {
        let is_it = |slot: &u32| (slot & !place_bits == tag) & (*slot != EMPTY);
        self.0.iter().fold(false, |found, slot| found | is_it(slot))
    }

    fn is_full(&self) -> bool {
        self.0.last() != Some(&EMPTY)
    }

    /// The number of slots in use.
    fn used(&self) -> usize {
        self.0.iter().map(|slot| usize::from(*slot != EMPTY)).sum()
    }
}

/// The hash of an id, every bit of which depends on every bit of the id. Seeded: ids come from
/// outside.
pub(super) fn hash(id: EventId, hashes: RandomState) -> u64 {
    let mut hasher = hashes.build_hasher();
    hasher.write_u128(u128::from_be_bytes(*id.as_bytes()));
    hasher.finish()
}

/// The bucket out of `count` at which an id is looked for first: by the high bits of its hash.
fn home(hash: u64, count: usize) -> usize {
    let spread = u128::from(hash) * u128::try_from(count).unwrap_or(0);
    usize::try_from(spread >> 64).unwrap_or(0)
}
