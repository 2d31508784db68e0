//! Spaces and the revision of each, by their ids.

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
    revisions: Vec<Revision>,
}

impl SpaceTable {
    /// Bytes of memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.ids.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.revisions.capacity() * size_of::<Revision>()
            + self.numbers.capacity() * size_of::<u32>()
    }

    pub(super) fn revision(&self, space_id: &str) -> Option<Revision> {
        self.revisions.get(to_usize(self.number(space_id)?)).copied()
    }

    /// Notes the revision of a space, which is taken in if it is new.
    pub(super) fn set_revision(&mut self, space_id: &str, revision: Revision) {
        if let Some(number) = self.number(space_id) {
            if let Some(slot) = self.revisions.get_mut(to_usize(number)) {
                *slot = revision;
            }
            return;
        }
        let number = u32::try_from(self.revisions.len()).unwrap_or(u32::MAX);
        self.ids.push_str(space_id);
        self.ends.push(self.ids.len());
        self.revisions.push(revision);
        let (ids, ends, hashes) = (&self.ids, &self.ends, &self.hashes);
        let hash = |number: &u32| hashes.hash_one(id(ids, ends, *number).unwrap_or(""));
        self.numbers.insert_unique(hashes.hash_one(space_id), number, hash);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Revision)> {
        let numbered = (0..=u32::MAX).zip(&self.revisions);
        numbered
            .filter_map(|(number, revision)| Some((id(&self.ids, &self.ends, number)?, *revision)))
    }

    fn number(&self, space_id: &str) -> Option<u32> {
        let is_it = |number: &u32| id(&self.ids, &self.ends, *number) == Some(space_id);
        self.numbers.find(self.hashes.hash_one(space_id), is_it).copied()
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
            let revision = |n: u32| Revision::new(u64::from(n));
            (0..count).for_each(|n| table.set_revision(&colliding(n), revision(n)));
            let compared = Cell::new(0);
            for n in 0..count {
                assert_eq!(table.revision(&colliding(n)), Some(revision(n)));
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
