//! What the index of ids takes of events: their ids, and their origins as short keys, which are told
//! from each other as well as the origins are.

use spacefold_event_core::{EventId, EventOrigin, Position, Records, bytes::to_u64};

const KEY_CONTEXT: &str = "spacefold origin of an event";

/// What the index takes of the events of a block or run.
#[derive(Debug)]
pub(crate) struct EventKeys {
    /// The id of each event, in order.
    pub(crate) ids: Vec<EventId>,
    /// The origins of those that have one.
    pub(crate) origins: Vec<KeyedOrigin>,
}

/// An origin, and where its event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyedOrigin {
    pub(crate) key: u128,
    pub(crate) position: Position,
}

impl KeyedOrigin {
    pub(crate) fn new(origin: &EventOrigin, position: Position) -> Self {
        Self { key: origin_key(origin), position }
    }

    /// Those of a run.
    pub(crate) fn all_of(records: &Records) -> impl Iterator<Item = Self> {
        let first = records.first_position();
        let origins = records.origins();
        origins.map(move |(index, origin)| Self::new(origin, first.plus(to_u64(index))))
    }
}

/// What an origin is looked up by.
pub(crate) fn origin_key(origin: &EventOrigin) -> u128 {
    let EventOrigin { store_id, timeline, position } = origin;
    let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
    hasher.update(store_id).update(timeline).update(&position.get().to_le_bytes());
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    u128::from_be_bytes(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_an_origin_makes_its_key() {
        let origin = |store: u8, timeline: u8, position: u64| {
            let position = Position::new(position);
            origin_key(&EventOrigin { store_id: [store; 16], timeline: [timeline; 16], position })
        };
        let keys = [origin(1, 2, 3), origin(2, 1, 3), origin(1, 1, 3), origin(1, 2, 4)];
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key));
        }
        // On disks: it may never be another.
        assert_eq!(keys[0], 0x16c6_cad1_ab33_bd33_5213_6a88_8b05_04e9);
    }
}
