//! Finding things that are kept in a list elsewhere, by their hash.

use hashbrown::HashTable;

/// A table of places in a list. It knows hashes and places, not the things: who asks says which place
/// has the one that is looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct HashIndex(HashTable<IndexSlot>);

#[derive(Clone, Copy, Debug)]
struct IndexSlot {
    /// Half of the hash: enough to tell most things apart, and to place them anew in a larger table.
    hash: u32,
    place: u32,
}

/// The places that a table takes before it grows for the first time.
const FEW_PLACES: usize = 14;

impl HashIndex {
    /// A table that takes as many places without growing.
    pub(crate) fn with_capacity(places: usize) -> Self {
        Self(HashTable::with_capacity(places))
    }

    /// The place of the thing with this hash that `is_it` is true of, or `next` when there is
    /// none: then it is there from now on.
    #[inline]
    pub(crate) fn find_or_add(&mut self, hash: u64, next: u32, is_it: impl Fn(u32) -> bool) -> u32 {
        let slot = IndexSlot { hash: half(hash), place: next };
        let is_it = |other: &IndexSlot| other.hash == slot.hash && is_it(other.place);
        match self.0.find(slot.whole_hash(), is_it) {
            Some(found) => found.place,
            None => {
                self.add(slot);
                next
            }
        }
    }

    fn add(&mut self, slot: IndexSlot) {
        if self.0.capacity() == 0 {
            self.0.reserve(FEW_PLACES, IndexSlot::whole_hash);
        }
        self.0.insert_unique(slot.whole_hash(), slot, IndexSlot::whole_hash);
    }
}

fn half(hash: u64) -> u32 {
    u32::try_from(hash >> u32::BITS).unwrap_or(0)
}

impl IndexSlot {
    /// The table looks at the highest bits and at the lowest.
    fn whole_hash(&self) -> u64 {
        u64::from(self.hash) << u32::BITS | u64::from(self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::to_usize;

    #[test]
    fn tells_things_apart_that_have_one_hash() {
        let things: Vec<u64> = (0..1_000).map(|number| number % 700).collect();
        let mut index = HashIndex::default();
        let mut kept = Vec::new();
        for thing in things {
            let next = u32::try_from(kept.len()).unwrap();
            let is_it = |place: u32| kept[to_usize(place)] == thing;
            let place = index.find_or_add((thing % 5) << 40, next, is_it);
            assert_eq!(u64::from(place), thing);
            if place == next {
                kept.push(thing);
            }
        }
        assert_eq!(kept.len(), 700);
    }
}
