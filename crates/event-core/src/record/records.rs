//! Reading a run: unpacked once into columns, then borrowed from.

use std::sync::Arc;

use bincode::{Decode, Encode};

use super::{
    body::Columns,
    codec,
    corrupt::CorruptRecords,
    text::{TextId, TextTable},
};
use crate::{EventId, EventType, Payload, Position, RecordedEventRef, Revision, Timestamp, limits};

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
#[derive(Encode, Decode)]
struct StoredAssignments {
    /// µs since the record before, from the second record on; none when all have one time.
    recorded_after: Vec<u64>,
    base_revisions: Vec<u64>,
}

impl Assignments {
    /// The assignments as bytes, but for position and time of the first record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let recorded_after = self.recorded_at.windows(2).map(|pair| match pair {
            [before, after] => after.as_micros().abs_diff(before.as_micros()),
            _ => 0,
        });
        let stored = StoredAssignments {
            recorded_after: recorded_after.collect(),
            base_revisions: self.base_revisions.iter().map(|revision| revision.get()).collect(),
        };
        bincode::encode_to_vec(stored, codec())
            .expect("assignments encode into memory without an error")
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
            .map_err(|_| CorruptRecords("assignments that do not decode"))?;
        if used != bytes.len() || stored.recorded_after.len() >= limits::MAX_APPEND_EVENTS {
            return Err(CorruptRecords("assignments of the wrong length"));
        }
        let mut times = vec![recorded_at];
        let mut last = recorded_at.as_micros();
        for micros in stored.recorded_after {
            last = last.saturating_add_unsigned(micros);
            let time = Timestamp::from_micros(last);
            times.push(time.ok_or(CorruptRecords("a time beyond the year 9999"))?);
        }
        let base_revisions = stored.base_revisions.into_iter().map(Revision::new).collect();
        Ok(Self { first_position, recorded_at: times, base_revisions })
    }
}

/// The body of a run, unpacked. It knows nothing of positions.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) texts: TextTable,
    spaces: Vec<TextId>,
    event_ids: Vec<EventId>,
    event_types: Vec<EventType>,
    space_of: Vec<u32>,
    /// How many records of the same space come before, in this run.
    rank_of: Vec<u32>,
    timestamps: Vec<Timestamp>,
    sources: Vec<u32>,
    correlation_ids: Vec<u32>,
    payload_ends: Vec<u32>,
    payloads: Vec<u8>,
}

/// One record of a body.
pub(super) struct Row<'a> {
    pub(super) event_id: EventId,
    pub(super) event_type: EventType,
    pub(super) space: TextId,
    pub(super) timestamp: Timestamp,
    pub(super) source: Option<TextId>,
    pub(super) correlation_id: Option<TextId>,
    space_index: u32,
    rank: u32,
    payload: &'a [u8],
}

impl Body {
    fn decode(bytes: &[u8], count: usize) -> Result<Self, CorruptRecords> {
        let columns = Columns::decode(bytes, count)?;
        let texts = TextTable::decode(&columns.text_entries, columns.text_bytes)?;
        Self::assemble(columns, texts, count)
    }

    /// Checks the columns against each other and the text table.
    fn assemble(
        columns: Columns<'_>,
        texts: TextTable,
        count: usize,
    ) -> Result<Self, CorruptRecords> {
        let mut ranks = vec![0_u32; columns.spaces.len()];
        let mut rank_of = Vec::with_capacity(count);
        for space in &columns.space_of {
            let rank = ranks
                .get_mut(to_usize(*space))
                .ok_or(CorruptRecords("a record of a space that is not in the run"))?;
            rank_of.push(*rank);
            *rank += 1;
        }
        if ranks.contains(&0) {
            return Err(CorruptRecords("a space without a record"));
        }
        let mut listed = vec![false; texts.len()];
        for space in &columns.spaces {
            let slot = listed.get_mut(to_usize(*space));
            let slot = slot.ok_or(CorruptRecords("a text that is not in the table"))?;
            if std::mem::replace(slot, true) {
                return Err(CorruptRecords("a space that is listed twice"));
            }
        }
        let spaces: Vec<TextId> = columns.spaces.into_iter().map(TextId).collect();
        let references = columns.sources.iter().chain(&columns.correlation_ids);
        if references.into_iter().any(|reference| to_usize(*reference) > texts.len()) {
            return Err(CorruptRecords("a text that is not in the table"));
        }
        Ok(Self {
            texts,
            spaces,
            event_ids: decode_ids(columns.event_ids),
            event_types: decode_types(columns.event_types)?,
            space_of: columns.space_of,
            rank_of,
            timestamps: decode_timestamps(&columns.timestamps)?,
            sources: columns.sources,
            correlation_ids: columns.correlation_ids,
            payload_ends: decode_ends(&columns.payload_lens, columns.payloads.len())?,
            payloads: columns.payloads.to_vec(),
        })
    }

    pub(super) fn row(&self, index: usize) -> Result<Row<'_>, CorruptRecords> {
        self.row_at(index).ok_or(CorruptRecords("a record that is not in the run"))
    }

    fn row_at(&self, index: usize) -> Option<Row<'_>> {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => to_usize(*self.payload_ends.get(before)?),
        };
        let end = to_usize(*self.payload_ends.get(index)?);
        let space_index = *self.space_of.get(index)?;
        let reference = |text: u32| text.checked_sub(1).map(TextId);
        Some(Row {
            event_id: *self.event_ids.get(index)?,
            event_type: *self.event_types.get(index)?,
            space: *self.spaces.get(to_usize(space_index))?,
            timestamp: *self.timestamps.get(index)?,
            source: reference(*self.sources.get(index)?),
            correlation_id: reference(*self.correlation_ids.get(index)?),
            space_index,
            rank: *self.rank_of.get(index)?,
            payload: self.payloads.get(start..end)?,
        })
    }

    fn memory_bytes(&self) -> usize {
        let per_record = size_of::<EventId>() + size_of::<Timestamp>() + 5 * size_of::<u32>() + 1;
        self.texts.memory_bytes() + self.payloads.len() + self.event_ids.len() * per_record
    }
}

impl Row<'_> {
    pub(super) fn payload(&self) -> Result<Payload<TextId>, CorruptRecords> {
        let mut decoder = bincode::de::DecoderImpl::new(
            bincode::de::read::SliceReader::new(self.payload),
            codec(),
            (),
        );
        let payload = Payload::decode_as(self.event_type, &mut decoder)
            .map_err(|_| CorruptRecords("a payload that does not decode"))?;
        if bincode::de::read::Reader::peek_read(bincode::de::Decoder::reader(&mut decoder), 1)
            .is_some()
        {
            return Err(CorruptRecords("bytes after a payload"));
        }
        Ok(payload)
    }
}

fn decode_ids(bytes: &[u8]) -> Vec<EventId> {
    let (ids, _) = bytes.as_chunks::<{ EventId::LEN }>();
    ids.iter().map(|id| EventId::from_bytes(*id)).collect()
}

fn decode_types(codes: &[u8]) -> Result<Vec<EventType>, CorruptRecords> {
    let event_type =
        |code: &u8| EventType::from_code(*code).ok_or(CorruptRecords("an unknown event type"));
    codes.iter().map(event_type).collect()
}

fn decode_timestamps(differences: &[i64]) -> Result<Vec<Timestamp>, CorruptRecords> {
    let mut last = 0_i64;
    let timestamp = |difference: &i64| {
        last = last.wrapping_add(*difference);
        Timestamp::from_micros(last).ok_or(CorruptRecords("a timestamp out of range"))
    };
    differences.iter().map(timestamp).collect()
}

fn decode_ends(lens: &[u32], total: usize) -> Result<Vec<u32>, CorruptRecords> {
    let mut end = 0_u32;
    let mut ends = Vec::with_capacity(lens.len());
    for len in lens {
        end = end.checked_add(*len).ok_or(CorruptRecords("payloads beyond 4 GiB"))?;
        ends.push(end);
    }
    if to_usize(end) == total {
        Ok(ends)
    } else {
        Err(CorruptRecords("payloads of another length"))
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
    index: usize,
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
        let body = Arc::new(Body::decode(body, count)?);
        Self::assign(body, assignments)
    }

    /// Unpacks a run whose assignments are still to be made: its positions mean nothing.
    ///
    /// # Errors
    /// [`CorruptRecords`] when the body is none that [`super::RecordsBuilder`] writes.
    pub fn decode_unassigned(body: &[u8], count: usize) -> Result<Self, CorruptRecords> {
        Self::unassigned(Body::decode(body, count)?)
    }

    /// The records of columns that were just encoded, with their texts.
    pub(super) fn of_columns(
        columns: Columns<'_>,
        texts: TextTable,
    ) -> Result<Self, CorruptRecords> {
        let count = columns.event_types.len();
        if count == 0 {
            return Err(CorruptRecords("a run without a record"));
        }
        Self::unassigned(Body::assemble(columns, texts, count)?)
    }

    fn unassigned(body: Body) -> Result<Self, CorruptRecords> {
        let base_revisions = vec![Revision::NONE; body.spaces.len()];
        let first_position = Position::START;
        let recorded_at = vec![Timestamp::MIN];
        Self::assign(Arc::new(body), Assignments { first_position, recorded_at, base_revisions })
    }

    /// The id of each record of a body, without unpacking the rest.
    ///
    /// # Errors
    /// [`CorruptRecords`] when the columns of the body do not decode.
    pub fn decode_event_ids(body: &[u8], count: usize) -> Result<Vec<EventId>, CorruptRecords> {
        Ok(decode_ids(Columns::decode(body, count)?.event_ids))
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
        if assignments.base_revisions.len() != body.spaces.len()
            || (times != 1 && times != body.event_ids.len())
        {
            return Err(CorruptRecords("assignments for another run"));
        }
        Ok(Self { assignments: Arc::new(assignments), body })
    }

    /// The number of records; never zero.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub fn len(&self) -> usize {
        self.body.event_ids.len()
    }

    /// The position of the first record.
    #[must_use]
    pub fn first_position(&self) -> Position {
        self.assignments.first_position
    }

    /// The position of the last record.
    #[must_use]
    pub fn last_position(&self) -> Position {
        let count = u64::try_from(self.len()).unwrap_or(u64::MAX);
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
        let mut counts = vec![0_u64; self.body.spaces.len()];
        for space in &self.body.space_of {
            if let Some(count) = counts.get_mut(to_usize(*space)) {
                *count += 1;
            }
        }
        let texts = self.body.spaces.iter().map(|space| self.body.texts.get(*space).unwrap_or(""));
        let bases = &self.assignments.base_revisions;
        texts.zip(bases).zip(counts).map(|((text, base), count)| (text, *base, base.plus(count)))
    }

    /// The place of `space_id` among the spaces of the run.
    #[must_use]
    pub fn space_index(&self, space_id: &str) -> Option<usize> {
        self.body.spaces.iter().position(|space| self.body.texts.get(*space) == Ok(space_id))
    }

    /// For each record, the place of its space among the spaces of the run.
    pub fn space_indexes(&self) -> impl ExactSizeIterator<Item = usize> {
        self.body.space_of.iter().map(|space| to_usize(*space))
    }

    /// The type of each record.
    #[must_use]
    pub fn event_types(&self) -> &[EventType] {
        &self.body.event_types
    }

    /// The id of each record.
    #[must_use]
    pub fn event_ids(&self) -> &[EventId] {
        &self.body.event_ids
    }

    /// The record at `index`, its payload not yet decoded; `None` past the end.
    #[must_use]
    pub fn envelope(&self, index: usize) -> Option<Envelope<'_>> {
        let row = self.body.row_at(index)?;
        let text = |text: TextId| self.body.texts.get(text).ok();
        let base = self.assignments.base_revisions.get(to_usize(row.space_index))?;
        Some(Envelope {
            position: self.assignments.first_position.plus(u64::try_from(index).ok()?),
            revision: base.plus(u64::from(row.rank) + 1),
            recorded_at: self.recorded_at(index),
            event_id: row.event_id,
            event_type: row.event_type,
            space_id: text(row.space)?,
            timestamp: row.timestamp,
            source: row.source.and_then(text),
            correlation_id: row.correlation_id.and_then(text),
            body: &self.body,
            index,
        })
    }

    /// Every record in order, payloads not yet decoded.
    pub fn envelopes(&self) -> impl Iterator<Item = Envelope<'_>> {
        (0..self.len()).filter_map(|index| self.envelope(index))
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
    /// Decodes the payload.
    ///
    /// # Errors
    /// [`CorruptRecords`] when its bytes are no payload of the event's type.
    pub fn decode(self) -> Result<RecordedEventRef<'a>, CorruptRecords> {
        let stored = self.body.row(self.index)?.payload()?;
        let payload = stored.try_map_text(&mut |text| self.body.texts.get(*text))?;
        Ok(RecordedEventRef { envelope: self, payload })
    }
}
