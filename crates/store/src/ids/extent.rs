//! How far the index of ids goes, and what is known of its ids in memory: enough to say of most new
//! ones, without a look, that they are new.

use spacefold_event_core::{EventId, Position, bytes::ByteReader};

use crate::{block::BlockHash, event_keys::KeyedOrigin};

/// How many versions the nibble of a UUID can name.
const VERSIONS: usize = 16;
/// The version whose ids begin with a time, so that those of one block are close to each other.
const TIMED_VERSION: u8 = 7;
/// The bits of an id after its time in milliseconds.
const BITS_BEHIND_MILLIS: u32 = 80;
/// Spans of how many blocks may have an id in common.
pub(super) const OVERLAPPING_SPANS: usize = 4;
/// A span of fewer ids is not worth the look into its block.
const MIN_SPAN_IDS: usize = 16;
/// Milliseconds, and quarters of a block's ids, beyond which an id is far ahead of the others.
const NEAR_MILLIS: u128 = 60_000;
const NEAR_QUARTERS: u128 = 16;
/// Ids that are far ahead of their time and known one by one.
const MAX_FAR_IDS: usize = 64;

/// Ids in order are numbers in order.
pub(super) fn number(id: EventId) -> u128 {
    u128::from_be_bytes(*id.as_bytes())
}

/// The version of a UUID.
pub(super) fn version(number: u128) -> u8 {
    let [.., sixth, _, _, _, _, _, _, _, _, _] = number.to_be_bytes();
    sixth >> 4
}

/// The highest id of each version: a higher one is new. Nil where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HighestIds([u128; VERSIONS]);

impl HighestIds {
    /// Whether an id is higher than all of its version.
    pub(super) fn is_below(&self, number: u128) -> bool {
        self.0.get(usize::from(version(number))).is_some_and(|highest| *highest < number)
    }

    pub(super) fn note(&mut self, number: u128) {
        if let Some(highest) = self.0.get_mut(usize::from(version(number))) {
            *highest = number.max(*highest);
        }
    }
}

/// How far the index goes, and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdExtent {
    /// The position of the last event whose id it has, which ends a segment, and the hash of the last
    /// block there.
    pub(super) end: Position,
    pub(super) last_hash: BlockHash,
    highest: HighestIds,
    /// Ids that `highest` leaves out, since they are far ahead of the time at which they came: one odd
    /// id would end the rise of all that follow.
    far: Vec<(u128, Position)>,
    /// The versions, a bit each, of which ids have rows of their own.
    single_versions: u16,
    /// Whether any event has an origin.
    pub(super) has_origins: bool,
    /// The highest ids of the spans so far, after each of the newest ones, the oldest first.
    span_highs: Vec<u128>,
}

/// The ids of a block that are close to each other: which they are, the block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdSpan {
    /// The highest id of this span and all before it: spans are found by it.
    pub(super) high: u128,
    /// The first position of the block.
    pub(super) block: Position,
    pub(super) lowest: u128,
    pub(super) highest: u128,
}

/// What is not in the index yet.
#[derive(Debug, Default)]
pub(super) struct NewIds {
    /// Ids that have rows of their own, and where their events are.
    pub(super) singles: Vec<(u128, Position)>,
    pub(super) spans: Vec<IdSpan>,
    pub(super) origins: Vec<KeyedOrigin>,
}

impl IdExtent {
    /// That of an index without ids.
    pub(super) fn nothing(genesis: BlockHash) -> Self {
        Self {
            end: Position::START,
            last_hash: genesis,
            highest: HighestIds::default(),
            far: Vec::new(),
            single_versions: 0,
            has_origins: false,
            span_highs: Vec::new(),
        }
    }

    /// Whether an id is new for sure, or known without a look; `None` takes one.
    pub(super) fn find(&self, number: u128) -> Option<Option<Position>> {
        if !self.highest.is_below(number) {
            return None;
        }
        let far = self.far.iter().rev().find(|(id, _)| *id == number);
        Some(far.map(|(_, position)| *position))
    }

    /// Whether an id may have a row of its own.
    pub(super) fn may_be_single(&self, number: u128) -> bool {
        self.single_versions & 1 << version(number) != 0
    }

    /// Whether an id may be in a span.
    pub(super) fn may_be_in_span(&self, number: u128) -> bool {
        version(number) == TIMED_VERSION
            && self.span_highs.last().is_some_and(|high| number <= *high)
    }

    /// Takes in the ids of the next block.
    pub(super) fn add_block(&mut self, first: Position, ids: &[EventId], new: &mut NewIds) {
        let mut sorted: Vec<u128> =
            ids.iter().map(|id| number(*id)).filter(|id| version(*id) == TIMED_VERSION).collect();
        if !sorted.is_sorted() {
            sorted.sort_unstable();
        }
        let limit = near_limit(&sorted);
        let base = match self.span_highs.len() {
            OVERLAPPING_SPANS.. => self.span_highs.first().copied().unwrap_or_default(),
            _ => 0,
        };
        let begin = sorted.partition_point(|id| *id <= base);
        let end = sorted.partition_point(|id| *id <= limit);
        let near = sorted.get(begin..end).filter(|near| near.len() >= MIN_SPAN_IDS);
        let bounds = near.and_then(|near| Some((*near.first()?, *near.last()?)));
        for (position, id) in (first.get()..).map(Position::new).zip(ids) {
            let id = number(*id);
            let is_timed = version(id) == TIMED_VERSION;
            let is_far = is_timed && id > limit;
            if is_far && self.far.len() < MAX_FAR_IDS {
                self.far.push((id, position));
            } else {
                self.highest.note(id);
            }
            let is_in_span = bounds.is_some_and(|(low, high)| (low..=high).contains(&id));
            if !is_timed || !is_in_span {
                self.single_versions |= 1 << version(id);
                new.singles.push((id, position));
            }
        }
        // Those that the others have come up to are known by them.
        self.far.retain(|(id, _)| self.highest.is_below(*id));
        if let Some((lowest, highest)) = bounds {
            let high = self.span_highs.last().map_or(highest, |before| highest.max(*before));
            if self.span_highs.len() >= OVERLAPPING_SPANS {
                self.span_highs.remove(0);
            }
            self.span_highs.push(high);
            new.spans.push(IdSpan { high, block: first, lowest, highest });
        }
    }

    /// Takes in the origins of the next events.
    pub(super) fn add_origins(&mut self, origins: Vec<KeyedOrigin>, new: &mut NewIds) {
        self.has_origins |= !origins.is_empty();
        new.origins.extend(origins);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.end.get().to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.last_hash);
        for highest in self.highest.0 {
            bytes.extend_from_slice(&highest.to_be_bytes());
        }
        bytes.extend_from_slice(&self.single_versions.to_le_bytes());
        bytes.push(u8::from(self.has_origins));
        for count in [self.span_highs.len(), self.far.len()] {
            bytes.push(u8::try_from(count).unwrap_or(u8::MAX));
        }
        for high in &self.span_highs {
            bytes.extend_from_slice(&high.to_be_bytes());
        }
        for (id, position) in &self.far {
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&position.get().to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = ByteReader::new(bytes);
        let (end, last_hash) = (Position::new(bytes.u64()?), bytes.array()?);
        let mut highest = HighestIds::default();
        for id in &mut highest.0 {
            *id = u128::from_be_bytes(bytes.array()?);
        }
        let single_versions = u16::from_le_bytes(bytes.array()?);
        let [has_origins, spans, far] = bytes.array()?;
        let has_origins = (has_origins <= 1).then_some(has_origins == 1)?;
        let mut id = || Some(u128::from_be_bytes(bytes.array()?));
        let span_highs = (0..spans).map(|_| id()).collect::<Option<Vec<_>>>()?;
        let mut far_id = || {
            let id = u128::from_be_bytes(bytes.array()?);
            Some((id, Position::new(bytes.u64()?)))
        };
        let far = (0..far).map(|_| far_id()).collect::<Option<Vec<_>>>()?;
        let decoded =
            Self { end, last_hash, highest, far, single_versions, has_origins, span_highs };
        bytes.end(decoded).filter(|decoded| decoded.span_highs.len() <= OVERLAPPING_SPANS)
    }
}

/// The highest id that is not far ahead of the others: a few times the time that half of them span.
fn near_limit(sorted: &[u128]) -> u128 {
    let quarter = |of: usize| sorted.get(sorted.len() * of / 4).copied();
    let (Some(first), Some(third)) = (quarter(1), quarter(3)) else { return u128::MAX };
    let (first, third) = (first >> BITS_BEHIND_MILLIS, third >> BITS_BEHIND_MILLIS);
    let limit = third + (third - first) * NEAR_QUARTERS + NEAR_MILLIS;
    // What is as far as the time of an id can say has no limit.
    match limit >> (u128::BITS - BITS_BEHIND_MILLIS) {
        0 => limit << BITS_BEHIND_MILLIS | ((1 << BITS_BEHIND_MILLIS) - 1),
        _ => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn timed(millis: u128, rest: u128) -> EventId {
        let number = millis << BITS_BEHIND_MILLIS | 7 << 76 | 2 << 62 | rest;
        EventId::from_bytes(number.to_be_bytes())
    }

    fn add(extent: &mut IdExtent, first: u64, ids: &[EventId]) -> NewIds {
        let mut new = NewIds::default();
        extent.add_block(Position::new(first), ids, &mut new);
        extent.end = Position::new(first + u64::try_from(ids.len()).unwrap() - 1);
        new
    }

    #[test]
    fn ids_of_one_time_are_a_span_and_one_far_ahead_of_them_ends_no_rise() {
        let mut extent = IdExtent::nothing([0; 32]);
        let mut ids: Vec<EventId> = (0..100).map(|n| timed(1_000_000 + n, 5)).collect();
        // In no order, as those of several producers.
        ids.swap(3, 7);
        ids[50] = timed(90_000_000_000, 1);
        let new = add(&mut extent, 1, &ids);
        assert_eq!(new.singles, [(number(ids[50]), Position::new(51))]);
        let (low, high) = (number(timed(1_000_000, 5)), number(timed(1_000_099, 5)));
        assert_eq!(
            new.spans,
            [IdSpan { high, block: Position::new(1), lowest: low, highest: high }]
        );
        assert_eq!(extent.find(number(timed(1_000_100, 0))), Some(None));
        assert_eq!(extent.find(number(ids[50])), Some(Some(Position::new(51))));
        assert_eq!(extent.find(number(ids[7])), None);
        assert!(extent.may_be_in_span(high) && !extent.may_be_in_span(high + 1));
        let next: Vec<EventId> = (0..100).map(|n| timed(1_000_200 + n, 5)).collect();
        assert!(add(&mut extent, 101, &next).singles.is_empty());
        assert_eq!(extent.far.len(), 1);
        let later: Vec<EventId> = (0..100).map(|n| timed(90_000_000_000 + n, 5)).collect();
        let mut later_extent = extent.clone();
        add(&mut later_extent, 201, &later);
        assert_eq!((later_extent.far.len(), later_extent.find(number(ids[50]))), (0, None));
        assert!(later_extent.may_be_single(number(ids[50])));
        extent.add_origins(Vec::new(), &mut NewIds::default());
        assert!(!extent.has_origins);
        let origin = KeyedOrigin { key: 5, position: Position::new(7) };
        extent.add_origins(vec![origin], &mut NewIds::default());
        assert!(extent.has_origins);
        assert_eq!(IdExtent::decode(&extent.encode()), Some(extent.clone()));
        for bytes in 0..extent.encode().len() {
            assert_eq!(IdExtent::decode(&extent.encode()[..bytes]), None, "{bytes}");
        }
    }

    #[test]
    fn no_id_is_within_more_spans_than_are_looked_at() {
        let mut extent = IdExtent::nothing([0; 32]);
        let mut spans: Vec<IdSpan> = Vec::new();
        let mut first = 1;
        let mut rng = fastrand::Rng::with_seed(7);
        for block in 0..200_u128 {
            // Some blocks begin far before the ones before them.
            let begin = 10_000 * block.saturating_sub(rng.u128(0..8));
            let ids: Vec<EventId> =
                (0..64).map(|_| timed(begin + rng.u128(0..20_000), rng.u128(0..99))).collect();
            let new = add(&mut extent, first, &ids);
            first += 64;
            spans.extend(&new.spans);
            let known = |id: u128| {
                new.singles.iter().any(|(single, _)| *single == id)
                    || new.spans.iter().any(|span| (span.lowest..=span.highest).contains(&id))
            };
            assert!(ids.iter().all(|id| known(number(*id))));
        }
        assert!(spans.len() > 100 && spans.is_sorted_by_key(|span| (span.high, span.block)));
        for span in &spans {
            for id in [span.lowest, span.highest] {
                let looked_at = spans.iter().filter(|other| id <= other.high);
                let looked_at: Vec<&IdSpan> = looked_at.take(OVERLAPPING_SPANS).collect();
                let within = |other: &&IdSpan| (other.lowest..=other.highest).contains(&id);
                assert!(spans.iter().filter(within).all(|other| looked_at.contains(&other)));
            }
        }
    }

    #[test]
    fn ids_of_other_versions_have_rows_of_their_own() {
        let mut extent = IdExtent::nothing([0; 32]);
        let ids = [[4_u8; 16], [0; 16], [0xff; 16]].map(EventId::from_bytes);
        let new = add(&mut extent, 1, &ids);
        let positions: Vec<u64> = new.singles.iter().map(|(_, at)| at.get()).collect();
        assert_eq!(positions, [1, 2, 3]);
        assert!(ids.iter().all(|id| extent.find(number(*id)).is_none()));
        assert!(ids.iter().all(|id| extent.may_be_single(number(*id))));
        // Of another version, and higher than all of its own.
        let mut other = [4_u8; 16];
        other[6] = 0x50;
        assert_eq!(extent.find(u128::from_be_bytes(other)), Some(None));
    }

    proptest! {
        #[test]
        fn bytes_are_what_they_are_written_as_or_nothing(
            mut bytes in vec(any::<u8>(), 301..600),
            (origins, spans, far) in (0..3_u8, 0..7_u8, 0..9_u8),
        ) {
            bytes[298..301].copy_from_slice(&[origins, spans, far]);
            bytes.truncate(301 + usize::from(spans) * 16 + usize::from(far) * 24);
            if let Some(extent) = IdExtent::decode(&bytes) {
                prop_assert_eq!(extent.encode(), bytes);
            }
        }
    }
}
