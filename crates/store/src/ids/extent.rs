//! How far the index of ids goes, and what is known of its ids in memory: enough to say of most new
//! ones, without a look, that they are new.

use spacefold_event_core::{EventId, Position, bytes::ByteReader};

use crate::{block::BlockHash, event_keys::KeyedOrigin};

/// How many versions the nibble of a UUID can name.
const VERSIONS: usize = 16;
/// The bits of an id after its version, and before it.
const BITS_AFTER_VERSION: u32 = 76;
const BITS_BEFORE_VERSION: u32 = 48;
/// Spans of how many blocks may have an id in common.
pub(super) const OVERLAPPING_SPANS: usize = 4;
/// A span of fewer ids is not worth the look into its block.
const MIN_SPAN_IDS: usize = 16;
/// Ids that are at most this far from each other are of one band: those of 10 minutes, of UUIDv7. Where
/// those of a block lie farther apart, some of their own gaps are.
const NEAR: u128 = 600_000 << BITS_AFTER_VERSION;
const NEAR_GAPS: u128 = 16;
/// A span is at most this wide, a 256th of a version's ids: random ones are no span, since sixteen of
/// them are never so close to each other.
const MAX_SPAN_WIDTH: u128 = 1 << 116;
/// Bands of the ids of a version.
const MAX_BANDS: usize = 8;

/// An id as a number: its version first, then the bits before that and those after it. So those of a
/// version are together, in their order, whatever those of others are.
pub(super) fn number(id: EventId) -> u128 {
    const VERSION: u128 = 0xf << BITS_AFTER_VERSION;
    let bits = u128::from_be_bytes(*id.as_bytes());
    let before = bits >> (BITS_AFTER_VERSION + 4) << BITS_AFTER_VERSION;
    let after = bits & ((1 << BITS_AFTER_VERSION) - 1);
    (bits & VERSION) << BITS_BEFORE_VERSION | before | after
}

/// The version of a UUID: its four bits after 48 others.
pub(super) fn version(number: u128) -> u8 {
    let [first, ..] = number.to_be_bytes();
    first >> 4
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
    /// Where the ids of each version are: one elsewhere is new.
    bands: [Vec<IdBand>; VERSIONS],
    /// The versions, a bit each, of which ids have rows of their own.
    single_versions: u16,
    /// Whether any event has an origin.
    pub(super) has_origins: bool,
}

/// Ids of a version from one to another. Several bands, since one id of another time would end the rise of
/// all that follow else, until that time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IdBand {
    lowest: u128,
    highest: u128,
    /// The highest ids of the spans in it, as of each of the newest ones, the oldest first.
    span_highs: Vec<u128>,
}

/// The ids of a block that are close to each other: which they are, the block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdSpan {
    /// The highest id of this span and all before it in its band: spans are found by it.
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
            bands: Default::default(),
            single_versions: 0,
            has_origins: false,
        }
    }

    /// Whether an id is new for sure; else it takes a look.
    pub(super) fn is_new(&self, number: u128) -> bool {
        self.band(number).is_none()
    }

    fn band(&self, number: u128) -> Option<&IdBand> {
        let mut bands = self.bands.get(usize::from(version(number)))?.iter();
        bands.find(|band| (band.lowest..=band.highest).contains(&number))
    }

    /// Whether an id may have a row of its own.
    pub(super) fn may_be_single(&self, number: u128) -> bool {
        self.single_versions & 1 << version(number) != 0
    }

    /// Whether an id may be in a span.
    pub(super) fn may_be_in_span(&self, number: u128) -> bool {
        let highs = self.band(number).and_then(|band| band.span_highs.last());
        highs.is_some_and(|high| number <= *high)
    }

    /// Takes in the ids of the next block.
    ///
    /// # Cost
    /// In proportion to the ids where they rise, as those that are made of the time or of a counter do;
    /// others are sorted.
    pub(super) fn add_block(&mut self, first: Position, ids: &[EventId], new: &mut NewIds) {
        let NewIds { singles, spans, .. } = new;
        let mut sorted: Vec<u128> = ids.iter().map(|id| number(*id)).collect();
        if !sorted.is_sorted() {
            sorted.sort_unstable();
        }
        let known_spans = spans.len();
        let mut are_all_in_spans = true;
        for ids in sorted.chunk_by(|id, next| version(*id) == version(*next)) {
            are_all_in_spans &= self.add_version(first, ids, spans);
        }
        if are_all_in_spans {
            return;
        }
        let spans = spans.get(known_spans..).unwrap_or_default();
        for (position, id) in (first.get()..).map(Position::new).zip(ids) {
            let id = number(*id);
            let is_in = |span: &IdSpan| (span.lowest..=span.highest).contains(&id);
            if !spans.iter().any(is_in) {
                self.single_versions |= 1 << version(id);
                singles.push((id, position));
            }
        }
    }

    /// Takes in those of a block's ids that are of one version, and says whether a span has them all.
    fn add_version(&mut self, block: Position, sorted: &[u128], spans: &mut Vec<IdSpan>) -> bool {
        let (Some(&lowest), Some(&highest)) = (sorted.first(), sorted.last()) else { return true };
        let Some(&present) = sorted.get(sorted.len() / 2) else { return true };
        let Some(bands) = self.bands.get_mut(usize::from(version(present))) else { return false };
        let near = near_of(sorted);
        // First, so that none that are on both sides of it become one band.
        note(bands, present, near, present);
        if highest - lowest <= near {
            // What is between is in the band of both.
            note(bands, lowest, near, present);
            note(bands, highest, near, present);
        } else {
            sorted.iter().for_each(|id| note(bands, *id, near, present));
        }
        let mut has_all = false;
        for span in bands.iter_mut().filter_map(|band| band.span_of(sorted, block)) {
            has_all |= (span.lowest, span.highest) == (lowest, highest);
            spans.push(span);
        }
        has_all
    }

    /// Takes in the origins of the next events.
    pub(super) fn add_origins(&mut self, origins: Vec<KeyedOrigin>, new: &mut NewIds) {
        self.has_origins |= !origins.is_empty();
        new.origins.extend(origins);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.end.get().to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.last_hash);
        bytes.extend_from_slice(&self.single_versions.to_le_bytes());
        bytes.push(u8::from(self.has_origins));
        let count = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
        for bands in &self.bands {
            bytes.push(count(bands.len()));
            for band in bands {
                bytes.extend_from_slice(&band.lowest.to_be_bytes());
                bytes.extend_from_slice(&band.highest.to_be_bytes());
                bytes.push(count(band.span_highs.len()));
                for high in &band.span_highs {
                    bytes.extend_from_slice(&high.to_be_bytes());
                }
            }
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = ByteReader::new(bytes);
        let (end, last_hash) = (Position::new(bytes.u64()?), bytes.array()?);
        let single_versions = u16::from_le_bytes(bytes.array()?);
        let [has_origins] = bytes.array()?;
        let has_origins = (has_origins <= 1).then_some(has_origins == 1)?;
        let mut all_bands: [Vec<IdBand>; VERSIONS] = Default::default();
        for bands in &mut all_bands {
            let [count] = bytes.array()?;
            for _ in 0..count {
                bands.push(IdBand::decode(&mut bytes)?);
            }
            let are_apart = bands.is_sorted_by(|band, next| band.highest < next.lowest);
            if bands.len() > MAX_BANDS || !are_apart {
                return None;
            }
        }
        bytes.end(Self { end, last_hash, bands: all_bands, single_versions, has_origins })
    }
}

impl IdBand {
    const fn of(id: u128) -> Self {
        Self { lowest: id, highest: id, span_highs: Vec::new() }
    }

    fn decode(bytes: &mut ByteReader<'_>) -> Option<Self> {
        let lowest = u128::from_be_bytes(bytes.array()?);
        let highest = u128::from_be_bytes(bytes.array()?);
        let [highs] = bytes.array()?;
        let mut high = || Some(u128::from_be_bytes(bytes.array()?));
        let span_highs = (0..highs).map(|_| high()).collect::<Option<Vec<_>>>()?;
        let is_band = lowest <= highest && span_highs.len() <= OVERLAPPING_SPANS;
        is_band.then_some(Self { lowest, highest, span_highs })
    }

    /// The span of those of a block's ids that are in the band, if there is one.
    fn span_of(&mut self, sorted: &[u128], block: Position) -> Option<IdSpan> {
        let is_full = self.span_highs.len() >= OVERLAPPING_SPANS;
        let base = self.span_highs.first().copied().filter(|_| is_full);
        let is_before = |id: &u128| *id < self.lowest || base.is_some_and(|base| *id <= base);
        let begin = sorted.partition_point(is_before);
        let end = sorted.partition_point(|id| *id <= self.highest);
        let near = sorted.get(begin..end).filter(|near| near.len() >= MIN_SPAN_IDS)?;
        let (lowest, highest) = (*near.first()?, *near.last()?);
        if highest - lowest > MAX_SPAN_WIDTH {
            return None;
        }
        let high = self.span_highs.last().map_or(highest, |before| highest.max(*before));
        self.note_highs(&[high]);
        Some(IdSpan { high, block, lowest, highest })
    }

    fn note_highs(&mut self, highs: &[u128]) {
        self.span_highs.extend_from_slice(highs);
        let old = self.span_highs.len().saturating_sub(OVERLAPPING_SPANS);
        self.span_highs.drain(..old);
    }
}

/// How far ids are from each other that are of one band.
fn near_of(sorted: &[u128]) -> u128 {
    let is_narrow = |(first, last): (&u128, &u128)| last - first <= NEAR;
    if sorted.len() < MIN_SPAN_IDS || sorted.first().zip(sorted.last()).is_some_and(is_narrow) {
        return NEAR;
    }
    let mut gaps: Vec<u128> =
        sorted.iter().zip(sorted.iter().skip(1)).map(|(id, next)| next - id).collect();
    // Not of those to ids of another time, even where they are most of them.
    let quarter = gaps.len() / 4;
    let (_, gap, _) = gaps.select_nth_unstable(quarter);
    gap.saturating_mul(NEAR_GAPS).max(NEAR)
}

/// Has an id in a band. Of too many, those become one which say least of what is to come after `present`.
fn note(bands: &mut Vec<IdBand>, id: u128, near: u128, present: u128) {
    let at = bands.partition_point(|band| band.highest < id);
    let above = bands.get(at).map(|band| band.lowest);
    if above.is_some_and(|lowest| lowest <= id) {
        return;
    }
    let joins_above = above.is_some_and(|lowest| lowest - id <= near);
    let below = at.checked_sub(1).and_then(|below| bands.get_mut(below));
    if let Some(below) = below.filter(|below| id - below.highest <= near) {
        below.highest = id;
        if joins_above {
            join(bands, at - 1);
        }
    } else if joins_above {
        bands.iter_mut().skip(at).take(1).for_each(|band| band.lowest = id);
    } else {
        bands.insert(at, IdBand::of(id));
        if bands.len() > MAX_BANDS {
            let place = least_telling(bands, present);
            join(bands, place);
        }
    }
}

/// The band that becomes one with that after it: those nearest to each other before the present one, that
/// included; where it is the first, those farthest after it.
fn least_telling(bands: &[IdBand], present: u128) -> usize {
    let before = bands.partition_point(|band| band.highest < present);
    let gaps =
        bands.iter().zip(bands.iter().skip(1)).map(|(band, next)| next.lowest - band.highest);
    let nearest = gaps.take(before).enumerate().min_by_key(|(_, gap)| *gap);
    nearest.map_or(bands.len().saturating_sub(2), |(place, _)| place)
}

fn join(bands: &mut Vec<IdBand>, place: usize) {
    if place + 1 < bands.len() {
        let above = bands.remove(place + 1);
        if let Some(below) = bands.get_mut(place) {
            below.highest = above.highest;
            below.note_highs(&above.span_highs);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn timed(millis: u128, rest: u128) -> EventId {
        let number = millis << 80 | 7 << 76 | 2 << 62 | rest;
        EventId::from_bytes(number.to_be_bytes())
    }

    fn add(extent: &mut IdExtent, first: u64, ids: &[EventId]) -> NewIds {
        let mut new = NewIds::default();
        extent.add_block(Position::new(first), ids, &mut new);
        extent.end = Position::new(first + u64::try_from(ids.len()).unwrap() - 1);
        new
    }

    fn block(millis: u128) -> Vec<EventId> {
        (0..100).map(|n| timed(millis + n, 5)).collect()
    }

    #[test]
    fn ids_of_one_time_are_a_span_and_one_far_ahead_of_them_ends_no_rise() {
        let mut extent = IdExtent::nothing([0; 32]);
        let mut ids = block(1_000_000);
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
        assert!(extent.is_new(number(timed(1_000_100, 0))));
        assert!(!extent.is_new(number(ids[50])) && !extent.is_new(number(ids[7])));
        assert!(extent.may_be_single(number(ids[50])));
        assert!(extent.may_be_in_span(high) && !extent.may_be_in_span(high + 1));
        assert!(add(&mut extent, 101, &block(1_000_200)).singles.is_empty());
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

    /// Blocks of ids as they come, which are all new when they come, and are spans.
    fn check_rising(extent: &mut IdExtent, blocks: u64, millis: u128) {
        for n in 0..blocks {
            let ids = block(millis + u128::from(n) * 150);
            assert!(ids.iter().all(|id| extent.is_new(number(*id))), "block {n}");
            let first = extent.end.next().get();
            let new = add(extent, first, &ids);
            assert!(new.singles.is_empty() && new.spans.len() == 1, "block {n}");
        }
    }

    const YEAR: u128 = 31_536_000_000;

    #[test]
    fn no_ids_ahead_of_their_time_end_the_rise_of_others() {
        // A machine whose clock is wrong; ids of few, and of many times, one by one and together.
        let now = 50 * YEAR;
        let odd = |years: u128| timed(now + years * YEAR, 1);
        let mixed = |odd: &[EventId]| [&block(now + 200)[..50], odd].concat();
        let many: Vec<EventId> = (1..90).map(|n| odd(n * 90)).collect();
        let cases: [Vec<Vec<EventId>>; 6] = [
            (0..6).map(|n| block(now + 75 * YEAR + n * 300)).collect(),
            vec![vec![odd(75)]],
            vec![vec![odd(75), EventId::from_bytes([4; 16])]; 3],
            many.iter().map(|odd| mixed(&[*odd])).collect(),
            vec![mixed(&many[..40]), mixed(&many[40..])],
            vec![(0..50).map(|n| timed(now + (n % 2) * 75 * YEAR + n, 1)).collect()],
        ];
        for (case, blocks) in cases.into_iter().enumerate() {
            println!("case {case}");
            let mut extent = IdExtent::nothing([0; 32]);
            check_rising(&mut extent, 8, now - 10_000);
            for ids in &blocks {
                let first = extent.end.next().get();
                add(&mut extent, first, ids);
                assert!(ids.iter().all(|id| !extent.is_new(number(*id))));
            }
            check_rising(&mut extent, 1_000, now + 1_000);
            assert!(extent.encode().len() < 2_000);
        }
    }

    #[test]
    fn no_id_is_within_more_spans_than_are_looked_at() {
        let mut extent = IdExtent::nothing([0; 32]);
        let mut spans: Vec<IdSpan> = Vec::new();
        let mut first = 1;
        let mut rng = fastrand::Rng::with_seed(7);
        for block in 0..200_u128 {
            // Some blocks begin far before the ones before them, some in another band.
            let begin = 10_000 * block.saturating_sub(rng.u128(0..8));
            let begin = begin + 100_000_000 * (rng.u128(0..9) * rng.u128(0..2));
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
        assert!(spans.len() > 100, "{} spans", spans.len());
        spans.sort_unstable_by_key(|span| (span.high, span.block));
        for span in &spans {
            for id in [span.lowest, span.highest] {
                let looked_at = spans.iter().filter(|other| id <= other.high);
                let looked_at: Vec<&IdSpan> = looked_at.take(OVERLAPPING_SPANS).collect();
                let within = |other: &&IdSpan| (other.lowest..=other.highest).contains(&id);
                assert!(spans.iter().filter(within).all(|other| looked_at.contains(&other)));
            }
        }
    }

    /// Blocks of ids of one kind: those that rise are new when they come and are in spans, but for one
    /// in twenty; of others none is.
    fn check_kind(kind: &str, rises: bool, mut next: impl FnMut(&mut fastrand::Rng) -> u128) {
        let mut extent = IdExtent::nothing([0; 32]);
        let mut rng = fastrand::Rng::with_seed(11);
        let (mut rows, mut first) = (0, 1);
        for block in 0..200 {
            let ids: Vec<EventId> =
                (0..400).map(|_| EventId::from_bytes(next(&mut rng).to_be_bytes())).collect();
            assert!(!rises || ids.iter().all(|id| extent.is_new(number(*id))), "{kind}: {block}");
            let new = add(&mut extent, first, &ids);
            assert!(ids.iter().all(|id| !extent.is_new(number(*id))), "{kind}: {block}");
            assert!(rises || new.spans.is_empty(), "{kind}: {block}");
            let single = |id: u128| new.singles.iter().any(|(single, _)| *single == id);
            let spanned =
                |id: u128| new.spans.iter().any(|span| (span.lowest..=span.highest).contains(&id));
            for id in ids.iter().map(|id| number(*id)) {
                assert!(single(id) && extent.may_be_single(id) || spanned(id), "{kind}: {block}");
            }
            rows += new.singles.len();
            first += 400;
        }
        assert!(!rises || rows <= 4_000, "{kind}: {rows} rows of 80,000 ids");
    }

    #[test]
    fn rising_ids_of_any_kind_are_spans_and_random_ones_are_rows() {
        let mut counter = 1 << 40;
        check_kind("counter", true, |_| {
            counter += 1;
            counter
        });
        // UUIDv6: 60 bits of 100 ns, the version after 48 of them.
        let mut ticks = 0x1ef_0000_0000_0000_u128;
        check_kind("version 6", true, |rng| {
            ticks += rng.u128(1..90_000);
            (ticks >> 12) << 80 | 6 << 76 | (ticks & 0xfff) << 64 | 2 << 62 | rng.u128(..1 << 62)
        });
        // No version at all, where others have it.
        let mut millis = 1_700_000_000_000;
        check_kind("ulid", true, |rng| {
            millis += rng.u128(1..9);
            millis << 80 | rng.u128(..1 << 80)
        });
        let mut days = 100;
        check_kind("one a day", true, |rng| {
            days += 1;
            number(timed(days * 86_400_000, rng.u128(..1 << 62)))
        });
        let mut seconds = 1_700_000_000;
        check_kind("seconds", true, |rng| {
            seconds += rng.u128(1..100);
            seconds << 96 | 8 << 76 | rng.u128(..1 << 76)
        });
        check_kind("random", false, |rng| rng.u128(..) & !(0xf << 76) | 4 << 76);
        check_kind("no version", false, |rng| rng.u128(..));
    }

    proptest! {
        #[test]
        fn bytes_are_what_they_are_written_as_or_nothing(
            blocks in vec(vec((0..20_u128, 0..9_u128), 1..60), 0..9),
            (at, byte) in (42..2_000_usize, any::<u8>()),
        ) {
            let mut extent = IdExtent::nothing([0; 32]);
            for ids in blocks {
                let ids: Vec<EventId> = ids.iter().map(|(t, n)| timed(t * 9_999_999, *n)).collect();
                let first = extent.end.next().get();
                add(&mut extent, first, &ids);
            }
            let mut bytes = extent.encode();
            prop_assert_eq!(IdExtent::decode(&bytes), Some(extent));
            bytes.get_mut(at).into_iter().for_each(|changed| *changed = byte);
            if let Some(extent) = IdExtent::decode(&bytes) {
                prop_assert_eq!(extent.encode(), bytes);
            }
        }
    }
}
