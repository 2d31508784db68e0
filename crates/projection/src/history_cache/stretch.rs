//! A stretch: events of one space that follow each other in it.
//!
//! Bytes: a bincode 2 record in its standard configuration: revision of the first event, positions and
//! recording times (a list each, of what each is beyond the one before; the first time beyond the
//! year 1), body of a run of records (as in a frame, without assignments) in two parts: all but its
//! dense part, packed with LZ4 behind its length (u32), and its dense part, which is random mostly.

use bincode::{BorrowDecode, Encode, config};
use spacefold_event_core::{
    Position, ReadError, RecordedEventRef, Records, RecordsBuilder, Revision, Timestamp,
    bytes::to_u64,
};

/// What lists of a stretch take in memory at the most.
const MAX_BYTES: usize = 1 << 30;

#[derive(Encode, BorrowDecode)]
struct StoredStretch<'a> {
    first: u64,
    positions: Vec<u64>,
    times: Vec<u64>,
    packed: &'a [u8],
    dense: &'a [u8],
}

/// Some events of one space that follow each other in it, being gathered.
#[derive(Default)]
pub(super) struct StretchBuilder {
    first: Revision,
    events: Vec<(Position, Timestamp)>,
    builder: RecordsBuilder,
}

impl StretchBuilder {
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
        self.builder.push_recorded(event);
    }

    /// The bytes of the stretch.
    pub(super) fn finish(self) -> Vec<u8> {
        let (mut position, mut time) = (0, Timestamp::MIN.as_micros());
        let (mut positions, mut times) = (Vec::new(), Vec::new());
        for (at, recorded_at) in &self.events {
            positions.push(at.get() - position);
            times.push(recorded_at.as_micros().abs_diff(time));
            (position, time) = (at.get(), recorded_at.as_micros());
        }
        let body = self.builder.finish();
        let (rest, dense) = body.parts();
        let packed = lz4_flex::compress_prepend_size(rest);
        let stored =
            StoredStretch { first: self.first.get(), positions, times, packed: &packed, dense };
        bincode::encode_to_vec(stored, config::standard())
            .expect("it encodes into memory without an error")
    }
}

/// A stretch of a space's events, unpacked.
pub(super) struct SpaceStretch {
    pub(super) first: Revision,
    pub(super) last_position: Position,
    events: Vec<(Position, Timestamp)>,
    records: Records,
}

impl SpaceStretch {
    /// The stretch up to a revision, from its bytes; `None` when they are of no such stretch.
    pub(super) fn decode(bytes: &[u8], last: Revision) -> Option<Self> {
        let config = config::standard().with_limit::<MAX_BYTES>();
        let (stored, used): (StoredStretch<'_>, usize) =
            bincode::borrow_decode_from_slice(bytes, config).ok()?;
        let (mut position, mut time) = (0_u64, Timestamp::MIN.as_micros());
        let mut events = Vec::with_capacity(stored.positions.len());
        for (after, later) in stored.positions.iter().zip(&stored.times) {
            position = position.checked_add(*after)?;
            time = time.checked_add_unsigned(*later)?;
            events.push((Position::new(position), Timestamp::from_micros(time)?));
        }
        let count = to_u64(events.len());
        let ends_there = stored.first.checked_add(count)?.checked_sub(1)? == last.get();
        if used != bytes.len() || !ends_there {
            return None;
        }
        let mut body = lz4_flex::decompress_size_prepended(stored.packed).ok()?;
        body.extend_from_slice(stored.dense);
        Some(Self {
            first: Revision::new(stored.first),
            last_position: events.last()?.0,
            records: Records::decode_unassigned(&body, events.len()).ok()?,
            events,
        })
    }

    /// Hands over the events after a revision up to a position.
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
