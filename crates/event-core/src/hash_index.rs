//! Finding things that are kept in a list elsewhere, by their hash.

use crate::bytes::to_usize;

/// An open-addressing table of places in a list, at most half full. It knows hashes and places,
/// not the things: who asks says which place has the one that is looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct HashIndex {
    /// A power of two of them, or none.
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u32,
    /// A place plus 1; 0 for none.
    entry: u32,
}

const MIN_SLOTS: usize = 16;

impl HashIndex {
    /// A table that takes as many places without growing.
    pub(crate) fn with_capacity(places: usize) -> Self {
        Self { slots: vec![Slot::default(); slots_for(places)], used: 0 }
    }

    /// The place of the thing with this hash that `is_it` is true of, or `next` when there is
    /// none: then it is there from now on.
    pub(crate) fn find_or_add(&mut self, hash: u64, next: u32, is_it: impl Fn(u32) -> bool) -> u32 {
        if (self.used + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let hash = u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(0);
        let mask = self.slots.len() - 1;
        let mut at = to_usize(hash) & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            let Some(place) = slot.entry.checked_sub(1) else {
                *slot = Slot { hash, entry: next.saturating_add(1) };
                self.used += 1;
                return next;
            };
            if slot.hash == hash && is_it(place) {
                return place;
            }
            at = (at + 1) & mask;
        }
        next
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![Slot::default(); slots_for(self.used + 1).max(self.slots.len() * 2)];
        let mask = larger.len() - 1;
        let smaller = std::mem::replace(&mut self.slots, larger);
        for slot in smaller.into_iter().filter(|slot| slot.entry != 0) {
            let mut at = to_usize(slot.hash) & mask;
            while self.slots.get(at).is_some_and(|taken| taken.entry != 0) {
                at = (at + 1) & mask;
            }
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
        }
    }
}

fn slots_for(places: usize) -> usize {
    (places * 2).next_power_of_two().max(MIN_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_things_apart_that_have_one_hash() {
        let things: Vec<u64> = (0..1_000).map(|number| number % 700).collect();
        let mut index = HashIndex::default();
        let mut kept = Vec::new();
        for thing in things {
            let next = u32::try_from(kept.len()).unwrap();
            let is_it = |place: u32| kept[to_usize(place)] == thing;
            let place = index.find_or_add(thing % 5, next, is_it);
            assert_eq!(u64::from(place), thing);
            if place == next {
                kept.push(thing);
            }
        }
        assert_eq!(kept.len(), 700);
    }
}
