//! Events as batches of a table.

use std::sync::Arc;

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
/// Bytes of payloads after which a batch is full.
const BATCH_BYTES: usize = 64 << 20;

/// The pages of a read, as batches.
pub(crate) struct EventBatches {
    /// Held open as long as it is read from.
    _store: Kept<Arc<Opened>>,
    pages: Pages<'static>,
    schema: SchemaRef,
    left: u64,
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
        Self { _store: store, pages, schema, left: most }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut rows = Rows::new();
        while !rows.is_full() && self.left > 0 {
            let Some(page) = self.pages.next() else { break };
            let page = page.map_err(external)?;
            self.left -= rows.add(&page, self.left)?;
        }
        if rows.position.is_empty() { Ok(None) } else { rows.finish(&self.schema).map(Some) }
    }
}

fn external(error: spacefold::ReadError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

impl Iterator for EventBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
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
    fn with_capacity(bytes: usize) -> Self {
        let mut ends = Vec::with_capacity(BATCH_ROWS + 1);
        ends.push(0);
        Self { ends, bytes: Vec::with_capacity(BATCH_ROWS * bytes) }
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
    fn new() -> Self {
        let numbers = || Vec::with_capacity(BATCH_ROWS);
        let mut tag_ends = Vec::with_capacity(BATCH_ROWS + 1);
        tag_ends.push(0);
        Self {
            position: numbers(),
            revision: numbers(),
            recorded_at: Vec::with_capacity(BATCH_ROWS),
            event_id: Texts::with_capacity(36),
            event_type: Texts::with_capacity(16),
            space_id: Texts::with_capacity(16),
            payload: Texts::with_capacity(64),
            timestamp: Vec::with_capacity(BATCH_ROWS),
            source: StringBuilder::new(),
            correlation_id: StringBuilder::new(),
            tags: StringBuilder::new(),
            tag_ends,
        }
    }

    /// A batch takes no more pages then: rows of large payloads make smaller ones.
    const fn is_full(&self) -> bool {
        self.position.len() >= BATCH_ROWS || self.payload.bytes.len() >= BATCH_BYTES
    }

    /// Adds the events of a page, at most this many; answers how many.
    fn add(&mut self, page: &Page, most: u64) -> Result<u64, ArrowError> {
        let mut added = 0;
        for event in page.events() {
            if added == most {
                break;
            }
            self.add_event(&event.map_err(external)?)?;
            added += 1;
        }
        Ok(added)
    }

    fn add_event(&mut self, event: &RecordedEventRef<'_>) -> Result<(), ArrowError> {
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

/// Appends an id as a UUID is written.
fn put_id(id: EventId, out: &mut Vec<u8>) {
    for (place, byte) in id.as_bytes().iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
}
