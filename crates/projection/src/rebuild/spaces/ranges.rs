//! Which spaces are folded together: as many as there is memory for.
//!
//! Every space has a place between 0 and 2^64 by a digest of its id, and a range is all spaces up to
//! a place and behind that of the range before. A rebuild begins with one range. When the states of
//! a range take more memory than they may, they are persisted and the range is divided: the lower half
//! is folded on, the upper one later, from where it was persisted.
//!
//! Bytes of the progress: version of what is kept (u32), generation (u64), position of an event of the
//! log (u64), its id (16 bytes), when it was recorded (i64), number of ranges (u32); each with the
//! place that it ends at, its position and its number of spaces (u64 each); BLAKE3 of all before.

use spacefold_event_core::{
    LogReader, Position, StateStore,
    bytes::{ByteReader, put_count, put_u64},
};

use crate::{
    checkpoint::{KEPT_VERSION, LastEvent, event_at},
    rebuild::RebuildError,
    wire::{Digest, seal, unseal},
};

/// Where the progress of a rebuild is kept.
const PROGRESS_KEY: &[u8] = b"space-state-rebuild";

/// Some spaces, by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The place of the last space that may be in it.
    pub(super) to: u64,
    /// Up to which position its states are persisted.
    pub(super) position: Position,
    /// How many states are.
    pub(super) spaces: u64,
}

/// How far a rebuild is: what is persisted of it, and what it goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges {
    /// The set of blobs that it writes.
    pub(super) generation: u64,
    /// In order of their places.
    pub(super) ranges: Vec<Range>,
}

/// The place of a space.
pub(super) fn place_of(space_id: &str) -> u64 {
    let mut digest = Digest::new(2);
    digest.bytes(space_id.as_bytes());
    digest.get()
}

impl Ranges {
    /// One range of all spaces, of which nothing is persisted.
    pub(super) fn new(generation: u64) -> Self {
        let range = Range { to: u64::MAX, position: Position::START, spaces: 0 };
        Self { generation, ranges: vec![range] }
    }

    /// The place that a range begins at.
    pub(super) fn begin(&self, index: usize) -> u64 {
        let before = index.checked_sub(1).and_then(|before| self.ranges.get(before));
        before.map_or(0, |before| before.to.saturating_add(1))
    }

    /// Divides a range, whose states are persisted, in two: answers where the lower one ends, or `None`
    /// when there is nothing to divide. How many spaces are in each is to be set.
    pub(super) fn divide(&mut self, index: usize) -> Option<u64> {
        let begin = self.begin(index);
        let range = self.ranges.get_mut(index)?;
        let middle = u64::midpoint(begin, range.to);
        if middle == range.to {
            return None;
        }
        let upper = *range;
        range.to = middle;
        self.ranges.insert(index + 1, upper);
        Some(middle)
    }

    /// What an earlier rebuild of this log has left; `None` when there is none that is of any use.
    pub(super) fn load(
        log: &dyn LogReader,
        store: &dyn StateStore,
    ) -> Result<Option<Self>, RebuildError> {
        let bytes = store.get(PROGRESS_KEY)?;
        let Some((ranges, position, event)) = bytes.as_deref().and_then(Self::decode) else {
            return Ok(None);
        };
        let is_of_log = position <= log.durable_head() && event_at(log, position)? == Some(event);
        Ok(is_of_log.then_some(ranges))
    }

    pub(super) fn store(
        &self,
        log: &dyn LogReader,
        store: &dyn StateStore,
    ) -> Result<(), RebuildError> {
        let furthest = self.ranges.iter().map(|range| range.position).max();
        let position = furthest.unwrap_or(Position::START);
        let Some(event) = event_at(log, position.max(Position::new(1)))? else {
            return Ok(());
        };
        Ok(store.put(PROGRESS_KEY, &self.encode(position.max(Position::new(1)), event))?)
    }

    /// Forgets what an earlier rebuild has left. Its blobs go with the next sweep.
    pub(super) fn forget(store: &dyn StateStore) -> Result<(), RebuildError> {
        match store.get(PROGRESS_KEY)? {
            Some(_) => Ok(store.remove(PROGRESS_KEY)?),
            None => Ok(()),
        }
    }

    fn encode(&self, position: Position, event: LastEvent) -> Vec<u8> {
        let mut bytes = KEPT_VERSION.to_le_bytes().to_vec();
        put_u64(&mut bytes, self.generation);
        put_u64(&mut bytes, position.get());
        event.encode(&mut bytes);
        put_count(&mut bytes, self.ranges.len());
        for range in &self.ranges {
            [range.to, range.position.get(), range.spaces]
                .into_iter()
                .for_each(|number| put_u64(&mut bytes, number));
        }
        seal(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<(Self, Position, LastEvent)> {
        let mut reader = ByteReader::new(unseal(bytes)?);
        if reader.u32()? != KEPT_VERSION {
            return None;
        }
        let generation = reader.u64()?;
        let position = Position::new(reader.u64()?);
        let event = LastEvent::decode(&mut reader)?;
        let ranges = (0..reader.count(24)?)
            .map(|_| {
                let (to, position) = (reader.u64()?, Position::new(reader.u64()?));
                Some(Range { to, position, spaces: reader.u64()? })
            })
            .collect::<Option<Vec<_>>>()?;
        let is_whole = ranges.is_sorted_by(|a, b| a.to < b.to)
            && ranges.last().is_some_and(|last| last.to == u64::MAX);
        let ranges = Self { generation, ranges };
        is_whole.then_some((ranges, position, event))
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::{MemoryLog, MemoryStateStore, SpaceEvent};

    use spacefold_state::testing::{log_of, recorded};

    use super::*;

    #[test]
    fn ranges_are_divided_and_cover_every_space_once() {
        let mut ranges = Ranges::new(1);
        assert_eq!(ranges.divide(0), Some(u64::MAX / 2));
        assert_eq!(ranges.divide(1), Some(u64::MAX / 2 + (1 << 62)));
        assert_eq!(ranges.begin(0), 0);
        assert_eq!(ranges.begin(1), u64::MAX / 2 + 1);
        assert_eq!(ranges.ranges.last().unwrap().to, u64::MAX);
        let mut narrow = Ranges::new(1);
        for _ in 0..64 {
            assert!(narrow.divide(0).is_some());
        }
        assert_eq!(narrow.divide(0), None, "one place is not divided");
    }

    #[test]
    fn progress_reads_back_for_its_own_log_and_no_damaged_one_does() {
        let log = log_of([SpaceEvent::space_created("a", "A"), SpaceEvent::space_activated("a")]);
        let store = MemoryStateStore::new();
        assert_eq!(Ranges::load(&*log, &store).unwrap(), None);
        let mut ranges = Ranges::new(7);
        ranges.ranges[0].position = Position::new(2);
        ranges.divide(0);
        ranges.store(&*log, &store).unwrap();
        assert_eq!(Ranges::load(&*log, &store).unwrap().as_ref(), Some(&ranges));
        let other = log_of([SpaceEvent::space_created("a", "A"), SpaceEvent::space_activated("a")]);
        assert_eq!(Ranges::load(&*other, &store).unwrap(), None);
        assert_eq!(Ranges::load(&MemoryLog::new(), &store).unwrap(), None);
        assert_eq!(recorded(&log).len(), 2);
        let bytes = store.get(PROGRESS_KEY).unwrap().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Ranges::decode(&damaged).is_none(), "bit {bit}");
        }
    }
}
