//! The events of the logs: the same ones, whoever makes them and when.

use spacefold_event_core::{EventId, MAX_APPEND_EVENTS, SpaceEvent, Timestamp};

pub(crate) const SPACES: u64 = 1_000;
const DOCUMENTS: u64 = 100;
/// µs since 1970 of the first event.
const FIRST_TIMESTAMP: u64 = 1_750_000_000_000_000;
/// Appends of which the contents come again under new ids.
const READY_APPENDS: usize = 16;

/// Events to be appended.
pub(crate) struct Events {
    ready: Vec<SpaceEvent>,
    next: u64,
}

impl Events {
    pub(crate) fn new() -> Self {
        let mut random = fastrand::Rng::with_seed(20_261_130);
        let ready = (0..READY_APPENDS * MAX_APPEND_EVENTS).map(|_| event(&mut random)).collect();
        Self { ready, next: 0 }
    }

    /// The next events, as many as an append may have, or as are left of so many.
    pub(crate) fn take(&mut self, total: u64) -> &[SpaceEvent] {
        let count = usize::try_from(total - self.next).unwrap().min(MAX_APPEND_EVENTS);
        let place = usize::try_from(self.next).unwrap() / MAX_APPEND_EVENTS % READY_APPENDS;
        let start = place * MAX_APPEND_EVENTS;
        let events = self.ready.get_mut(start..start + count).unwrap();
        for event in &mut *events {
            event.event_id = event_id(self.next);
            let micros = FIRST_TIMESTAMP + self.next;
            event.timestamp = Timestamp::from_micros(i64::try_from(micros).unwrap()).unwrap();
            self.next += 1;
        }
        events
    }

    pub(crate) fn is_over(&self, total: u64) -> bool {
        self.next == total
    }
}

/// Some 200 bytes of JSON; few spaces have most events.
fn event(random: &mut fastrand::Rng) -> SpaceEvent {
    // A random one of the first, of which there are ever more.
    let most = random.u64(1..=SPACES);
    let space = space_id(random.u64(..most));
    let document = format!("document-{}", random.u64(..DOCUMENTS));
    let hash =
        |random: &mut fastrand::Rng| format!("{:032x}{:032x}", random.u128(..), random.u128(..));
    let old = random.bool().then(|| hash(random));
    SpaceEvent::document_content_changed(space, document, old, hash(random))
}

pub(crate) fn space_id(n: u64) -> String {
    format!("space-{n:06}")
}

/// The id of an event: a UUID of version 7, a thousand a millisecond, as programs draw them.
pub(crate) fn event_id(n: u64) -> EventId {
    let millis = FIRST_TIMESTAMP / 1_000 + n / 1_000;
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    let count = u16::try_from(n % 1_000).unwrap();
    bytes[6..8].copy_from_slice(&(0x7000 | count << 2).to_be_bytes());
    let random = fastrand::Rng::with_seed(n).u64(..);
    bytes[8..].copy_from_slice(&(random >> 2 | 1 << 63).to_be_bytes());
    EventId::from_bytes(bytes)
}
