//! Whether the ids of an append are distinct.

use std::collections::HashSet;

use rapidhash::quality::GlobalState;

use crate::{event::SpaceEvent, event_id::EventId};

/// Appends of up to this many events are looked through for an id.
const FEW_EVENTS: usize = 12;

/// The ids of the first events of an append. Ids that rise, as those that are made of the time
/// do, are distinct without being kept.
#[derive(Debug, Default)]
pub(super) struct DistinctIds {
    greatest: u128,
    /// The ids of all events so far; none while that many were not needed. Seeded: ids come from
    /// outside.
    seen: HashSet<EventId, GlobalState>,
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
        if self.seen.is_empty() {
            self.seen.reserve(events.len());
        }
        // Those that rose were not kept when they came.
        let missing = before.get(self.seen.len()..).unwrap_or_default();
        self.seen.extend(missing.iter().map(|other| other.as_ref().event_id));
        self.seen.insert(id)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        hash::{BuildHasher, Hash, Hasher},
    };

    use proptest::prelude::*;
    use rustc_hash::FxBuildHasher;

    use super::*;

    /// An id that collides with all others of this making in a table of rustc-hash's: its first half
    /// makes one of two factors zero.
    fn colliding(n: u64) -> EventId {
        let id = |n: u64| {
            let mut bytes = 0x243f_6a88_85a3_08d3_u64.to_le_bytes().repeat(2);
            bytes[8..].copy_from_slice(&n.to_le_bytes());
            EventId::from_bytes(bytes.try_into().unwrap())
        };
        assert_eq!(FxBuildHasher.hash_one(id(n)), FxBuildHasher.hash_one(id(0)));
        id(n)
    }

    thread_local! {
        static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    /// An id that counts how often one is compared.
    #[derive(Eq)]
    struct Counted(EventId);

    impl Hash for Counted {
        fn hash<H: Hasher>(&self, hasher: &mut H) {
            self.0.hash(hasher);
        }
    }

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            COMPARED.set(COMPARED.get() + 1);
            self.0 == other.0
        }
    }

    #[test]
    fn ids_that_are_chosen_to_collide_cost_what_others_do() {
        for count in [1_024, 2_048, 4_096] {
            COMPARED.set(0);
            let ids = (0..count).map(|n| Counted(colliding(n)));
            let seen: HashSet<Counted, GlobalState> = ids.collect();
            assert_eq!(seen.len(), usize::try_from(count).unwrap());
            let compared = COMPARED.get();
            assert!(compared <= count / 8, "{compared} comparisons of {count} ids");
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
