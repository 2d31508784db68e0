//! Events that are checked and encoded ahead of their append.

use std::{iter, mem, sync::Arc};

use super::{ProposedRun, check_count};
use crate::{
    corrupt_records::CorruptRecords,
    event::{EventFields, SpaceEvent},
    event_id::EventId,
    json::{FilledIn, JsonError, JsonEvent, JsonReader},
    limits::{LimitExceeded, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_EVENT_BYTES},
    log::AppendError,
    origin::EventOrigin,
    position::Position,
    read_error::ReadError,
    record::{Envelope, RUN_BYTES, RUN_EVENTS, Records, RecordsBuilder, Schemas},
    timestamp::Timestamp,
};

/// A text from this length on may encode to an event that is too large: an event encodes to less than
/// eight times its text.
const MEASURED_TEXT_BYTES: usize = MAX_EVENT_BYTES / 8;

/// Encodes events one by one, for an append that is made later, maybe by another thread.
#[derive(Debug)]
pub struct EventEncoder {
    schemas: &'static Schemas,
    /// How many more events are expected.
    expected: usize,
    builder: RecordsBuilder,
    done: EncodedEvents,
    failure: Option<CorruptRecords>,
}

/// Events that were checked against their limits and encoded: all of an append but its condition.
#[derive(Debug, Default)]
pub struct EncodedEvents {
    runs: Vec<ProposedRun>,
    len: usize,
    bytes: usize,
    /// Of each event whether its time was filled in; none where all times were given.
    filled_in: Vec<bool>,
}

/// What a line says beside what was encoded of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedLine {
    /// When the event happened.
    pub timestamp: Timestamp,
    /// When a log took the event before, if the line says so.
    pub recorded_at: Option<Timestamp>,
    /// What the line does not say.
    pub filled_in: FilledIn,
    /// How many of its times have no offset of their own.
    pub naive_times: u8,
}

impl EventEncoder {
    /// An encoder by these schemas, of about this many events.
    #[must_use]
    pub fn new(schemas: &'static Schemas, expected: usize) -> Self {
        let builder = RecordsBuilder::with_capacity(expected.min(RUN_EVENTS)).written_by(schemas);
        Self { schemas, expected, builder, done: EncodedEvents::default(), failure: None }
    }

    /// Reads an event and adds it, if `check` has nothing against it; what the line does not say is
    /// filled in: a fresh id, and the time `now`.
    ///
    /// # Errors
    /// [`JsonError`], as of [`JsonReader::read`], [`LimitExceeded::EventTooLarge`], and what `check`
    /// answers; nothing is added then.
    pub fn push_line(
        &mut self,
        reader: &JsonReader,
        json: &[u8],
        now: Timestamp,
        check: impl FnOnce(&EncodedLine) -> Result<(), JsonError>,
    ) -> Result<EncodedLine, JsonError> {
        let line = reader.read_line(json)?;
        let fields = line.fields(line.event_id.unwrap_or_else(EventId::new), now);
        check_encoded(&fields, reader, json)?;
        let encoded = EncodedLine {
            timestamp: fields.timestamp,
            recorded_at: line.recorded_at.map(|parsed| parsed.time),
            filled_in: line.filled_in(),
            naive_times: line.naive_times(),
        };
        check(&encoded)?;
        self.push(&fields, encoded.filled_in.timestamp);
        Ok(encoded)
    }

    /// Reads an event and adds it, as [`EventEncoder::push_line`] does, but lets `settle` have it
    /// before: it may give the event another id.
    ///
    /// # Errors
    /// As of [`EventEncoder::push_line`].
    pub fn push_settled(
        &mut self,
        reader: &JsonReader,
        json: &[u8],
        settle: impl FnOnce(&mut JsonEvent, &EncodedLine) -> Result<(), JsonError>,
    ) -> Result<EncodedLine, JsonError> {
        let mut read = reader.read(json)?;
        check_encoded(&read.event.fields(), reader, json)?;
        let encoded = EncodedLine {
            timestamp: read.event.timestamp,
            recorded_at: read.recorded_at,
            filled_in: read.filled_in,
            naive_times: read.naive_times,
        };
        settle(&mut read, &encoded)?;
        self.push(&read.event.fields(), encoded.filled_in.timestamp);
        Ok(encoded)
    }

    /// How many events there are so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.done.len
    }

    /// Whether there are none so far.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.done.len == 0
    }

    /// Adds an event that is within its limits, and answers how many bytes it counts for.
    pub(super) fn push<S: AsRef<str>>(
        &mut self,
        fields: &EventFields<'_, S>,
        is_filled_in: bool,
    ) -> usize {
        let bytes = self.builder.push_fields(fields);
        self.done.note_filled_in(is_filled_in);
        self.done.len += 1;
        self.done.bytes += bytes;
        self.expected = self.expected.saturating_sub(1);
        if self.builder.count() == RUN_EVENTS || self.builder.encoded_bytes() >= RUN_BYTES {
            self.finish_run();
        }
        bytes
    }

    /// The bytes that the events so far count for in [`MAX_APPEND_BYTES`].
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.done.bytes
    }

    /// The events.
    ///
    /// # Errors
    /// [`AppendError::Unreadable`] when what was encoded does not read, which only a fault of this
    /// program makes.
    pub fn finish(mut self) -> Result<EncodedEvents, AppendError> {
        if self.builder.count() > 0 {
            self.expected = 0;
            self.finish_run();
        }
        match self.failure {
            Some(cause) => Err(ReadError::Corrupt { position: Position::START, cause }.into()),
            None => Ok(self.done),
        }
    }

    fn finish_run(&mut self) {
        let next = RecordsBuilder::with_capacity(self.expected.min(RUN_EVENTS));
        let builder = mem::replace(&mut self.builder, next.written_by(self.schemas));
        match builder.finish_with_records() {
            Ok((body, records)) => {
                self.done.runs.push(ProposedRun { body: Arc::new(body), records });
            }
            Err(cause) => self.failure = Some(cause),
        }
    }
}

/// Refuses an event that is too large when it is encoded; most texts are too short to be of one, with
/// the keys too that the reader has put into it.
fn check_encoded<S: AsRef<str>>(
    fields: &EventFields<'_, S>,
    reader: &JsonReader,
    text: &[u8],
) -> Result<(), LimitExceeded> {
    let added = reader.most_added(fields.payload.type_name());
    if text.len().saturating_add(added) >= MEASURED_TEXT_BYTES {
        let bytes = RecordsBuilder::new().push_fields(fields);
        if bytes > MAX_EVENT_BYTES {
            return Err(LimitExceeded::EventTooLarge { bytes });
        }
    }
    Ok(())
}

impl EncodedEvents {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that they count for in [`MAX_APPEND_BYTES`].
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The ids of the events, in order, run by run.
    pub fn event_ids(&self) -> impl Iterator<Item = &[EventId]> + Clone {
        self.records().map(Records::event_ids)
    }

    /// The origins of the events that have one, each with the place of its event.
    pub fn origins(&self) -> impl Iterator<Item = (usize, &EventOrigin)> {
        let mut first = 0;
        self.records().flat_map(move |records| {
            let start = first;
            first += records.len();
            records.origins().map(move |(index, origin)| (start + index, origin))
        })
    }

    /// The event at an index.
    #[must_use]
    pub fn event(&self, index: usize) -> Option<SpaceEvent> {
        let event = self.envelope(index)?.decode().ok()?.to_owned_event().event;
        let is_filled_in = self.filled_in.get(index) == Some(&true);
        let time = event.timestamp;
        Some(if is_filled_in { event.with_filled_in_timestamp(time) } else { event })
    }

    /// Adds the events of another one after these.
    pub fn join(&mut self, after: Self) {
        if self.is_empty() {
            *self = after;
            return;
        }
        if !self.filled_in.is_empty() || !after.filled_in.is_empty() {
            self.filled_in.resize(self.len, false);
            self.filled_in.extend(after.filled_in);
            self.filled_in.resize(self.len + after.len, false);
        }
        self.runs.extend(after.runs);
        self.len += after.len;
        self.bytes += after.bytes;
    }

    /// Those of the events that are to be kept, by their places, encoded anew by a fresh encoder.
    ///
    /// # Errors
    /// As of [`EventEncoder::finish`].
    pub fn keeping(
        &self,
        mut encoder: EventEncoder,
        keep: impl Fn(usize) -> bool,
    ) -> Result<Self, AppendError> {
        let envelopes = self.records().flat_map(Records::envelopes).enumerate();
        for (index, envelope) in envelopes.filter(|(index, _)| keep(*index)) {
            let event = envelope.decode()?;
            let is_filled_in = self.filled_in.get(index) == Some(&true);
            encoder.push(&event.fields(), is_filled_in);
        }
        encoder.finish()
    }

    pub(super) fn check_size(&self) -> Result<(), AppendError> {
        if self.is_empty() {
            return Err(AppendError::Empty);
        }
        check_count(self.len)?;
        if self.bytes > MAX_APPEND_BYTES {
            let limit = LimitExceeded::AppendTooLarge { bytes: self.bytes };
            return Err(AppendError::Limit { index: self.len.min(MAX_APPEND_EVENTS) - 1, limit });
        }
        Ok(())
    }

    pub(super) fn runs(&self) -> &[ProposedRun] {
        &self.runs
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Records> + Clone {
        self.runs.iter().map(|run| &run.records)
    }

    pub(super) fn envelope(&self, mut index: usize) -> Option<Envelope<'_>> {
        for records in self.records() {
            match index.checked_sub(records.len()) {
                None => return records.envelope(index),
                Some(behind) => index = behind,
            }
        }
        None
    }

    /// Notes of the next event whether its time was filled in.
    fn note_filled_in(&mut self, is_filled_in: bool) {
        if is_filled_in || !self.filled_in.is_empty() {
            let missing = self.len - self.filled_in.len();
            self.filled_in.extend(iter::repeat_n(false, missing));
            self.filled_in.push(is_filled_in);
        }
    }
}
