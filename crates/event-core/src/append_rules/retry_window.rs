//! The ids of the newest events, within which retries are recognised.

use crate::{EventId, Position};

/// A slot without an entry.
const EMPTY: u32 = u32::MAX;

/// The ids of the newest events of a log, and where each stands: 22 bytes an id.
///
/// The ids are in a ring, in the order of their positions. A table of places in the ring finds
/// them by id: open addressing with linear probing, at most two thirds full.
#[derive(Debug)]
pub struct RetryWindow {
    capacity: usize,
    ids: Vec<EventId>,
    /// The place of the oldest id; 0 until the ring is full.
    oldest: usize,
    slots: Vec<u32>,
    /// The position of the newest id.
    head: Position,
}

impl RetryWindow {
    /// An empty window over the newest `capacity` positions of a log that is at `head`. More than
    /// 4,294,967,295 positions are none.
    #[must_use]
    pub fn new(capacity: usize, head: Position) -> Self {
        let limit = usize::try_from(EMPTY).unwrap_or(usize::MAX);
        let capacity = capacity.min(limit);
        Self { capacity, ids: Vec::new(), oldest: 0, slots: Vec::new(), head }
    }

    /// The position of the newest event that was taken in.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    /// Takes in the id of the next event of the log, and lets the oldest go.
    pub fn push(&mut self, id: EventId) {
        self.head = self.head.next();
        if self.capacity == 0 {
            return;
        }
        let place = if self.ids.len() < self.capacity {
            self.make_room();
            self.ids.push(id);
            self.ids.len() - 1
        } else {
            let place = self.oldest;
            self.forget(place);
            if let Some(oldest) = self.ids.get_mut(place) {
                *oldest = id;
            }
            self.oldest = (place + 1) % self.capacity;
            place
        };
        self.note(place, id);
    }

    /// Where the event with this id stands, if it is in the window; the newest of several.
    #[must_use]
    pub fn find(&self, id: EventId) -> Option<Position> {
        let place = to_usize(self.slot(self.slot_of(id))?);
        let len = self.ids.len();
        let newer = (self.oldest + len - 1 - place) % len;
        Some(Position::new(self.head.get() - u64::try_from(newer).unwrap_or(u64::MAX)))
    }

    /// Room for one more id, no more of it than the window can use.
    fn make_room(&mut self) {
        let len = self.ids.len();
        if len == self.ids.capacity() {
            self.ids.reserve_exact(len.max(1_024).min(self.capacity - len));
        }
        if (len + 1) * 3 > self.slots.len() * 2 {
            let most = self.capacity + self.capacity / 2 + 1;
            let slots = (self.slots.len() * 2).max(1_024).min(most);
            self.slots.clear();
            self.slots.shrink_to_fit();
            self.slots.resize(slots, EMPTY);
            for place in 0..len {
                if let Some(id) = self.ids.get(place) {
                    self.note(place, *id);
                }
            }
        }
    }

    /// Puts a place of the ring in the slot of its id; an older place of the same id leaves it.
    fn note(&mut self, place: usize, id: EventId) {
        let slot = self.slot_of(id);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = u32::try_from(place).unwrap_or(EMPTY);
        }
    }

    /// Takes a place of the ring out of its slot, unless that has a newer place of the same id.
    fn forget(&mut self, place: usize) {
        let Some(id) = self.ids.get(place) else { return };
        let slot = self.slot_of(*id);
        if self.slot(slot).map(to_usize) == Some(place) {
            self.empty(slot);
        }
    }

    /// Empties a slot, and moves up those behind it that it kept from their home.
    fn empty(&mut self, slot: usize) {
        let count = self.slots.len();
        let mut hole = slot;
        let mut at = slot;
        loop {
            at = (at + 1) % count;
            let Some(place) = self.slot(at) else { break };
            let home = self.ids.get(to_usize(place)).map_or(at, |id| home(*id, count));
            let is_behind_hole = (at + count - home) % count < (at + count - hole) % count;
            if !is_behind_hole {
                self.set(hole, place);
                hole = at;
            }
        }
        self.set(hole, EMPTY);
    }

    /// The slot that has the place of this id, or the empty one where it belongs.
    fn slot_of(&self, id: EventId) -> usize {
        let count = self.slots.len();
        let mut at = home(id, count);
        while let Some(place) = self.slot(at) {
            if self.ids.get(to_usize(place)) == Some(&id) {
                break;
            }
            at = (at + 1) % count;
        }
        at
    }

    fn slot(&self, at: usize) -> Option<u32> {
        self.slots.get(at).copied().filter(|place| *place != EMPTY)
    }

    fn set(&mut self, at: usize, place: u32) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = place;
        }
    }
}

/// The slot out of `count` at which an id is looked for first.
fn home(id: EventId, count: usize) -> usize {
    let (halves, _) = id.as_bytes().as_chunks();
    let fold = |hash: u64, half: &[u8; 8]| hash.rotate_left(32) ^ u64::from_le_bytes(*half);
    let mut hash = halves.iter().fold(0, fold);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ hash >> 33).wrapping_mul(factor);
    }
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

    #[test]
    fn takes_at_most_24_bytes_an_id_when_it_is_full() {
        let mut window = RetryWindow::new(1_000_000, Position::START);
        (0..1_500_000).for_each(|number| window.push(id(number)));
        let bytes = window.ids.capacity() * size_of::<EventId>()
            + window.slots.capacity() * size_of::<u32>();
        assert!(bytes <= 24 * 1_000_000, "{bytes}");
        assert_eq!(window.find(id(499_999)), None);
        assert_eq!(window.find(id(500_000)), Some(Position::new(500_001)));
        assert_eq!(window.find(id(1_499_999)), Some(Position::new(1_500_000)));
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
