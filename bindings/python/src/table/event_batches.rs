//! Events as batches of a table.

use std::{collections::VecDeque, sync::Arc, thread};

use arrow_array::{
    ArrayRef, ListArray, RecordBatch, RecordBatchReader, StringArray, TimestampMicrosecondArray,
    UInt64Array,
    builder::{ArrayBuilder, StringBuilder},
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use spacefold::{
    EventId,
    event::RecordedEventRef,
    log::{Page, Pages},
};

use super::time_type;
use crate::{
    opened::{Kept, Opened},
    payload,
};

/// Rows of a batch, about.
const BATCH_ROWS: usize = 32_768;
/// Bytes in memory of events after which a batch is full: rows of large payloads make smaller ones.
const BATCH_BYTES: usize = 64 << 20;
/// Batches that are made at once, at most.
const MAX_THREADS: usize = 4;

/// The pages of a read, as batches.
pub(crate) struct EventBatches {
    /// Held open as long as it is read from.
    _store: Kept<Arc<Opened>>,
    pages: Pages<'static>,
    schema: SchemaRef,
    left: u64,
    threads: usize,
    has_begun: bool,
    made: VecDeque<RecordBatch>,
}

impl EventBatches {
    pub(crate) fn new(store: Kept<Arc<Opened>>, pages: Pages<'static>, most: u64) -> Self {
        let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
        let number = |name| Field::new(name, DataType::UInt64, false);
        let time = |name| Field::new(name, time_type(), false);
        let tag = Field::new_list_field(DataType::Utf8, true);
        let schema = Arc::new(Schema::new(vec![
            number("position"),
            number("revision"),
            time("recorded_at"),
            text("event_id", false),
            text("event_type", false),
            text("space_id", false),
            text("payload", false),
            time("timestamp"),
            text("source", true),
            text("correlation_id", true),
            Field::new("tags", DataType::List(Arc::new(tag)), false),
        ]));
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let (has_begun, made) = (false, VecDeque::new());
        Self { _store: store, pages, schema, left: most, threads, has_begun, made }
    }

    /// The pages of one batch, and how many of their events are wanted.
    fn pages_of_batch(&mut self) -> Result<PagesOfBatch, ArrowError> {
        let mut batch = PagesOfBatch::default();
        while batch.rows < BATCH_ROWS && batch.bytes < BATCH_BYTES && self.left > 0 {
            let Some(page) = self.pages.next() else { break };
            let page = page.map_err(external)?;
            let events = usize::try_from(self.left).map_or(page.len(), |left| left.min(page.len()));
            self.left -= u64::try_from(events).unwrap_or(self.left);
            batch.rows += events;
            batch.bytes += page.memory_bytes();
            batch.pages.push((page, events));
        }
        Ok(batch)
    }

    /// Makes the next batches, as many at once as there are processors for.
    fn make_batches(&mut self) -> Result<(), ArrowError> {
        let mut all = Vec::new();
        let most = if self.has_begun { self.threads } else { 1 };
        self.has_begun = true;
        while all.len() < most {
            let batch = self.pages_of_batch()?;
            if batch.rows == 0 {
                break;
            }
            all.push(batch);
        }
        let schema = &self.schema;
        let Some((last, before)) = all.split_last() else { return Ok(()) };
        let made = thread::scope(|scope| {
            let begun = before.iter().map(|it| scope.spawn(|| it.make(schema)));
            let begun: Vec<_> = begun.collect();
            let last = last.make(schema);
            let ended = begun.into_iter().map(|it| it.join().unwrap_or_else(|_| Err(panicked())));
            ended.chain([last]).collect::<Vec<_>>()
        });
        for batch in made {
            self.made.push_back(batch?);
        }
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.made.is_empty() {
            self.make_batches()?;
        }
        Ok(self.made.pop_front())
    }
}

fn panicked() -> ArrowError {
    ArrowError::ComputeError("the thread that made a batch has panicked".to_owned())
}

/// What a batch is made of.
#[derive(Default)]
struct PagesOfBatch {
    /// Each with how many of its events are wanted.
    pages: Vec<(Page, usize)>,
    rows: usize,
    bytes: usize,
}

impl PagesOfBatch {
    fn make(&self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let mut rows = Rows::with_capacity(self.rows);
        for (page, events) in &self.pages {
            for event in page.events().take(*events) {
                rows.add(&event.map_err(external)?)?;
            }
        }
        rows.finish(schema)
    }
}

fn external(error: spacefold::ReadError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

impl Iterator for EventBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

impl RecordBatchReader for EventBatches {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// A column of texts, each of which is there.
struct Texts {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Texts {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Self { ends, bytes: Vec::with_capacity(rows * bytes) }
    }

    fn push(&mut self, text: &str) -> Result<(), ArrowError> {
        self.bytes.extend_from_slice(text.as_bytes());
        self.end()
    }

    /// Ends the text that was appended to the bytes.
    fn end(&mut self) -> Result<(), ArrowError> {
        self.ends.push(i32::try_from(self.bytes.len()).map_err(|_| too_large())?);
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        Ok(Arc::new(StringArray::try_new(ends, Buffer::from_vec(self.bytes), None)?))
    }
}

fn too_large() -> ArrowError {
    ArrowError::ComputeError("the texts of a batch take more than 2 GiB".to_owned())
}

struct Rows {
    position: Vec<u64>,
    revision: Vec<u64>,
    recorded_at: Vec<i64>,
    event_id: Texts,
    event_type: Texts,
    space_id: Texts,
    payload: Texts,
    timestamp: Vec<i64>,
    source: StringBuilder,
    correlation_id: StringBuilder,
    tags: StringBuilder,
    tag_ends: Vec<i32>,
}

impl Rows {
    fn with_capacity(rows: usize) -> Self {
        let mut tag_ends = Vec::with_capacity(rows + 1);
        tag_ends.push(0);
        Self {
            position: Vec::with_capacity(rows),
            revision: Vec::with_capacity(rows),
            recorded_at: Vec::with_capacity(rows),
            event_id: Texts::with_capacity(rows, ID_CHARS),
            event_type: Texts::with_capacity(rows, 16),
            space_id: Texts::with_capacity(rows, 16),
            payload: Texts::with_capacity(rows, 80),
            timestamp: Vec::with_capacity(rows),
            source: StringBuilder::new(),
            correlation_id: StringBuilder::new(),
            tags: StringBuilder::new(),
            tag_ends,
        }
    }

    fn add(&mut self, event: &RecordedEventRef<'_>) -> Result<(), ArrowError> {
        self.position.push(event.position.get());
        self.revision.push(event.revision.get());
        self.recorded_at.push(event.recorded_at.as_micros());
        self.timestamp.push(event.timestamp.as_micros());
        put_id(event.event_id, &mut self.event_id.bytes);
        self.event_id.end()?;
        self.event_type.push(event.type_name())?;
        self.space_id.push(event.space_id)?;
        payload::write(&event.payload, &mut self.payload.bytes);
        self.payload.end()?;
        self.source.append_option(event.source);
        self.correlation_id.append_option(event.correlation_id);
        event.tags().iter().for_each(|tag| self.tags.append_value(tag));
        self.tag_ends.push(i32::try_from(self.tags.len()).map_err(|_| too_large())?);
        Ok(())
    }

    fn finish(mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let times = |micros: Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
        };
        let tag = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let tag_ends = OffsetBuffer::new(ScalarBuffer::from(self.tag_ends));
        let tags = ListArray::try_new(tag, tag_ends, Arc::new(self.tags.finish()), None)?;
        RecordBatch::try_new(
            Arc::clone(schema),
            vec![
                Arc::new(UInt64Array::from(self.position)),
                Arc::new(UInt64Array::from(self.revision)),
                times(self.recorded_at),
                self.event_id.finish()?,
                self.event_type.finish()?,
                self.space_id.finish()?,
                self.payload.finish()?,
                times(self.timestamp),
                Arc::new(self.source.finish()),
                Arc::new(self.correlation_id.finish()),
                Arc::new(tags),
            ],
        )
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Characters of a UUID as it is written.
const ID_CHARS: usize = 36;

/// Appends an id as a UUID is written.
fn put_id(id: EventId, out: &mut Vec<u8>) {
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
    let mut written = [b'-'; ID_CHARS];
    // Of each byte where its two digits go: past the dashes.
    let places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    for (byte, place) in id.as_bytes().iter().zip(places) {
        if let Some(digits) = written.get_mut(place..place + 2) {
            digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
    out.extend_from_slice(&written);
}
