//! What a rebuild has found of each space, in little room.

use std::collections::BTreeMap;

use spacefold_event_core::bytes::to_u64;
use spacefold_state::{SpaceStates, StateHash};

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
        found.add("d", Some(hash(2)), None);
        found.add("a", Some(hash(3)), Some(hash(4)));
        found.add("c", None, Some(hash(5)));
        let old = SpaceStates::hash_of([("a", hash(3)), ("b", hash(1)), ("d", hash(2))]);
        let new = SpaceStates::hash_of([("a", hash(4)), ("b", hash(1)), ("c", hash(5))]);
        assert_eq!(found.hashes(), (old, new, 3));
    }
}
