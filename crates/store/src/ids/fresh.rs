//! The ids that are newer than what the index of ids is made of: those of blocks in no segment, of the
//! tail, and of what is taken but not durable.

use std::hash::BuildHasher;

use hashbrown::{HashMap, HashTable};
use rapidhash::quality::RandomState;
use spacefold_event_core::{
    EventId, EventOrigin, Position,
    bytes::{to_u32, to_u64, to_usize},
};

use super::extent::{HighestIds, number};
use crate::event_keys::{KeyedOrigin, origin_key};

/// The newest ids of a log: those after a position, which moves on as the index takes them over. As
/// many as the blocks and frames that are in no segment have, twice over.
#[derive(Debug)]
pub(crate) struct FreshIds {
    /// How both tables hash ids. Seeded: ids come from outside.
    hashes: RandomState,
    /// Those that the index takes over together.
    before: IdTable,
    present: IdTable,
}

/// Consecutive ids. Where each is that is not higher than all before it takes a table, which is made as
/// soon as one is looked for.
#[derive(Debug)]
struct IdTable {
    /// The position before that of the first id.
    after: Position,
    ids: Vec<EventId>,
    highest: HighestIds,
    places: HashTable<IdPlace>,
    /// Where the events are that have an origin, by the keys of these.
    origins: HashMap<u128, Position, RandomState>,
    /// How many of the ids are in the table.
    noted: usize,
}

/// A place among the ids, and half of the hash of what is there.
#[derive(Clone, Copy, Debug)]
struct IdPlace {
    hash: u32,
    place: u32,
}

impl IdPlace {
    /// The table looks at the highest bits and at the lowest.
    fn whole_hash(&self) -> u64 {
        u64::from(self.hash) << u32::BITS | u64::from(self.hash)
    }
}

impl FreshIds {
    /// None yet, after a position.
    pub(crate) fn after(after: Position) -> Self {
        let hashes = RandomState::new();
        let table = |after| IdTable::after(after, 0, hashes);
        Self { hashes, before: table(after), present: table(after) }
    }

    /// The position after which it has every id.
    pub(crate) fn begin(&self) -> Position {
        self.before.after
    }

    /// The position of the newest id.
    pub(crate) fn end(&self) -> Position {
        self.present.end()
    }

    /// Takes in the ids of the next events of the log, and the origins of those that have one.
    pub(crate) fn extend(
        &mut self,
        ids: &[EventId],
        origins: impl IntoIterator<Item = KeyedOrigin>,
    ) {
        let origins = origins.into_iter().map(|origin| (origin.key, origin.position));
        self.present.origins.extend(origins);
        for id in ids {
            self.present.highest.note(number(*id));
        }
        self.present.ids.extend_from_slice(ids);
    }

    /// Whether it lets go of something, once what is up to a position is in the index.
    pub(crate) fn releases_at(&self, kept: Position) -> bool {
        kept >= self.before.end() && !self.present.ids.is_empty()
    }

    /// Lets go of what is in the index up to a position, once that is enough.
    pub(crate) fn release_through(&mut self, kept: Position) {
        if self.releases_at(kept) {
            let (end, room) = (self.present.end(), self.present.ids.len());
            let next = IdTable::after(end, room, self.hashes);
            self.before = std::mem::replace(&mut self.present, next);
        }
    }

    /// The first of these ids that is here, and where its event is.
    pub(crate) fn find_any(&mut self, ids: &[EventId]) -> Option<(usize, Position)> {
        ids.iter().enumerate().find_map(|(index, id)| Some((index, self.find(*id)?)))
    }

    /// Where the event with this id is, if it is here.
    pub(crate) fn find(&mut self, id: EventId) -> Option<Position> {
        let number = number(id);
        let found = self.present.find(id, number, self.hashes);
        found.or_else(|| self.before.find(id, number, self.hashes))
    }
}

impl FreshIds {
    /// The first of these origins that is here, and where its event is.
    pub(crate) fn find_any_origin(&self, origins: &[EventOrigin]) -> Option<(usize, Position)> {
        if self.present.origins.is_empty() && self.before.origins.is_empty() {
            return None;
        }
        let find = |(index, origin): (usize, &EventOrigin)| {
            let key = origin_key(origin);
            let tables = [&self.present, &self.before];
            let position = tables.iter().find_map(|table| table.origins.get(&key));
            Some((index, *position?))
        };
        origins.iter().enumerate().find_map(find)
    }
}

impl IdTable {
    fn after(after: Position, room: usize, hashes: RandomState) -> Self {
        Self {
            after,
            ids: Vec::with_capacity(room),
            highest: HighestIds::default(),
            places: HashTable::new(),
            origins: HashMap::with_hasher(hashes),
            noted: 0,
        }
    }

    fn end(&self) -> Position {
        self.after.plus(to_u64(self.ids.len()))
    }

    fn find(&mut self, id: EventId, number: u128, hashes: RandomState) -> Option<Position> {
        if self.ids.is_empty() || self.highest.is_below(number) {
            return None;
        }
        self.note_all(hashes);
        let wanted = place_of(id, 0, hashes);
        let is_it = |place: &IdPlace| {
            place.hash == wanted.hash && self.ids.get(to_usize(place.place)) == Some(&id)
        };
        let found = self.places.find(wanted.whole_hash(), is_it)?;
        Some(self.after.plus(u64::from(found.place) + 1))
    }

    /// Notes the places of the ids that came since.
    fn note_all(&mut self, hashes: RandomState) {
        let new = self.ids.get(self.noted..).unwrap_or_default();
        if new.is_empty() {
            return;
        }
        self.places.reserve(new.len(), IdPlace::whole_hash);
        for (place, id) in (self.noted..).zip(new) {
            let place = place_of(*id, place, hashes);
            self.places.insert_unique(place.whole_hash(), place, IdPlace::whole_hash);
        }
        self.noted = self.ids.len();
    }
}

fn place_of(id: EventId, place: usize, hashes: RandomState) -> IdPlace {
    let hash = hashes.hash_one(id.as_bytes()) >> u32::BITS;
    IdPlace { hash: u32::try_from(hash).unwrap_or(0), place: to_u32(place) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_id_after_its_begin_is_found_and_no_other() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut fresh = FreshIds::after(Position::new(40));
        let mut model: HashMap<EventId, u64> = HashMap::new();
        let (mut head, mut kept) = (40, 40);
        for round in 0..3_000_u128 {
            let random = rng.u128(..);
            let rising = round << 40;
            let id = EventId::from_bytes(if rng.bool() { random } else { rising }.to_be_bytes());
            let expected = model.get(&id).copied().map(Position::new);
            assert_eq!(fresh.find(id), expected);
            fresh.extend(&[id], []);
            head += 1;
            model.insert(id, head);
            if rng.u8(..40) == 0 {
                kept = rng.u64(kept..=head);
                fresh.release_through(Position::new(kept));
                assert!(fresh.begin() <= Position::new(kept));
                model.retain(|_, position| *position > fresh.begin().get());
            }
            assert_eq!(fresh.end(), Position::new(head));
        }
        assert!(fresh.begin() > Position::new(2_000));
        for (id, position) in model {
            assert_eq!(fresh.find_any(&[EventId::new(), id]), Some((1, Position::new(position))));
        }
    }
}
