//! The ids of the newest events, within which retries are recognised.

use std::mem;

use crate::{EventId, Position};

/// The ids of the newest events of a log, and where each stands: 30 bytes an id.
///
/// The ids are in a ring, in the order of their positions. Two tables find their places in it by
/// id: one has those of the present lap of the ring, the other those of the lap before, of which
/// the places that the present lap has come to are no longer meant. So no id is ever taken out of
/// a table: with every lap the older one is emptied whole.
#[derive(Debug)]
pub struct RetryWindow {
    capacity: usize,
    ids: Vec<EventId>,
    /// How many ids the present lap has, and so the place of the next.
    next: usize,
    present: PlaceTable,
    before: PlaceTable,
    /// The position of the newest id.
    head: Position,
}

/// Finds places of a ring by id, at the cost of about one cache miss: the bucket of an id is one
/// cache line, and few are full, so that an id seldom has to go to the next one.
#[derive(Debug)]
struct PlaceTable {
    buckets: Vec<Bucket>,
    /// The bits of a slot that hold a place; the others hold as many bits of the id's hash.
    place_bits: u32,
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

impl RetryWindow {
    /// An empty window over the newest `capacity` positions of a log that is at `head`. More than
    /// 4,294,967,295 positions are none.
    #[must_use]
    pub fn new(capacity: usize, head: Position) -> Self {
        let most = u32::try_from(capacity).unwrap_or(u32::MAX);
        Self {
            capacity: to_usize(most),
            ids: Vec::new(),
            next: 0,
            present: PlaceTable::new(most),
            before: PlaceTable::new(most),
            head,
        }
    }

    /// The position of the newest event that was taken in.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    /// Takes in the ids of the next events of the log, and lets the oldest go.
    pub fn extend(&mut self, ids: &[EventId]) {
        ids.iter().for_each(|id| self.push(*id));
    }

    /// Takes in the id of the next event of the log, and lets the oldest go.
    pub fn push(&mut self, id: EventId) {
        self.head = self.head.next();
        if self.capacity == 0 {
            return;
        }
        if self.next == self.capacity {
            self.begin_lap();
        }
        let place = self.next;
        match self.ids.get_mut(place) {
            Some(oldest) => *oldest = id,
            None => {
                self.make_room();
                self.ids.push(id);
            }
        }
        self.present.note(place, id, &self.ids);
        self.next += 1;
    }

    /// The first of these ids whose event is in the window, and where that stands.
    #[must_use]
    pub fn find_any(&self, ids: &[EventId]) -> Option<(usize, Position)> {
        ids.iter().enumerate().find_map(|(index, id)| Some((index, self.find(*id)?)))
    }

    /// Where the event with this id stands, if it is in the window; the newest of several.
    #[must_use]
    pub fn find(&self, id: EventId) -> Option<Position> {
        let hash = hash(id);
        // Hardly any id is found, so this branch is foreseen and the next id looked at meanwhile.
        if self.present.may_have(hash) | self.before.may_have(hash) {
            self.find_surely(id, hash)
        } else {
            None
        }
    }

    #[cold]
    fn find_surely(&self, id: EventId, hash: u64) -> Option<Position> {
        let newer = match self.present.find(id, hash, &self.ids) {
            Some(place) => self.next - 1 - place,
            None => {
                let place = self.before.find(id, hash, &self.ids)?;
                if place < self.next {
                    return None;
                }
                self.next + (self.capacity - 1 - place)
            }
        };
        Some(Position::new(self.head.get() - u64::try_from(newer).unwrap_or(u64::MAX)))
    }

    /// Goes on at the start of the ring, with an empty table.
    fn begin_lap(&mut self) {
        mem::swap(&mut self.present, &mut self.before);
        self.present.empty(self.before.buckets.len());
        self.next = 0;
    }

    /// Room for one more id in the first lap, no more of it than the window can use.
    fn make_room(&mut self) {
        let len = self.ids.len();
        if len == self.ids.capacity() {
            self.ids.reserve_exact(len.max(1_024).min(self.capacity - len));
        }
        if !self.present.has_room_for(len + 1) {
            let most = PlaceTable::buckets_for(self.capacity);
            let buckets = (self.present.buckets.len() * 2).max(MIN_BUCKETS).min(most);
            self.present.empty(buckets);
            for (place, id) in self.ids.iter().enumerate() {
                self.present.note(place, *id, &self.ids);
            }
        }
    }
}

impl PlaceTable {
    /// A table for places below `capacity`.
    fn new(capacity: u32) -> Self {
        let place_bits = u32::MAX.checked_shr(capacity.leading_zeros()).unwrap_or(0);
        Self { buckets: Vec::new(), place_bits }
    }

    fn buckets_for(places: usize) -> usize {
        let (of, slots) = MOST_FULL;
        (places * slots).div_ceil(of * BUCKET_SLOTS)
    }

    fn has_room_for(&self, places: usize) -> bool {
        Self::buckets_for(places) <= self.buckets.len()
    }

    /// Forgets everything.
    fn empty(&mut self, buckets: usize) {
        let empty = Bucket([EMPTY; BUCKET_SLOTS]);
        if self.buckets.len() == buckets {
            self.buckets.fill(empty);
        } else {
            // The smaller table goes before the larger one comes.
            self.buckets = Vec::new();
            self.buckets = vec![empty; buckets];
        }
    }

    /// Whether the id with this hash may be in the table. Decided without a branch, and seldom
    /// wrong.
    fn may_have(&self, hash: u64) -> bool {
        let bucket = self.buckets.get(home(hash, self.buckets.len()));
        bucket.is_some_and(|bucket| bucket.has(self.tag(hash), self.place_bits) | bucket.is_full())
    }

    /// The place of this id, `ids` being the ring.
    fn find(&self, id: EventId, hash: u64, ids: &[EventId]) -> Option<usize> {
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
    fn note(&mut self, place: usize, id: EventId, ids: &[EventId]) {
        let hash = hash(id);
        let mut at = home(hash, self.buckets.len());
        while let Some(bucket) = self.buckets.get(at) {
            let known = self.find_in(bucket, id, hash, ids);
            let slot = known.map_or_else(|| bucket.used(), |(slot, _)| slot);
            let entry = self.tag(hash) | u32::try_from(place + 1).unwrap_or(u32::MAX);
            let slot = self.buckets.get_mut(at).and_then(|bucket| bucket.0.get_mut(slot));
            if let Some(slot) = slot {
                *slot = entry;
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

/// The hash of an id, every bit of which depends on every bit of the id.
fn hash(id: EventId) -> u64 {
    let (halves, _) = id.as_bytes().as_chunks();
    let fold = |hash: u64, half: &[u8; 8]| hash.rotate_left(32) ^ u64::from_le_bytes(*half);
    let mut hash = halves.iter().fold(0, fold);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ hash >> 33).wrapping_mul(factor);
    }
    hash
}

/// The bucket out of `count` at which an id is looked for first: by the high bits of its hash.
fn home(hash: u64, count: usize) -> usize {
    let spread = u128::from(hash) * u128::try_from(count).unwrap_or(0);
    usize::try_from(spread >> 64).unwrap_or(0)
}

fn to_usize(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The window as it is described: the newest ids in a list.
    fn find_plainly(pushed: &[EventId], capacity: usize, id: EventId, start: u64) -> Option<u64> {
        let oldest = pushed.len().saturating_sub(capacity);
        let place = pushed.iter().rposition(|pushed| *pushed == id)?;
        (place >= oldest).then(|| start + u64::try_from(place).unwrap() + 1)
    }

    fn id(number: u64) -> EventId {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        EventId::from_bytes(bytes)
    }

    fn memory_bytes(window: &RetryWindow) -> usize {
        let buckets = window.present.buckets.capacity() + window.before.buckets.capacity();
        window.ids.capacity() * size_of::<EventId>() + buckets * size_of::<Bucket>()
    }

    #[test]
    fn takes_at_most_30_bytes_an_id_when_it_is_full() {
        let mut window = RetryWindow::new(1_000_000, Position::START);
        (0..1_500_000).for_each(|number| window.push(id(number)));
        assert!(memory_bytes(&window) <= 30 * 1_000_000, "{}", memory_bytes(&window));
        assert_eq!(window.find(id(499_999)), None);
        assert_eq!(window.find(id(500_000)), Some(Position::new(500_001)));
        assert_eq!(window.find(id(1_499_999)), Some(Position::new(1_500_000)));
    }

    #[test]
    fn takes_little_while_it_holds_few() {
        let mut window = RetryWindow::new(1_000_000, Position::START);
        window.push(id(1));
        assert!(memory_bytes(&window) <= 32 << 10, "{}", memory_bytes(&window));
    }

    #[test]
    fn an_id_that_comes_again_and_again_takes_one_slot_a_lap() {
        let mut window = RetryWindow::new(1_000, Position::START);
        window.extend(&[id(7); 2_500]);
        let slots = |table: &PlaceTable| table.buckets.iter().map(Bucket::used).sum::<usize>();
        assert_eq!((slots(&window.present), slots(&window.before)), (1, 1));
        assert_eq!(window.find(id(7)), Some(Position::new(2_500)));
    }

    #[test]
    fn finds_the_first_of_several_ids() {
        let mut window = RetryWindow::new(3, Position::new(10));
        window.extend(&[id(1), id(2), id(3), id(4)]);
        assert_eq!(window.find_any(&[id(1), id(9)]), None);
        assert_eq!(window.find_any(&[id(1), id(4), id(2)]), Some((1, Position::new(14))));
        assert_eq!(window.find_any(&[]), None);
    }

    #[test]
    fn a_window_over_nothing_finds_nothing() {
        let mut window = RetryWindow::new(0, Position::new(7));
        assert_eq!(window.find(id(1)), None);
        window.push(id(1));
        assert_eq!(window.find(id(1)), None);
        assert_eq!(window.head(), Position::new(8));
    }

    proptest! {
        #[test]
        fn finds_what_the_plain_model_finds(
            capacity in prop_oneof![0_usize..20, 900_usize..1_100],
            start in 0_u64..5,
            numbers in proptest::collection::vec(0_u64..3_000, 0..4_000),
            duplicates in 1_u64..3_000,
        ) {
            let mut window = RetryWindow::new(capacity, Position::new(start));
            let mut pushed = Vec::new();
            for (count, number) in numbers.iter().enumerate() {
                let id = id(number % duplicates);
                window.push(id);
                pushed.push(id);
                if count % 64 == 0 || count < 50 {
                    for looked_for in [id, self::id(number / 2), self::id(3_000)] {
                        let found = window.find(looked_for).map(Position::get);
                        prop_assert_eq!(found, find_plainly(&pushed, capacity, looked_for, start));
                    }
                }
            }
            for number in 0..duplicates {
                let found = window.find(id(number)).map(Position::get);
                prop_assert_eq!(found, find_plainly(&pushed, capacity, id(number), start));
            }
        }
    }
}
