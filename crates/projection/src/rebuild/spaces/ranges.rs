//! Which spaces are folded together: as many as there is memory for.
//!
//! Every space has a place between 0 and 2^64 by a digest of its id, and a range is all spaces up to
//! a place and behind that of the range before. A rebuild begins with one range. When the states of
//! a range take more memory than they may, they are persisted and the range is divided: the lower half
//! is folded on, the upper one later, from where it was persisted.
//!
//! Bytes of the progress, which are kept with the states: 1 (u8), checkpoint of the range that is
//! furthest, number of ranges (u32); each with the place that it ends at, its position and its number of
//! spaces (u64 each).

use spacefold_event_core::{
    Position,
    bytes::{ByteReader, put_count, put_u64},
};

use crate::{checkpoint::Checkpoint, kept_states::KEPT_VERSION, wire::Digest};

/// What the first byte of the progress is.
const PROGRESS: u8 = 1;

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
    pub(super) fn new() -> Self {
        let range = Range { to: u64::MAX, position: Position::START, spaces: 0 };
        Self { ranges: vec![range] }
    }

    /// The place that a range begins at.
    fn begin(&self, index: usize) -> u64 {
        let before = index.checked_sub(1).and_then(|before| self.ranges.get(before));
        before.map_or(0, |before| before.to.saturating_add(1))
    }

    /// Whether a space is in a range.
    pub(super) fn holds(&self, index: usize, space_id: &str) -> bool {
        let end = self.ranges.get(index).map_or(u64::MAX, |range| range.to);
        let places = self.begin(index)..=end;
        places == (0..=u64::MAX) || places.contains(&place_of(space_id))
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

    pub(super) fn encode(&self, furthest: &Checkpoint) -> Vec<u8> {
        let mut bytes = vec![PROGRESS];
        furthest.encode(&mut bytes);
        put_count(&mut bytes, self.ranges.len());
        for range in &self.ranges {
            [range.to, range.position.get(), range.spaces]
                .into_iter()
                .for_each(|number| put_u64(&mut bytes, number));
        }
        bytes
    }

    /// The progress from its bytes, and the checkpoint of the range that is furthest; `None` when they
    /// are of another version, or of something else.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Checkpoint, Self)> {
        let mut reader = ByteReader::new(bytes);
        if reader.u8()? != PROGRESS {
            return None;
        }
        let furthest = Checkpoint::decode(&mut reader)?;
        let ranges = (0..reader.count(24)?)
            .map(|_| {
                let (to, position) = (reader.u64()?, Position::new(reader.u64()?));
                Some(Range { to, position, spaces: reader.u64()? })
            })
            .collect::<Option<Vec<_>>>()?;
        let is_whole = ranges.is_sorted_by(|a, b| a.to < b.to)
            && ranges.last().is_some_and(|last| last.to == u64::MAX);
        let is_usable = is_whole
            && furthest.version == KEPT_VERSION
            && ranges.iter().all(|range| range.position <= furthest.position());
        is_usable.then_some((furthest, Self { ranges }))
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::LogMark;

    use super::*;

    #[test]
    fn ranges_are_divided_and_cover_every_space_once() {
        let mut ranges = Ranges::new();
        assert_eq!(ranges.divide(0), Some(u64::MAX / 2));
        assert_eq!(ranges.divide(1), Some(u64::MAX / 2 + (1 << 62)));
        assert_eq!(ranges.begin(0), 0);
        assert_eq!(ranges.begin(1), u64::MAX / 2 + 1);
        for space_id in (0..100).map(|n| n.to_string()) {
            let holders: Vec<_> = (0..3).filter(|index| ranges.holds(*index, &space_id)).collect();
            assert_eq!(holders.len(), 1, "{space_id} {holders:?}");
        }
        assert!(Ranges::new().holds(0, "s"));
        assert_eq!(ranges.ranges.last().unwrap().to, u64::MAX);
        let mut narrow = Ranges::new();
        for _ in 0..64 {
            assert!(narrow.divide(0).is_some());
        }
        assert_eq!(narrow.divide(0), None, "one place is not divided");
    }

    #[test]
    fn progress_reads_back_and_nothing_else_is_taken_for_it() {
        let mut ranges = Ranges::new();
        ranges.ranges[0].position = Position::new(2);
        ranges.divide(0);
        let at = |position| LogMark { position: Position::new(position), ..LogMark::START };
        let furthest = Checkpoint { version: KEPT_VERSION, mark: at(2) };
        let bytes = ranges.encode(&furthest);
        assert_eq!(Ranges::decode(&bytes), Some((furthest, ranges.clone())));
        for length in 0..bytes.len() {
            assert_eq!(Ranges::decode(&bytes[..length]), None, "{length}");
        }
        let behind = Checkpoint { mark: at(1), ..furthest };
        let other = Checkpoint { version: KEPT_VERSION + 1, ..furthest };
        for wrong in [behind, other] {
            assert_eq!(Ranges::decode(&ranges.encode(&wrong)), None);
        }
    }
}
