//! The events that every subject stores: the same ones, whoever makes them and when.

use spacefold_event_core::{EventId, MAX_APPEND_EVENTS, SpaceEvent, Timestamp};

/// Appends of the full size that are kept ready; then their contents come again under new ids.
const READY_APPENDS: usize = 16;
/// Distinct ids of documents.
const DOCUMENTS: u32 = 200_000;
/// Distinct ids of documents, few enough for most spaces to have most.
const KNOWN_DOCUMENTS: u32 = 50;
/// µs since 1970 of the first event, so that runs are the same on every day.
const FIRST_TIMESTAMP: i64 = 1_750_000_000_000_000;

/// An endless sequence of events, made from a seed: the same takes give the same events.
pub(crate) struct Workload {
    ready: Vec<SpaceEvent>,
    next: u64,
}

impl Workload {
    /// The events of this seed, over so many spaces, some of which are met far more often. Hardly
    /// any document is met twice.
    pub(crate) fn new(seed: u64, spaces: u64) -> Self {
        Self::make(seed, spaces, DOCUMENTS, READY_APPENDS * MAX_APPEND_EVENTS)
    }

    /// Such events, most of which are of documents that their spaces know.
    pub(crate) fn of_known_documents(seed: u64, spaces: u64) -> Self {
        Self::make(seed, spaces, KNOWN_DOCUMENTS, READY_APPENDS * MAX_APPEND_EVENTS)
    }

    /// A workload whose contents come again after `ready` events.
    pub(crate) fn with_ready(seed: u64, spaces: u64, ready: usize) -> Self {
        Self::make(seed, spaces, DOCUMENTS, ready)
    }

    fn make(seed: u64, spaces: u64, documents: u32, ready: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let ready = (0..ready).map(|_| event(&mut random, spaces, documents)).collect();
        Self { ready, next: seed << 40 }
    }

    /// The next events, at most [`MAX_APPEND_EVENTS`].
    pub(crate) fn take(&mut self, count: usize) -> &[SpaceEvent] {
        let len = self.ready.len();
        let place = usize::try_from(self.next).unwrap_or(0) % len;
        // An append never wraps: it begins anew where the rest is too short.
        let start = if place + count > len { 0 } else { place };
        let events = self.ready.get_mut(start..start + count).unwrap_or_default();
        for event in &mut *events {
            event.event_id = event_id(self.next);
            event.timestamp = timestamp(self.next);
            self.next += 1;
        }
        events
    }
}

/// A UUID of version 7, as `SpaceEvent::new` draws them: the millisecond, a count inside of it, and bits
/// that look random. A thousand events a millisecond, in order.
fn event_id(number: u64) -> EventId {
    const VERSION: u128 = 7 << 76;
    const VARIANT: u128 = 2 << 62;
    let millis = u128::from(1_700_000_000_000 + number / 1_000);
    let count = u128::from(number % 1_000) << 64;
    let bits = u128::from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2);
    EventId::from_bytes((millis << 80 | VERSION | count | VARIANT | bits).to_be_bytes())
}

fn timestamp(number: u64) -> Timestamp {
    let micros = i64::try_from(number & 0xFF_FFFF_FFFF).unwrap_or(0) * 1_000;
    Timestamp::from_micros(FIRST_TIMESTAMP + micros).unwrap_or(Timestamp::MIN)
}

fn event(random: &mut fastrand::Rng, spaces: u64, documents: u32) -> SpaceEvent {
    let skewed = random.f64().powi(3);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a whole number, rounded down"
    )]
    let space = (skewed * spaces as f64) as u64;
    let space_id = format!("space-{space:05}");
    let document_id = format!("document-{:06}", random.u32(0..documents));
    let event = match random.u8(0..10) {
        0..4 => {
            let old_hash = hash(random);
            SpaceEvent::document_content_changed(space_id, document_id, old_hash, hash(random))
        }
        4..6 => SpaceEvent::render_completed(space_id, document_id, hash(random)),
        6..8 => {
            let words = text(random, 90);
            let name = format!("variable-{}", random.u8(0..40));
            SpaceEvent::variable_set(space_id, name, words)
        }
        _ => {
            let path = format!("/{}/{}.md", text(random, 30), document_id);
            SpaceEvent::document_added(space_id, document_id, path)
        }
    };
    let event = event.with_source("editor");
    if random.bool() { event.with_correlation_id(uuid(random)) } else { event }
}

fn hash(random: &mut fastrand::Rng) -> String {
    format!("{:032x}{:032x}", random.u128(..), random.u128(..))
}

fn uuid(random: &mut fastrand::Rng) -> String {
    let (a, b, c) = (random.u32(..), random.u16(..), random.u16(..));
    format!("{a:08x}-{b:04x}-4{:03x}-8{:03x}-{:012x}", c >> 4, c & 0xFFF, random.u64(..) >> 16)
}

fn text(random: &mut fastrand::Rng, len: usize) -> String {
    let mut text = String::with_capacity(len + 8);
    while text.len() < len {
        let word = WORDS.get(random.usize(0..WORDS.len())).unwrap_or(&"");
        text.push_str(word);
        text.push('-');
    }
    text
}

const WORDS: [&str; 16] = [
    "chapter", "draft", "figure", "glossary", "harbour", "index", "letter", "margin", "note",
    "outline", "page", "quote", "river", "section", "table", "volume",
];
