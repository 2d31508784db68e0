//! What is kept of a space's past: stretches of its events, and now and then its whole state.
//!
//! Both are blobs in the state store, derived and expendable. Their keys say what they hold, so
//! that listing keys is enough to find one's way: kind, length of the space id (16 bits), space id,
//! then for a stretch its first and last revision and the position of the last, for a state its
//! revision and the position of that, all big endian. The blob has the version of this form, the
//! event that it ends with, which tells one log from another, and the rest packed with LZ4; BLAKE3
//! of it all stands behind.

use bincode::{Decode, Encode};
use spacefold_event_core::{
    EventId, Position, ReadError, RecordedEventRef, Records, RecordsBuilder, Revision, Timestamp,
    bytes::to_u64,
};
use spacefold_state::SpaceState;

use crate::{
    checkpoint::{KEPT_VERSION, LastEvent},
    wire::{seal, unseal},
};

/// What the key of everything that is kept of the past begins with.
pub(super) const PREFIX: &[u8] = b"space-past/";
/// Where it is noted how far the past is kept.
pub(super) const MARKER_KEY: &[u8] = b"space-past";

/// The version of the form, and of the states.
pub(super) const VERSION: u64 = (1 << 32) | KEPT_VERSION as u64;

/// Where a stretch of a space's events is kept, as far as its key tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StretchKey {
    pub(super) first: Revision,
    pub(super) last: Revision,
    pub(super) last_position: Position,
}

/// Where a state of a space is kept, as far as its key tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateKey {
    pub(super) revision: Revision,
    pub(super) position: Position,
}

/// What the keys of the stretches of a space begin with.
pub(super) fn stretches_prefix(space_id: &str) -> Vec<u8> {
    prefix(b'e', space_id)
}

/// What the keys of the states of a space begin with.
pub(super) fn states_prefix(space_id: &str) -> Vec<u8> {
    prefix(b's', space_id)
}

fn prefix(kind: u8, space_id: &str) -> Vec<u8> {
    let length = u16::try_from(space_id.len()).unwrap_or(u16::MAX);
    let mut key = PREFIX.to_vec();
    key.push(kind);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(space_id.as_bytes());
    key
}

impl StretchKey {
    pub(super) fn encode(&self, space_id: &str) -> Vec<u8> {
        let numbers = [self.first.get(), self.last.get(), self.last_position.get()];
        with_numbers(stretches_prefix(space_id), &numbers)
    }

    pub(super) fn parse(key: &[u8], space_id: &str) -> Option<Self> {
        let [first, last, position] = numbers(key, &stretches_prefix(space_id))?;
        let (first, last) = (Revision::new(first), Revision::new(last));
        Some(Self { first, last, last_position: Position::new(position) })
    }
}

impl StateKey {
    pub(super) fn encode(&self, space_id: &str) -> Vec<u8> {
        let numbers = [self.revision.get(), self.position.get()];
        with_numbers(states_prefix(space_id), &numbers)
    }

    pub(super) fn parse(key: &[u8], space_id: &str) -> Option<Self> {
        let [revision, position] = numbers(key, &states_prefix(space_id))?;
        Some(Self { revision: Revision::new(revision), position: Position::new(position) })
    }
}

fn with_numbers(mut key: Vec<u8>, numbers: &[u64]) -> Vec<u8> {
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key
}

fn numbers<const N: usize>(key: &[u8], prefix: &[u8]) -> Option<[u64; N]> {
    let (chunks, rest) = key.strip_prefix(prefix)?.as_chunks::<8>();
    let chunks: &[[u8; 8]; N] = chunks.try_into().ok()?;
    rest.is_empty().then(|| chunks.map(u64::from_be_bytes))
}

#[derive(Encode, Decode)]
struct Stored {
    version: u64,
    event_id: [u8; EventId::LEN],
    recorded_at: i64,
    space_id: String,
    /// Of each event what its position, and its time, is beyond those of the one before.
    positions: Vec<u64>,
    times: Vec<u64>,
    first_revision: u64,
    packed: Vec<u8>,
}

/// Some events of one space that follow each other in it, being gathered.
#[derive(Default)]
pub(super) struct Gathered {
    first: Revision,
    events: Vec<(Position, Timestamp)>,
    last_id: Option<EventId>,
    builder: RecordsBuilder,
}

impl Gathered {
    pub(super) const fn count(&self) -> usize {
        self.events.len()
    }

    /// The positions of the first and the last event.
    pub(super) fn span(&self) -> Option<(Position, Position)> {
        Some((self.events.first()?.0, self.events.last()?.0))
    }

    pub(super) fn last_revision(&self) -> Revision {
        self.first.plus(to_u64(self.count())).previous()
    }

    pub(super) fn push(&mut self, event: &RecordedEventRef<'_>) {
        if self.events.is_empty() {
            self.first = event.revision;
        }
        self.events.push((event.position, event.recorded_at));
        self.last_id = Some(event.event_id);
        self.builder.push_recorded(event);
    }

    /// The key and the blob; `None` when nothing was gathered.
    pub(super) fn finish(self, space_id: &str) -> Option<(StretchKey, Vec<u8>)> {
        let last = self.last_revision();
        let (last_position, recorded_at) = *self.events.last()?;
        let key = StretchKey { first: self.first, last, last_position };
        let mut before = (0, 0);
        let (mut positions, mut times) = (Vec::new(), Vec::new());
        for (position, time) in &self.events {
            let now = (position.get(), time.as_micros());
            positions.push(now.0 - before.0);
            times.push(now.1.abs_diff(if before.0 == 0 {
                Timestamp::MIN.as_micros()
            } else {
                before.1
            }));
            before = now;
        }
        let stored = Stored {
            version: VERSION,
            event_id: *self.last_id?.as_bytes(),
            recorded_at: recorded_at.as_micros(),
            space_id: space_id.to_owned(),
            positions,
            times,
            first_revision: self.first.get(),
            packed: lz4_flex::compress_prepend_size(self.builder.finish().bytes()),
        };
        Some((key, stored.seal()))
    }
}

impl Stored {
    fn seal(&self) -> Vec<u8> {
        let bytes = bincode::encode_to_vec(self, bincode::config::standard())
            .expect("it encodes into memory without an error");
        seal(bytes)
    }

    fn unseal(bytes: &[u8], space_id: &str) -> Option<Self> {
        let bytes = unseal(bytes)?;
        let config = bincode::config::standard();
        let (stored, used): (Self, usize) = bincode::decode_from_slice(bytes, config).ok()?;
        (used == bytes.len() && stored.version == VERSION && stored.space_id == space_id)
            .then_some(stored)
    }

    fn last(&self) -> Option<LastEvent> {
        let id = EventId::from_bytes(self.event_id);
        Some(LastEvent { id, recorded_at: Timestamp::from_micros(self.recorded_at)? })
    }
}

/// A stretch of a space's events, unpacked.
pub(super) struct Stretch {
    first: Revision,
    events: Vec<(Position, Timestamp)>,
    records: Records,
    pub(super) last: LastEvent,
}

impl Stretch {
    /// The stretch from its blob; `None` when it is not the one of this key.
    pub(super) fn decode(bytes: &[u8], space_id: &str, key: &StretchKey) -> Option<Self> {
        let stored = Stored::unseal(bytes, space_id)?;
        let (mut position, mut time) = (0_u64, Timestamp::MIN.as_micros());
        let mut events = Vec::with_capacity(stored.positions.len());
        for (after, later) in stored.positions.iter().zip(&stored.times) {
            position = position.checked_add(*after)?;
            time = time.checked_add_unsigned(*later)?;
            events.push((Position::new(position), Timestamp::from_micros(time)?));
        }
        let body = lz4_flex::decompress_size_prepended(&stored.packed).ok()?;
        let records = Records::decode_unassigned(&body, events.len()).ok()?;
        let stretch = Self {
            first: Revision::new(stored.first_revision),
            events,
            records,
            last: stored.last()?,
        };
        (stretch.key()? == *key).then_some(stretch)
    }

    fn key(&self) -> Option<StretchKey> {
        let count = to_u64(self.events.len());
        let last = self.first.plus(count).previous();
        Some(StretchKey { first: self.first, last, last_position: self.events.last()?.0 })
    }

    /// Hands over the events behind a revision up to a position.
    pub(super) fn replay(
        &self,
        after: Revision,
        to: Position,
        mut apply: impl FnMut(&RecordedEventRef<'_>),
    ) -> Result<(), ReadError> {
        let mut revision = self.first;
        for (mut envelope, (position, time)) in self.records.envelopes().zip(&self.events) {
            if *position > to {
                break;
            }
            if revision > after {
                envelope.position = *position;
                envelope.revision = revision;
                envelope.recorded_at = *time;
                apply(&envelope.decode()?);
            }
            revision = revision.next();
        }
        Ok(())
    }
}

/// A state as a blob.
pub(super) fn encode_state(state: &SpaceState, position: Position, last: LastEvent) -> Vec<u8> {
    let stored = Stored {
        version: VERSION,
        event_id: *last.id.as_bytes(),
        recorded_at: last.recorded_at.as_micros(),
        space_id: state.space_id().to_owned(),
        positions: vec![position.get()],
        times: Vec::new(),
        first_revision: state.revision().get(),
        packed: lz4_flex::compress_prepend_size(&state.encode()),
    };
    stored.seal()
}

/// A state from its blob, and the event that it ends with; `None` when it is not that of this key.
pub(super) fn decode_state(
    bytes: &[u8],
    space_id: &str,
    key: &StateKey,
) -> Option<(SpaceState, LastEvent)> {
    let stored = Stored::unseal(bytes, space_id)?;
    let state =
        SpaceState::decode(&lz4_flex::decompress_size_prepended(&stored.packed).ok()?).ok()?;
    let found = (state.space_id(), state.revision(), stored.positions.as_slice());
    let is_it = found == (space_id, key.revision, &[key.position.get()]);
    is_it.then_some((state, stored.last()?))
}
