//! Reading a run: unpacked once into columns, then borrowed from.

use std::sync::Arc;

use bincode::Decode;

use super::{
    body::{Body, decode_payload},
    codec,
    rare::{RareColumns, RareFields},
    schemas::Schemas,
    stored_columns::{self, StoredBody},
    text::TextId,
};
use crate::{
    bytes::{to_u32, to_u64, to_usize},
    corrupt_records::CorruptRecords,
    event::RecordedEventRef,
    event_id::EventId,
    limits,
    origin::EventOrigin,
    payload::EventType,
    position::{Position, Revision},
    rare::{EventRare, RareRun},
    read_error::ReadError,
    tags::Tags,
    timestamp::Timestamp,
    varint::{Malformed, put_u64s},
};

/// What the writer of a log decided for a run of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignments {
    /// The position of the first record; the others follow without a gap.
    pub first_position: Position,
    /// When the log took each record; never decreasing. One entry stands for all.
    pub recorded_at: Vec<Timestamp>,
    /// For each distinct space of the run, in order of appearance: its revision before the run.
    pub base_revisions: Vec<Revision>,
}

/// The form of assignments on disk; position and time of the first record stand in the header of
/// the frame or block.
#[derive(Decode)]
struct StoredAssignments {
    /// µs since the record before, from the second record on; none when all have one time.
    recorded_after: Vec<u64>,
    base_revisions: Vec<u64>,
}

impl Assignments {
    /// The assignments as bytes, but for position and time of the first record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let times = self.recorded_at.windows(2);
        let recorded_after = times.map(|pair| match pair {
            [before, after] => after.as_micros().abs_diff(before.as_micros()),
            _ => 0,
        });
        let numbers = recorded_after.len() + self.base_revisions.len();
        let mut out = Vec::with_capacity(2 * (1 + 8) + numbers * 4);
        put_u64s(recorded_after, &mut out);
        put_u64s(self.base_revisions.iter().map(|revision| revision.get()), &mut out);
        out
    }

    /// The assignments from their bytes, and position and time of the first record.
    ///
    /// # Errors
    /// [`CorruptRecords`] when the bytes are none that [`Assignments::encode`] writes.
    pub fn decode(
        bytes: &[u8],
        first_position: Position,
        recorded_at: Timestamp,
    ) -> Result<Self, CorruptRecords> {
        let (stored, used): (StoredAssignments, usize) = bincode::decode_from_slice(bytes, codec())
            .map_err(|_| CorruptRecords::Malformed("assignments that do not decode"))?;
        if used != bytes.len() || stored.recorded_after.len() >= limits::MAX_APPEND_EVENTS {
            return Err(CorruptRecords::Malformed("assignments of the wrong length"));
        }
        let mut times = vec![recorded_at];
        let mut last = recorded_at.as_micros();
        for micros in stored.recorded_after {
            last = last.saturating_add_unsigned(micros);
            let time = Timestamp::from_micros(last);
            times.push(time.ok_or(CorruptRecords::Malformed("a time beyond the year 9999"))?);
        }
        let base_revisions = stored.base_revisions.into_iter().map(Revision::new).collect();
        Ok(Self { first_position, recorded_at: times, base_revisions })
    }
}

/// A run of recorded events, unpacked, immutable and shared: clones are cheap.
#[derive(Clone, Debug)]
pub struct Records {
    assignments: Arc<Assignments>,
    body: Arc<Body>,
}

/// All of a recorded event but its payload, which is decoded when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Sequence number in the log.
    pub position: Position,
    /// Sequence number in its space.
    pub revision: Revision,
    /// When the log took the event; never decreasing along the log.
    pub recorded_at: Timestamp,
    /// The identity its caller gave it.
    pub event_id: EventId,
    /// What kind of thing happened.
    pub event_type: EventType,
    /// To which space.
    pub space_id: &'a str,
    /// When its caller says it happened.
    pub timestamp: Timestamp,
    /// Who says so.
    pub source: Option<&'a str>,
    /// What it belongs to.
    pub correlation_id: Option<&'a str>,
    body: &'a Body,
    place: u32,
    payload: &'a [u8],
}

impl RareRun for Body {
    fn tags_at(&self, place: u32) -> Tags<'_> {
        Tags::stored(&self.texts, self.columns.rare(to_usize(place)).tags)
    }

    fn origin_at(&self, place: u32) -> Option<&EventOrigin> {
        self.columns.rare(to_usize(place)).origin
    }
}

impl Records {
    /// Unpacks a run from its body.
    ///
    /// # Errors
    /// [`CorruptRecords`] when body and assignments are none that [`super::RecordsBuilder`] and
    /// [`Assignments::encode`] write. Never panics, whatever the bytes.
    ///
    /// # Cost
    /// One pass over the bytes; payloads are decoded one by one when they are read.
    pub fn decode(
        body: &[u8],
        count: usize,
        assignments: Assignments,
    ) -> Result<Self, CorruptRecords> {
        Self::decode_by(Schemas::today(), body, count, assignments)
    }

    /// Unpacks a run as a program with these schemas does.
    ///
    /// # Errors
    /// As [`Records::decode`].
    pub fn decode_by(
        schemas: &Schemas,
        body: &[u8],
        count: usize,
        assignments: Assignments,
    ) -> Result<Self, CorruptRecords> {
        let body = Body::decode(StoredBody::Whole(body), count, schemas)?;
        Self::assign(Arc::new(body), assignments)
    }

    /// Unpacks a run from the two [parts](super::EncodedBody::parts) of its body, as a program with
    /// these schemas does.
    ///
    /// # Errors
    /// As [`Records::decode`], and when the body was parted at another place.
    pub fn decode_parts(
        schemas: &Schemas,
        rest: &[u8],
        dense: &[u8],
        count: usize,
        assignments: Assignments,
    ) -> Result<Self, CorruptRecords> {
        let body = Body::decode(StoredBody::Parted { rest, dense }, count, schemas)?;
        Self::assign(Arc::new(body), assignments)
    }

    /// Unpacks a run whose assignments are still to be made: its positions mean nothing.
    ///
    /// # Errors
    /// [`CorruptRecords`] when the body is none that [`super::RecordsBuilder`] writes.
    pub fn decode_unassigned(body: &[u8], count: usize) -> Result<Self, CorruptRecords> {
        let stored = StoredBody::Whole(body);
        Ok(Self::unassigned(Body::decode(stored, count, Schemas::today())?))
    }

    /// Records of which nothing is decided: their positions mean nothing.
    pub(super) fn unassigned(body: Body) -> Self {
        let assignments = Assignments {
            first_position: Position::START,
            recorded_at: vec![Timestamp::MIN],
            base_revisions: vec![Revision::NONE; body.columns.spaces.len()],
        };
        Self { assignments: Arc::new(assignments), body: Arc::new(body) }
    }

    /// The id of each record, from the [dense part](super::EncodedBody::parts) of a body.
    ///
    /// # Errors
    /// [`CorruptRecords`] when it is shorter than the ids of this many records.
    pub fn decode_event_ids(dense: &[u8], count: usize) -> Result<Vec<EventId>, CorruptRecords> {
        stored_columns::event_ids_of_dense(dense, count)
    }

    /// The origins of the records that have one, each with the place of its record, from the two
    /// [parts](super::EncodedBody::parts) of a body; nothing else is unpacked.
    ///
    /// # Errors
    /// [`CorruptRecords`] when the columns are none that [`super::RecordsBuilder`] writes.
    pub fn decode_origins(
        schemas: &Schemas,
        rest: &[u8],
        dense: &[u8],
        count: usize,
    ) -> Result<Vec<(usize, EventOrigin)>, CorruptRecords> {
        let rare = Body::decode_rare(StoredBody::Parted { rest, dense }, count, schemas)?;
        let origins = rare.iter().flat_map(RareColumns::origins);
        Ok(origins.map(|(index, origin)| (index, *origin)).collect())
    }

    /// The same records under other assignments: those of a run that was encoded before the
    /// writer decided.
    ///
    /// # Errors
    /// [`CorruptRecords`] when the assignments are not for as many spaces or records.
    pub fn reassign(&self, assignments: Assignments) -> Result<Self, CorruptRecords> {
        Self::assign(Arc::clone(&self.body), assignments)
    }

    fn assign(body: Arc<Body>, assignments: Assignments) -> Result<Self, CorruptRecords> {
        let times = assignments.recorded_at.len();
        if assignments.base_revisions.len() != body.columns.spaces.len()
            || (times != 1 && times != body.columns.event_ids.len())
        {
            return Err(CorruptRecords::Malformed("assignments for another run"));
        }
        Ok(Self { assignments: Arc::new(assignments), body })
    }

    /// The number of records; never zero.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub fn len(&self) -> usize {
        self.body.columns.event_ids.len()
    }

    /// The position of the first record.
    #[must_use]
    pub fn first_position(&self) -> Position {
        self.assignments.first_position
    }

    /// The position of the last record.
    #[must_use]
    pub fn last_position(&self) -> Position {
        let count = to_u64(self.len());
        self.assignments.first_position.plus(count).previous()
    }

    /// When the log took the first record.
    #[must_use]
    pub fn first_recorded_at(&self) -> Timestamp {
        self.recorded_at(0)
    }

    /// When the log took the last record.
    #[must_use]
    pub fn last_recorded_at(&self) -> Timestamp {
        self.recorded_at(self.len() - 1)
    }

    /// What the writer decided for the run.
    #[must_use]
    pub fn assignments(&self) -> &Assignments {
        &self.assignments
    }

    /// The distinct spaces of the run with the revision of each before the run and after it.
    pub fn spaces(&self) -> impl Iterator<Item = (&str, Revision, Revision)> {
        let spaces = self.body.columns.spaces.iter();
        spaces.zip(&self.assignments.base_revisions).map(|(space, base)| {
            let text = self.body.texts.get(space.id).unwrap_or_default();
            (text, *base, base.plus(u64::from(space.records)))
        })
    }

    /// The place of `space_id` among the spaces of the run.
    #[must_use]
    pub fn space_index(&self, space_id: &str) -> Option<usize> {
        let mut spaces = self.body.columns.spaces.iter();
        spaces.position(|space| self.body.texts.get(space.id) == Some(space_id))
    }

    /// For each record, the place of its space among the spaces of the run.
    pub fn space_indexes(&self) -> impl ExactSizeIterator<Item = usize> {
        self.body.columns.numbers.iter().map(|numbers| to_usize(numbers.space))
    }

    /// The type of each record.
    #[must_use]
    pub fn event_types(&self) -> &[EventType] {
        &self.body.columns.event_types
    }

    /// The id of each record.
    #[must_use]
    pub fn event_ids(&self) -> &[EventId] {
        &self.body.columns.event_ids
    }

    /// The record at `index`, its payload not yet decoded; `None` past the end.
    #[must_use]
    pub fn envelope(&self, index: usize) -> Option<Envelope<'_>> {
        let row = self.body.row(index)?;
        let text = |text: TextId| self.body.texts.get(text);
        let base = self.assignments.base_revisions.get(to_usize(row.space_index))?;
        Some(Envelope {
            position: self.assignments.first_position.plus(to_u64(index)),
            revision: base.plus(u64::from(row.rank) + 1),
            recorded_at: self.recorded_at(index),
            event_id: row.event_id,
            event_type: row.event_type,
            space_id: text(row.space)?,
            timestamp: row.timestamp,
            source: row.source.and_then(text),
            correlation_id: row.correlation_id.and_then(text),
            body: &self.body,
            place: to_u32(index),
            payload: row.payload,
        })
    }

    /// Every record in order, payloads not yet decoded.
    pub fn envelopes(&self) -> impl Iterator<Item = Envelope<'_>> {
        (0..self.len()).filter_map(|index| self.envelope(index))
    }

    /// Whether any event is of an application's type, or has a tag or an origin: whether a program
    /// that knows stores of format version 1 alone could not read the run.
    #[must_use]
    pub fn needs_version_2(&self) -> bool {
        self.body.columns.rare.is_some()
    }

    /// The origins of the records that have one, each with the place of its record, in order.
    pub fn origins(&self) -> impl Iterator<Item = (usize, &EventOrigin)> {
        self.body.columns.rare.iter().flat_map(|rare| rare.origins())
    }

    /// The tags that events of the run have, each once.
    pub fn distinct_tags(&self) -> impl Iterator<Item = &str> {
        let tags = self.body.columns.rare.as_ref().map(|rare| rare.distinct_tags());
        tags.unwrap_or_default().into_iter().filter_map(|tag| self.body.texts.get(tag))
    }

    /// The places of the events that have a tag, ascending.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Vec<usize> {
        if self.body.columns.rare.is_none() {
            return Vec::new();
        }
        let has = |index: &usize| {
            let tags = self.body.columns.rare(*index).tags;
            tags.iter().any(|own| self.body.texts.get(TextId(*own)) == Some(tag))
        };
        (0..self.len()).filter(has).collect()
    }

    /// Whether every payload was recorded as this program records it. If not, those of earlier
    /// versions are read as if they were; the bytes of the run still have them as they were, and
    /// are what to keep.
    #[must_use]
    pub fn are_current(&self) -> bool {
        self.body.are_current
    }

    /// Bytes the run holds in memory, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.body.memory_bytes() + self.assignments.recorded_at.len() * size_of::<Timestamp>()
    }

    pub(super) fn body(&self) -> &Body {
        &self.body
    }

    fn recorded_at(&self, index: usize) -> Timestamp {
        let times = &self.assignments.recorded_at;
        times.get(index).or(times.first()).copied().unwrap_or(Timestamp::MIN)
    }
}

impl<'a> Envelope<'a> {
    /// The name of the type: that of a core type, or the application's own.
    #[must_use]
    pub fn type_name(&self) -> &'a str {
        if self.event_type != EventType::Application {
            return self.event_type.name();
        }
        let name = self.rare().name.and_then(|name| self.body.texts.get(name));
        name.unwrap_or_default()
    }

    fn rare(&self) -> RareFields<'a> {
        self.body.columns.rare(to_usize(self.place))
    }

    /// The tags.
    #[must_use]
    pub fn tags(&self) -> Tags<'a> {
        self.body.tags_at(self.place)
    }

    /// Where the event comes from, when another store had it first.
    #[must_use]
    pub fn origin(&self) -> Option<&'a EventOrigin> {
        self.body.origin_at(self.place)
    }

    /// Decodes the payload.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when its bytes are no payload of the event's type, or one of a version
    /// that only a newer program knows.
    // An event is large: where this is not inlined, it is moved twice more.
    #[inline]
    pub fn decode(self) -> Result<RecordedEventRef<'a>, ReadError> {
        let Self { position, revision, recorded_at, event_id, event_type, .. } = self;
        let Self { space_id, timestamp, source, correlation_id, body, place, .. } = self;
        let texts = &body.texts;
        let text = |text| texts.get(text).ok_or(Malformed);
        let finish = |payload| RecordedEventRef {
            position,
            revision,
            recorded_at,
            event_id,
            event_type,
            space_id,
            timestamp,
            source,
            correlation_id,
            rare: EventRare::Stored { run: body, place },
            payload,
        };
        let fail = |cause| ReadError::Corrupt { position, cause };
        decode_payload(event_type, || self.rare().name, self.payload, text, finish, fail)
    }
}
