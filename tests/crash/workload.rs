//! Appends whose content follows from a seed and a key.
//!
//! Every event carries the key of its append in its id, so that whoever finds an event can make the
//! whole append again and compare.

use std::fmt;

use spacefold_event_core::{EventId, Object, SpaceEvent, Timestamp, Value};

/// What marks the ids of this workload, in their last byte.
const ID_MARK: u8 = 0xC5;
/// 2023-11-14T22:13:20Z: where the timestamps of events begin, in µs.
const BEGINNING: i64 = 1_700_000_000_000_000;
/// Spaces that all writers share.
const SHARED_SPACES: u32 = 12;

/// Which append of a workload it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendKey {
    /// The thread that makes it, told apart from every other that ever appended to the store.
    pub writer: u32,
    /// Which append of the writer, from 0.
    pub n: u32,
    /// What its events look like.
    pub profile: Profile,
}

impl fmt::Display for AppendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "append {} of writer {} ({})", self.n, self.writer, self.profile.name())
    }
}

/// What the events of an append look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Profile {
    /// 1 to 8 events of some 200 bytes.
    Small,
    /// Mostly few events, now and then a thousand; mostly small, now and then up to 300 KB.
    Mixed,
    /// Hundreds of small events, so that blocks fill fast.
    Bulk,
    /// Few events of 20 to 300 KB.
    Large,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Small, Self::Mixed, Self::Bulk, Self::Large];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Mixed => "mixed",
            Self::Bulk => "bulk",
            Self::Large => "large",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Small => 1,
            Self::Mixed => 2,
            Self::Bulk => 3,
            Self::Large => 4,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.code() == code)
    }

    /// The profile of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    fn event_count(self, rng: &mut fastrand::Rng) -> u16 {
        match (self, rng.u8(0..100)) {
            (Self::Small, _) => rng.u16(1..=8),
            (Self::Mixed, 0..50) => 1,
            (Self::Mixed, 50..85) => rng.u16(2..=20),
            (Self::Mixed, 85..98) => rng.u16(21..=200),
            (Self::Mixed, _) => rng.u16(201..=1_500),
            (Self::Bulk, _) => rng.u16(200..=1_000),
            (Self::Large, _) => rng.u16(1..=3),
        }
    }

    /// Bytes of free text in an event.
    fn text_bytes(self, events: u16, rng: &mut fastrand::Rng) -> usize {
        match (self, rng.u16(0..1_000)) {
            (Self::Large, _) => rng.usize(20_000..300_000),
            (Self::Mixed, 0..2) if events < 20 => rng.usize(20_000..300_000),
            (Self::Mixed, 2..30) => rng.usize(1_000..10_000),
            _ => rng.usize(0..250),
        }
    }
}

/// A workload: every append that a seed makes.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    seed: u64,
}

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The events of an append.
    #[must_use]
    pub fn events(&self, key: AppendKey) -> Vec<SpaceEvent> {
        let mut rng = self.rng(key);
        let count = key.profile.event_count(&mut rng);
        // Half of the appends stay in one space, the others go over several.
        let home = space(key.writer, &mut rng);
        let stays = rng.bool();
        (0..count)
            .map(|index| {
                let space = if stays { home.clone() } else { space(key.writer, &mut rng) };
                let bytes = key.profile.text_bytes(count, &mut rng);
                let event = event(space, bytes, &mut rng);
                let event = labels(event, key, &mut rng);
                let micros = BEGINNING + i64::from(key.n) * 1_000_000 + i64::from(index);
                event
                    .with_event_id(self.event_id(key, index))
                    .with_timestamp(Timestamp::from_micros(micros).unwrap_or(Timestamp::MIN))
            })
            .collect()
    }

    /// The append that the event of this id belongs to, and its place there; `None` when it is none
    /// of this workload.
    #[must_use]
    pub fn key_of(&self, id: EventId) -> Option<(AppendKey, u16)> {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, profile, mark] = *id.as_bytes();
        let profile = Profile::from_code(profile)?;
        let key = AppendKey {
            writer: u32::from_be_bytes([e, f, g, h]),
            n: u32::from_be_bytes([i, j, k, l]),
            profile,
        };
        let ours = [a, b, c, d] == self.tag() && mark == ID_MARK;
        ours.then(|| (key, u16::from_be_bytes([m, n])))
    }

    fn event_id(&self, key: AppendKey, index: u16) -> EventId {
        let [a, b, c, d] = self.tag();
        let [e, f, g, h] = key.writer.to_be_bytes();
        let [i, j, k, l] = key.n.to_be_bytes();
        let [m, n] = index.to_be_bytes();
        let profile = key.profile.code();
        EventId::from_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, profile, ID_MARK])
    }

    /// What of the seed stands in the ids.
    fn tag(&self) -> [u8; 4] {
        let [a, b, c, d, e, f, g, h] = self.seed.to_be_bytes();
        [a ^ e, b ^ f, c ^ g, d ^ h]
    }

    fn rng(&self, key: AppendKey) -> fastrand::Rng {
        let place = u64::from(key.writer) << 32 | u64::from(key.n);
        let place = place.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(key.profile.code());
        fastrand::Rng::with_seed(self.seed ^ place)
    }
}

fn space(writer: u32, rng: &mut fastrand::Rng) -> String {
    if rng.u8(0..4) == 0 {
        format!("own-{writer}")
    } else {
        format!("shared-{}", rng.u32(0..SHARED_SPACES))
    }
}

fn labels(event: SpaceEvent, key: AppendKey, rng: &mut fastrand::Rng) -> SpaceEvent {
    let event = match rng.u8(0..3) {
        0 => event.with_source(format!("writer-{}", key.writer)),
        _ => event,
    };
    match rng.u8(0..4) {
        0 => event.with_correlation_id(format!("append-{}-{}", key.writer, key.n)),
        _ => event,
    }
}

/// An event with this much free text in it.
fn event(space: String, bytes: usize, rng: &mut fastrand::Rng) -> SpaceEvent {
    let document = format!("document-{}", rng.u32(0..40));
    let name = format!("variable-{}", rng.u32(0..40));
    let kind = if bytes > 500 { 100 } else { rng.u8(0..24) };
    match kind {
        0 => SpaceEvent::space_created(space, text(bytes, rng)),
        1 => SpaceEvent::space_updated(space, changes(bytes, rng)),
        2 => SpaceEvent::space_deleted(space, Some(text(bytes, rng))),
        3 => SpaceEvent::space_activated(space),
        4 => SpaceEvent::space_archived(space),
        5 | 6 => SpaceEvent::document_added(space, document, text(bytes, rng)),
        7 => SpaceEvent::document_updated(space, document, changes(bytes, rng)),
        8 => SpaceEvent::document_removed(space, document, Some(text(bytes, rng))),
        9 => SpaceEvent::document_moved(space, document, None::<String>, text(bytes, rng)),
        10 | 11 => {
            SpaceEvent::document_content_changed(space, document, Some(hash(rng)), hash(rng))
        }
        12 => SpaceEvent::variable_deleted(space, name),
        13 => SpaceEvent::reference_added(space, document, text(bytes, rng), "cites"),
        14 => SpaceEvent::reference_cleared(space, Some(document)),
        15 => SpaceEvent::sync_started(space, "push"),
        16 => SpaceEvent::sync_completed(space),
        17 => SpaceEvent::sync_conflict(space, document, Some(hash(rng)), None::<String>),
        18 => SpaceEvent::cache_invalidated(space, vec![document], Some(text(bytes, rng))),
        19 => SpaceEvent::render_started(space, Some(document)),
        20 => SpaceEvent::render_completed(space, Some(document), Some(hash(rng))),
        21 => SpaceEvent::render_failed(space, Some(document), Some(text(bytes, rng))),
        _ => SpaceEvent::variable_set(space, name, text(bytes, rng)),
    }
}

fn changes(bytes: usize, rng: &mut fastrand::Rng) -> Object {
    let number = Value::from(i64::from(rng.i32(..)));
    [("note", Value::from(text(bytes, rng))), ("number", number)].into_iter().collect()
}

fn hash(rng: &mut fastrand::Rng) -> String {
    format!("{:032x}{:032x}", rng.u128(..), rng.u128(..))
}

/// Letters: drawn one by one, or one word over and over, so that some of it compresses.
fn text(bytes: usize, rng: &mut fastrand::Rng) -> String {
    if rng.bool() {
        let word = format!("{:012x} ", rng.u64(..) >> 16);
        word.chars().cycle().take(bytes).collect()
    } else {
        let mut letters = vec![0; bytes];
        rng.fill(&mut letters);
        letters.iter().map(|letter| char::from(b'0' + (letter & 0x3F))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_leads_back_to_its_append() {
        let workload = Workload::new(0x0123_4567_89AB_CDEF);
        for profile in Profile::ALL {
            for (writer, n) in [(0, 0), (7, 1), (u32::MAX, u32::MAX)] {
                let key = AppendKey { writer, n, profile };
                let events = workload.events(key);
                assert_eq!(events, workload.events(key), "{key} is not the same again");
                for (index, event) in events.iter().enumerate() {
                    event.check_limits().unwrap();
                    let index = u16::try_from(index).unwrap();
                    assert_eq!(workload.key_of(event.event_id), Some((key, index)));
                    assert_eq!(Workload::new(2).key_of(event.event_id), None);
                }
            }
        }
    }

    #[test]
    fn other_keys_and_other_seeds_make_other_events() {
        let key = AppendKey { writer: 1, n: 1, profile: Profile::Bulk };
        let payloads = |seed, key| {
            let events = Workload::new(seed).events(key);
            events.into_iter().map(|event| event.payload).collect::<Vec<_>>()
        };
        let own = payloads(1, key);
        assert_ne!(own, payloads(2, key));
        assert_ne!(own, payloads(1, AppendKey { writer: 2, ..key }));
        assert_ne!(own, payloads(1, AppendKey { n: 2, ..key }));
    }

    #[test]
    fn every_event_type_occurs() {
        let workload = Workload::new(1);
        let types: std::collections::BTreeSet<_> = (0..10)
            .flat_map(|n| workload.events(AppendKey { writer: 0, n, profile: Profile::Bulk }))
            .map(|event| event.event_type())
            .collect();
        assert!(types.into_iter().eq(spacefold_event_core::EventType::CORE));
    }
}
