//! Whether the ids of an append are distinct.

use std::hash::{BuildHasher, Hasher};

use rapidhash::quality::GlobalState;

use crate::bytes::to_usize;
use crate::{event::SpaceEvent, event_id::EventId, hash_index::HashIndex};

/// Appends of up to so many events are looked through for an id.
const FEW_EVENTS: usize = 12;

/// The ids of the first events of an append. Ids that rise, as those that are made of the time
/// do, are distinct without being kept.
#[derive(Debug, Default)]
pub(super) struct DistinctIds {
    greatest: u128,
    /// Places of the first `indexed` events.
    index: HashIndex,
    indexed: usize,
}

impl DistinctIds {
    /// Takes in the id of the event at `place`, all before which were taken in. Answers whether
    /// it is none of theirs.
    pub(super) fn add_next(&mut self, events: &[impl AsRef<SpaceEvent>], place: usize) -> bool {
        let Some((event, before)) = events.get(..=place).and_then(<[_]>::split_last) else {
            return true;
        };
        let id = event.as_ref().event_id;
        let number = u128::from_be_bytes(*id.as_bytes());
        if number > self.greatest {
            self.greatest = number;
            return true;
        }
        if place < FEW_EVENTS {
            return before.iter().all(|other| other.as_ref().event_id != id);
        }
        if self.indexed == 0 {
            self.index = HashIndex::with_capacity(events.len());
        }
        while self.indexed <= place {
            if !self.add_to_index(events, self.indexed) {
                return false;
            }
            self.indexed += 1;
        }
        true
    }

    /// Answers whether the id of the event at `place` was not there.
    fn add_to_index(&mut self, events: &[impl AsRef<SpaceEvent>], place: usize) -> bool {
        let id_at = |place: usize| events.get(place).map(|event| event.as_ref().event_id);
        let id = id_at(place);
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let is_it = |other| id_at(to_usize(other)) == id;
        self.index.find_or_add(id.map_or(0, hash), place, is_it) == place
    }
}

fn hash(id: EventId) -> u64 {
    let mut hasher = GlobalState::new().build_hasher();
    hasher.write_u128(u128::from_be_bytes(*id.as_bytes()));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// An id that a multiplication without a secret maps to one and the same number, whatever `n`.
    fn colliding(n: u64) -> EventId {
        let upper = u64::MAX - n;
        let lower = upper.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&upper.to_le_bytes());
        bytes[8..].copy_from_slice(&lower.to_le_bytes());
        EventId::from_bytes(bytes)
    }

    #[test]
    fn ids_that_are_chosen_to_collide_cost_what_others_do() {
        for count in [1_024, 2_048, 4_096] {
            let ids: Vec<EventId> = (0..count).map(colliding).collect();
            let (mut index, compared) = (HashIndex::default(), Cell::new(0));
            for (place, id) in (0..).zip(&ids) {
                let is_it = |other| {
                    compared.set(compared.get() + 1);
                    ids[to_usize(other)] == *id
                };
                assert_eq!(index.find_or_add(hash(*id), place, is_it), place);
            }
            assert!(compared.get() <= 16, "{} comparisons of {count} ids", compared.get());
        }
    }

    proptest! {
        #[test]
        fn finds_the_first_id_that_came_before(
            numbers in prop::collection::vec(0_u128..200, 0..60),
            rising in 0_usize..60,
        ) {
            let rising = (1_000..).take(rising);
            let numbers: Vec<u128> = rising.chain(numbers).collect();
            let event = |number: &u128| {
                SpaceEvent::space_activated("a")
                    .with_event_id(EventId::from_bytes(number.to_be_bytes()))
            };
            let events: Vec<SpaceEvent> = numbers.iter().map(event).collect();
            let mut ids = DistinctIds::default();
            for (place, number) in numbers.iter().enumerate() {
                let is_new = !numbers[..place].contains(number);
                prop_assert_eq!(ids.add_next(&events, place), is_new);
                if !is_new {
                    break;
                }
            }
        }
    }
}
