//! What a rebuild has found of each space, in little room.

use std::{collections::BTreeMap, sync::Arc};

use spacefold_event_core::bytes::to_u64;
use spacefold_state::{SpaceState, SpaceStates, StateHash};

use super::old::OldState;

/// What a rebuild has found of spaces.
#[derive(Default)]
pub(super) struct ComparedSpaces {
    pub(super) hashes: ComparedHashes,
    /// The first of those of which the old and the new state differ.
    pub(super) parting: Option<DivergedSpace>,
}

/// Two states of one space that differ.
pub(super) struct DivergedSpace {
    pub(super) space_id: String,
    pub(super) old: Option<SpaceState>,
    pub(super) new: Option<Arc<SpaceState>>,
}

impl ComparedSpaces {
    /// Notes a space that was not noted before; at least one of its states is there.
    pub(super) fn add(
        &mut self,
        space_id: &str,
        old: Option<OldState>,
        new: Option<&Arc<SpaceState>>,
    ) {
        let old_hash = old.as_ref().map(|old| old.hash);
        let new_hash = new.map(|new| new.state_hash());
        self.hashes.add(space_id, old_hash, new_hash);
        if old_hash != new_hash {
            let (old, space_id) = (old.map(|old| old.state), space_id.to_owned());
            self.part_in(DivergedSpace { space_id, old, new: new.cloned() });
        }
    }

    /// Notes a space of which there is nothing to compare with.
    pub(super) fn add_new(&mut self, new: &SpaceState) {
        let hash = Some(new.state_hash());
        self.hashes.add(new.space_id(), hash, hash);
    }

    /// Takes in what was found of other spaces.
    pub(super) fn append(&mut self, others: Self) {
        self.hashes.append(others.hashes);
        others.parting.into_iter().for_each(|space| self.part_in(space));
    }

    fn part_in(&mut self, space: DivergedSpace) {
        if self.parting.as_ref().is_none_or(|first| space.space_id < first.space_id) {
            self.parting = Some(space);
        }
    }
}

/// The hashes of the old and the new state of each space: some 45 bytes a space beside its id, more
/// only for those of which the two differ.
#[derive(Default)]
pub(super) struct ComparedHashes {
    /// The ids, one after the other.
    ids: String,
    spaces: Vec<SpaceHashes>,
    /// The old and the new hash of the spaces at these places, of which they differ.
    parted: BTreeMap<usize, Hashes>,
}

struct SpaceHashes {
    /// Where its id ends.
    end: usize,
    hash: StateHash,
}

#[derive(Clone, Copy)]
struct Hashes {
    old: Option<StateHash>,
    new: Option<StateHash>,
}

impl ComparedHashes {
    /// Notes the hashes of a space that was not noted before; at least one of them is there.
    pub(super) fn add(&mut self, space_id: &str, old: Option<StateHash>, new: Option<StateHash>) {
        let Some(hash) = new.or(old) else { return };
        if old != new {
            self.parted.insert(self.spaces.len(), Hashes { old, new });
        }
        self.ids.push_str(space_id);
        self.spaces.push(SpaceHashes { end: self.ids.len(), hash });
    }

    /// Takes in the hashes of other spaces.
    fn append(&mut self, others: Self) {
        let (bytes, places) = (self.ids.len(), self.spaces.len());
        self.ids.push_str(&others.ids);
        let moved = |SpaceHashes { end, hash }| SpaceHashes { end: bytes + end, hash };
        self.spaces.extend(others.spaces.into_iter().map(moved));
        let parted = others.parted.into_iter();
        self.parted.extend(parted.map(|(place, hashes)| (places + place, hashes)));
    }

    /// The hash of the old states together, and that of the new ones, with how many those are.
    pub(super) fn hashes(&self) -> (StateHash, StateHash, u64) {
        let mut places: Vec<usize> = (0..self.spaces.len()).collect();
        places.sort_unstable_by_key(|place| self.id(*place));
        let hashes = |place: usize| {
            let space = self.spaces.get(place)?;
            let same = Hashes { old: Some(space.hash), new: Some(space.hash) };
            Some((self.id(place), self.parted.get(&place).copied().unwrap_or(same)))
        };
        let all = || places.iter().filter_map(|place| hashes(*place));
        let old = all().filter_map(|(id, hashes)| Some((id, hashes.old?)));
        let new = || all().filter_map(|(id, hashes)| Some((id, hashes.new?)));
        let count = to_u64(new().count());
        (SpaceStates::hash_of(old), SpaceStates::hash_of(new()), count)
    }

    fn id(&self, place: usize) -> &str {
        let end = |place: usize| self.spaces.get(place).map(|space| space.end);
        let start = place.checked_sub(1).and_then(end).unwrap_or(0);
        end(place).and_then(|end| self.ids.get(start..end)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_states_in_the_order_of_their_ids() {
        let hash = |n: u8| StateHash::from_bytes([n; 32]);
        let mut found = ComparedHashes::default();
        found.add("b", Some(hash(1)), Some(hash(1)));
        let mut others = ComparedHashes::default();
        others.add("d", Some(hash(2)), None);
        others.add("a", Some(hash(3)), Some(hash(4)));
        found.append(others);
        found.add("c", None, Some(hash(5)));
        let old = SpaceStates::hash_of([("a", hash(3)), ("b", hash(1)), ("d", hash(2))]);
        let new = SpaceStates::hash_of([("a", hash(4)), ("b", hash(1)), ("c", hash(5))]);
        assert_eq!(found.hashes(), (old, new, 3));
    }
}
