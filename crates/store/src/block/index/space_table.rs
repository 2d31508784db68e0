//! The spaces of the log: a number for each, in the order of their first events, and its revision.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rapidhash::fast::RandomState;
use spacefold_event_core::{Revision, bytes::to_usize};

/// Ids one after the other in one text: some 24 bytes a space beside its id.
#[derive(Debug, Default)]
pub(super) struct SpaceTable {
    numbers: HashTable<u32>,
    hashes: RandomState,
    ids: String,
    ends: Vec<usize>,
    revisions: Vec<u64>,
}

impl SpaceTable {
    pub(super) fn len(&self) -> usize {
        self.revisions.len()
    }

    /// Makes room for so many more spaces whose ids take so many bytes.
    pub(super) fn reserve(&mut self, spaces: usize, bytes: usize) {
        self.ids.reserve(bytes);
        self.ends.reserve(spaces);
        self.revisions.reserve(spaces);
        let (ids, ends, hashes) = (&self.ids, &self.ends, &self.hashes);
        let hash = |number: &u32| hashes.hash_one(id(ids, ends, *number).unwrap_or(""));
        self.numbers.reserve(spaces, hash);
    }

    pub(super) fn number(&self, space_id: &str) -> Option<u32> {
        let is_it = |number: &u32| self.id(*number) == Some(space_id);
        self.numbers.find(self.hashes.hash_one(space_id), is_it).copied()
    }

    /// The number of a space, which is taken in if it is new.
    pub(super) fn number_or_new(&mut self, space_id: &str) -> u32 {
        if let Some(number) = self.number(space_id) {
            return number;
        }
        let number = u32::try_from(self.len()).unwrap_or(u32::MAX);
        self.ids.push_str(space_id);
        self.ends.push(self.ids.len());
        self.revisions.push(0);
        let (ids, ends, hashes) = (&self.ids, &self.ends, &self.hashes);
        let hash = |number: &u32| hashes.hash_one(id(ids, ends, *number).unwrap_or(""));
        self.numbers.insert_unique(hashes.hash_one(space_id), number, hash);
        number
    }

    pub(super) fn id(&self, number: u32) -> Option<&str> {
        id(&self.ids, &self.ends, number)
    }

    pub(super) fn revision(&self, number: u32) -> Revision {
        let revision = self.revisions.get(to_usize(number));
        Revision::new(revision.copied().unwrap_or(0))
    }

    pub(super) fn set_revision(&mut self, number: u32, revision: Revision) {
        let number = to_usize(number);
        if let Some(slot) = self.revisions.get_mut(number) {
            *slot = revision.get();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Revision)> {
        let numbers = 0..u32::try_from(self.len()).unwrap_or(u32::MAX);
        numbers.filter_map(|number| Some((self.id(number)?, self.revision(number))))
    }
}

fn id<'t>(ids: &'t str, ends: &[usize], number: u32) -> Option<&'t str> {
    let number = to_usize(number);
    let start = match number.checked_sub(1) {
        None => 0,
        Some(before) => *ends.get(before)?,
    };
    ids.get(start..*ends.get(number)?)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::HashSet};

    use rustc_hash::FxBuildHasher;

    use super::*;

    /// A text that collides with all others of this making in a table of rustc-hash's: behind the first
    /// 16 bytes its state is the last 8, which make one of two factors zero.
    fn colliding(n: u32) -> String {
        let text = format!("colliding-045138{n:08}[bceSfev");
        let other = "colliding-04513800000000[bceSfev";
        assert_eq!(FxBuildHasher.hash_one(&text), FxBuildHasher.hash_one(other));
        text
    }

    #[test]
    fn ids_that_are_chosen_to_collide_cost_what_others_do() {
        for count in [5_000, 10_000, 20_000] {
            let mut table = SpaceTable::default();
            (0..count).for_each(|n| assert_eq!(table.number_or_new(&colliding(n)), n));
            let compared = Cell::new(0);
            for n in 0..count {
                let is_it = |number: &u32| {
                    compared.set(compared.get() + 1);
                    *number == n
                };
                let hash = table.hashes.hash_one(colliding(n));
                assert_eq!(table.numbers.find(hash, is_it), Some(&n));
            }
            assert!(compared.get() <= count + count / 4, "{} comparisons", compared.get());
        }
    }

    #[test]
    fn two_tables_hash_differently() {
        let hashes = |n: u32| SpaceTable::default().hashes.hash_one(colliding(n));
        let distinct: HashSet<u64> = (0..64).map(|_| hashes(7)).collect();
        assert!(distinct.len() > 32);
    }
}
