//! Events as batches of a table.

use std::sync::Arc;

use arrow_array::{
    RecordBatch, RecordBatchReader,
    builder::{ListBuilder, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder},
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use spacefold::{
    event::RecordedEventRef,
    log::{Page, Pages},
};

use super::time_type;
use crate::opened::{Kept, Opened};

/// Rows of a batch, about.
const BATCH_ROWS: usize = 32_768;

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
        let mut rows = Rows::new();
        while rows.len() < BATCH_ROWS && self.left > 0 {
            let Some(page) = self.pages.next() else { break };
            let page = page.map_err(external)?;
            self.left -= rows.add(&page, self.left)?;
        }
        if rows.len() == 0 { Ok(None) } else { rows.finish(&self.schema).map(Some) }
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

struct Rows {
    position: UInt64Builder,
    revision: UInt64Builder,
    recorded_at: TimestampMicrosecondBuilder,
    event_id: StringBuilder,
    event_type: StringBuilder,
    space_id: StringBuilder,
    payload: StringBuilder,
    timestamp: TimestampMicrosecondBuilder,
    source: StringBuilder,
    correlation_id: StringBuilder,
    tags: ListBuilder<StringBuilder>,
    line: Vec<u8>,
    rows: usize,
}

impl Rows {
    fn new() -> Self {
        let texts = |bytes| StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * bytes);
        let times = || TimestampMicrosecondBuilder::with_capacity(BATCH_ROWS).with_timezone("UTC");
        Self {
            position: UInt64Builder::with_capacity(BATCH_ROWS),
            revision: UInt64Builder::with_capacity(BATCH_ROWS),
            recorded_at: times(),
            event_id: texts(36),
            event_type: texts(16),
            space_id: texts(16),
            payload: texts(96),
            timestamp: times(),
            source: StringBuilder::new(),
            correlation_id: StringBuilder::new(),
            tags: ListBuilder::new(StringBuilder::new()),
            line: Vec::new(),
            rows: 0,
        }
    }

    const fn len(&self) -> usize {
        self.rows
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
        self.position.append_value(event.position.get());
        self.revision.append_value(event.revision.get());
        self.recorded_at.append_value(event.recorded_at.as_micros());
        self.event_type.append_value(event.type_name());
        self.space_id.append_value(event.space_id);
        self.timestamp.append_value(event.timestamp.as_micros());
        self.source.append_option(event.source);
        self.correlation_id.append_option(event.correlation_id);
        for tag in event.tags().iter() {
            self.tags.values().append_value(tag);
        }
        self.tags.append(true);
        self.line.clear();
        event.write_json(&mut self.line);
        let unprinted = || ArrowError::ComputeError("an event was not printed as JSON".to_owned());
        let (event_id, payload) = parts(&self.line).ok_or_else(unprinted)?;
        self.event_id.append_value(event_id);
        self.payload.append_value(payload);
        self.rows += 1;
        Ok(())
    }

    fn finish(mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(
            Arc::clone(schema),
            vec![
                Arc::new(self.position.finish()),
                Arc::new(self.revision.finish()),
                Arc::new(self.recorded_at.finish()),
                Arc::new(self.event_id.finish()),
                Arc::new(self.event_type.finish()),
                Arc::new(self.space_id.finish()),
                Arc::new(self.payload.finish()),
                Arc::new(self.timestamp.finish()),
                Arc::new(self.source.finish()),
                Arc::new(self.correlation_id.finish()),
                Arc::new(self.tags.finish()),
            ],
        )
    }
}

/// The id and the payload in a line of the interchange form, whose keys have an order: `event_id`,
/// `event_type`, `space_id`, `payload`, and more.
fn parts(line: &[u8]) -> Option<(&str, &str)> {
    let rest = line.strip_prefix(b"{\"event_id\":\"")?;
    let (event_id, rest) = rest.split_at_checked(36)?;
    let rest = rest.strip_prefix(b"\",\"event_type\":\"")?;
    let rest = after_text(rest)?.strip_prefix(b",\"space_id\":\"")?;
    let rest = after_text(rest)?.strip_prefix(b",\"payload\":")?;
    let payload = rest.get(..object_len(rest)?)?;
    Some((std::str::from_utf8(event_id).ok()?, std::str::from_utf8(payload).ok()?))
}

/// What follows a text whose opening quote was passed.
fn after_text(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if rest.get(at) == Some(&b'"') {
            return rest.get(at + 1..);
        }
        rest = rest.get(at + 2..)?;
    }
}

/// How many bytes the object at the beginning has.
fn object_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let mut depth = 0_usize;
    loop {
        let at = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}'))?;
        let byte = *rest.get(at)?;
        rest = rest.get(at + 1..)?;
        match byte {
            b'"' => rest = after_text(rest)?,
            b'{' => depth += 1,
            _ => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(bytes.len() - rest.len());
                }
            }
        }
    }
}
