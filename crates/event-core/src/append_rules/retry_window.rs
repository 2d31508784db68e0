//! The ids of the newest events, within which retries are recognised.

mod place_table;

use std::{collections::VecDeque, mem};

use rapidhash::quality::RandomState;

use self::place_table::PlaceTable;
use crate::{
    bytes::{to_u64, to_usize},
    event_id::EventId,
    position::Position,
};

/// The ids of the newest events of a log, and where each stands: 16 bytes an id whose like rise, as
/// those do that are made of the time, 30 bytes an id otherwise.
///
/// The ids are in a ring, in the order of their positions. Those of a long stretch of the log in
/// which each is greater than every one before are found in the ring itself, which is sorted there;
/// and an id that is greater than all of them is known to be new without a look. The places of
/// all others are in two tables: one has those of the present lap of the ring, the other those of
/// the lap before, of which the places that the present lap has come to are no longer meant. So no
/// id is ever taken out of a table: with every lap the older one is emptied whole.
#[derive(Debug)]
pub struct RetryWindow {
    capacity: usize,
    /// How both tables hash ids.
    hashes: RandomState,
    ids: Vec<EventId>,
    /// How many ids the present lap has, and so the place of the next.
    next: usize,
    present: PlaceTable,
    before: PlaceTable,
    /// The position of the newest id.
    head: Position,
    /// The greatest id that was ever taken in.
    greatest: u128,
    /// The newest ids of the present lap, as long as they rise; none when the newest did not.
    rising: IdStretch,
    /// Earlier stretches that are not in the tables, oldest first: each rises, and begins above
    /// all of those before it.
    risen: VecDeque<IdStretch>,
}

/// Consecutive positions, each of whose ids is greater than every id before it.
#[derive(Clone, Copy, Debug)]
struct IdStretch {
    first: Position,
    count: usize,
}

/// A stretch that ends earlier goes to the tables, so that there are few.
const MIN_STRETCH: usize = 256;

impl RetryWindow {
    /// An empty window over the newest `capacity` positions of a log that is at `head`. More than
    /// 4,294,967,295 positions are none.
    #[must_use]
    pub fn new(capacity: usize, head: Position) -> Self {
        let most = u32::try_from(capacity).unwrap_or(u32::MAX);
        let hashes = RandomState::new();
        Self {
            capacity: to_usize(most),
            hashes,
            ids: Vec::new(),
            next: 0,
            present: PlaceTable::new(most, hashes),
            before: PlaceTable::new(most, hashes),
            head,
            greatest: 0,
            rising: IdStretch { first: head.next(), count: 0 },
            risen: VecDeque::new(),
        }
    }

    /// The position of the newest event that was taken in.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    /// Takes in the ids of the next events of the log, and lets the oldest go.
    pub fn extend(&mut self, ids: &[EventId]) {
        ids.iter().for_each(|id| self.push(*id));
    }

    /// Takes in the id of the next event of the log, and lets the oldest go.
    pub fn push(&mut self, id: EventId) {
        if self.capacity == 0 {
            self.head = self.head.next();
            return;
        }
        if self.next == self.capacity {
            self.begin_lap();
        }
        self.head = self.head.next();
        let place = self.next;
        self.next += 1;
        match self.ids.get_mut(place) {
            Some(oldest) => *oldest = id,
            None => {
                self.make_room();
                self.ids.push(id);
            }
        }
        let number = number(id);
        if number > self.greatest {
            self.greatest = number;
            self.rising.count += 1;
        } else {
            self.end_stretch(place);
            self.present.note(place, id, &self.ids);
            self.rising = IdStretch { first: self.head.next(), count: 0 };
        }
    }

    /// The first of these ids whose event is in the window, and where that stands.
    #[must_use]
    pub fn find_any(&self, ids: &[EventId]) -> Option<(usize, Position)> {
        ids.iter().enumerate().find_map(|(index, id)| Some((index, self.find(*id)?)))
    }

    /// Where the event with this id stands, if it is in the window; the newest of several.
    #[must_use]
    pub fn find(&self, id: EventId) -> Option<Position> {
        let number = number(id);
        if number > self.greatest {
            return None;
        }
        // An id that is in a table too is there for its newest event, which did not rise.
        let place = self.place_in_tables(id);
        place.map(|place| self.position_of(place)).or_else(|| self.find_risen(number))
    }

    fn place_in_tables(&self, id: EventId) -> Option<usize> {
        let hash = place_table::hash(id, self.hashes);
        // Hardly any id is found, so this branch is foreseen and the next id looked at meanwhile.
        if !(self.present.may_have(hash) | self.before.may_have(hash)) {
            return None;
        }
        let before = || self.before.find(id, hash, &self.ids).filter(|place| *place >= self.next);
        self.present.find(id, hash, &self.ids).or_else(before)
    }

    fn find_risen(&self, number: u128) -> Option<Position> {
        let is_at_or_above = |stretch: &IdStretch| self.number_at(stretch.first) <= Some(number);
        if self.rising.count > 0 && is_at_or_above(&self.rising) {
            return self.find_in(self.rising, number);
        }
        let above = self.risen.partition_point(|stretch| match self.live(*stretch) {
            Some(live) => is_at_or_above(&live),
            None => true,
        });
        let stretch = self.risen.get(above.checked_sub(1)?)?;
        self.find_in(self.live(*stretch)?, number)
    }

    /// The position in a stretch of which all is in the ring.
    fn find_in(&self, stretch: IdStretch, number: u128) -> Option<Position> {
        let (mut low, mut high) = (0, stretch.count);
        while low < high {
            let middle = low.midpoint(high);
            let position = stretch.at(middle);
            let there = self.number_at(position)?;
            if there == number {
                return Some(position);
            }
            if there < number {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        None
    }

    /// What of a stretch is in the ring still.
    fn live(&self, stretch: IdStretch) -> Option<IdStretch> {
        let capacity = to_u64(self.capacity);
        let gone = Position::new(self.head.since(Position::new(capacity)));
        let lost = to_usize(gone.next().since(stretch.first));
        let count = stretch.count.checked_sub(lost).filter(|count| *count > 0)?;
        Some(IdStretch { first: stretch.at(lost), count })
    }

    /// The id at a position that is in the ring.
    fn number_at(&self, position: Position) -> Option<u128> {
        let newer = to_usize(self.head.since(position));
        let lap = if newer < self.next { 0 } else { self.capacity };
        let place = (self.next + lap).checked_sub(newer + 1)?;
        self.ids.get(place).copied().map(number)
    }

    fn position_of(&self, place: usize) -> Position {
        let lap = if place < self.next { 0 } else { self.capacity };
        let newer = self.next + lap - 1 - place;
        Position::new(self.head.get() - to_u64(newer))
    }

    /// Keeps the stretch that ends before `place`, or notes its ids in the table when it is short.
    fn end_stretch(&mut self, place: usize) {
        let stretch = self.rising;
        if stretch.count < MIN_STRETCH {
            for place in place - stretch.count..place {
                if let Some(id) = self.ids.get(place) {
                    self.present.note(place, *id, &self.ids);
                }
            }
            return;
        }
        while self.risen.front().is_some_and(|oldest| self.live(*oldest).is_none()) {
            self.risen.pop_front();
        }
        self.risen.push_back(stretch);
    }

    /// Goes on at the start of the ring, with an empty table. No stretch is in two laps.
    fn begin_lap(&mut self) {
        self.end_stretch(self.next);
        self.rising = IdStretch { first: self.head.next(), count: 0 };
        mem::swap(&mut self.present, &mut self.before);
        self.present.empty();
        self.next = 0;
    }

    /// Room for one more id in the first lap, no more of it than the window can use.
    fn make_room(&mut self) {
        let len = self.ids.len();
        if len == self.ids.capacity() {
            self.ids.reserve_exact(len.max(1_024).min(self.capacity - len));
        }
    }
}

impl IdStretch {
    fn at(self, place: usize) -> Position {
        self.first.plus(to_u64(place))
    }
}

/// Ids in order are numbers in order.
fn number(id: EventId) -> u128 {
    u128::from_be_bytes(*id.as_bytes())
}

#[cfg(test)]
mod tests;
