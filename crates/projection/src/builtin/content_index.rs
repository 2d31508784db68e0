//! Where a content is, and was: documents by content hash.

mod scan;

use serde::Serialize;
use spacefold_event_core::{
    EventType, EventTypes, Payload, Position, ReadError, RecordedEventRef,
    bytes::{ByteReader, put_sized, put_u64},
};

use super::{take, take_all};
use crate::{
    apply_context::ApplyContext,
    apply_error::ApplyError,
    projection::Projection,
    projections::{CatchUpError, ProjectionHandle, Projections},
    table::{RowKey, RowKeyReader, Table, TableError, TableView},
};

/// First byte of the row of an occurrence: its key goes on with the hash and the position that it
/// begins at.
const OCCURRENCE: u8 = b'c';
/// First byte of the row of a document that has content: its key goes on with the space and the
/// document.
const DOCUMENT: u8 = b'd';

/// The events that give content or take it away, where they count.
const EVENT_TYPES: [EventType; 3] =
    [EventType::SpaceDeleted, EventType::DocumentRemoved, EventType::DocumentContentChanged];

/// The projection that knows where a content is, across spaces and time: for each content hash the
/// documents that had it, and from when to when.
///
/// ```
/// use std::sync::Arc;
/// use spacefold::{
///     Position, SpaceEvent, log::{AppendRequest, LogWriter, MemoryLog},
///     projection::{ContentIndex, Projections}, state::{DerivedState, LiveStates},
/// };
/// let log = Arc::new(MemoryLog::new());
/// log.append(&AppendRequest::new(&[
///     SpaceEvent::document_added("handbook", "intro", "/intro.md"),
///     SpaceEvent::document_content_changed("handbook", "intro", None, "h1"),
///     SpaceEvent::document_content_changed("handbook", "intro", "h1", "h2"),
/// ]))?;
/// let projections = Projections::new(Arc::new(LiveStates::new(log, DerivedState::in_memory())));
/// let index = projections.register(ContentIndex)?;
/// index.catch_up()?;
/// let found = index.occurrences("h1")?;
/// assert_eq!((&*found[0].space_id, &*found[0].document_id), ("handbook", "intro"));
/// assert_eq!((found[0].from, found[0].until), (Position::new(2), Some(Position::new(3))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ContentIndex;

/// A document that had a content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Occurrence {
    /// The space.
    pub space_id: String,
    /// The document.
    pub document_id: String,
    /// The position of the event that gave it the content.
    pub from: Position,
    /// The position of the event that took it away; `None` while the document has it.
    pub until: Option<Position>,
}

impl Occurrence {
    /// Whether the document had the content as of a position.
    #[must_use]
    pub fn is_at(&self, position: Position) -> bool {
        self.from <= position && self.until.is_none_or(|until| position < until)
    }
}

impl ContentIndex {
    /// The name of the projection.
    pub const NAME: &'static str = "content-index";

    /// Every document that has or had the content with this hash, which may be a
    /// [`ContentHash`](spacefold_event_core::ContentHash) or another system's text, in order of the positions that
    /// it began at.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn occurrences(
        view: &TableView<'_>,
        content_hash: impl Into<String>,
    ) -> Result<Vec<Occurrence>, TableError> {
        let rows = view.scan(RowKey::new(OCCURRENCE).text(&content_hash.into()))?;
        rows.map(|row| {
            let (key, value) = row?;
            occurrence(&key, &value).ok_or_else(|| damaged("an occurrence"))
        })
        .collect()
    }
}

impl ContentIndex {
    /// As [`ContentIndex::occurrences`], out of the log of these projections itself, up to its durable
    /// head: where the rows are not there yet, or not any more.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Cost
    /// Reads the whole log, then once more the events of each space that names the content. No more than
    /// the state of one of those is in memory.
    pub fn occurrences_in(
        projections: &Projections,
        content_hash: impl Into<String>,
    ) -> Result<Vec<Occurrence>, ReadError> {
        scan::occurrences(&**projections.states().log(), &content_hash.into())
    }
}

impl ProjectionHandle<ContentIndex> {
    /// As [`ContentIndex::occurrences`].
    ///
    /// # Errors
    /// [`CatchUpError::Table`].
    pub fn occurrences(
        &self,
        content_hash: impl Into<String>,
    ) -> Result<Vec<Occurrence>, CatchUpError> {
        let content_hash = content_hash.into();
        self.read(|view| ContentIndex::occurrences(view, &*content_hash))
    }
}

impl Projection for ContentIndex {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn event_types(&self) -> EventTypes {
        EVENT_TYPES.into_iter().collect()
    }

    fn uses_effects(&self) -> bool {
        true
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        if context.effect()?.is_ignored() {
            return Ok(());
        }
        let (space_id, position) = (event.space_id, event.position);
        match &event.payload {
            Payload::SpaceDeleted { .. } => {
                for (key, row) in take_all(&documents(space_id), table)? {
                    let mut parts = RowKeyReader::new(&key);
                    let document_id = parts.text().and_then(|_space| parts.text());
                    let document_id = document_id.ok_or_else(|| damaged("a document"))?;
                    DocumentRow::decode(&row)?.close(space_id, &document_id, position, table)?;
                }
            }
            Payload::DocumentRemoved { document_id, .. } => {
                if let Some(row) = take(&documents(space_id).text(document_id), table)? {
                    DocumentRow::decode(&row)?.close(space_id, document_id, position, table)?;
                }
            }
            Payload::DocumentContentChanged { document_id, new_hash, .. } => {
                let key = documents(space_id).text(document_id);
                if let Some(row) = table.get(&key)? {
                    let known = DocumentRow::decode(&row)?;
                    if known.hash == *new_hash {
                        return Ok(());
                    }
                    known.close(space_id, document_id, position, table)?;
                }
                table.put(&key, DocumentRow { from: position, hash: new_hash }.encode())?;
                put_occurrence(table, new_hash, space_id, document_id, (position, None))?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// What the keys of all documents of a space that have content begin with.
fn documents(space_id: &str) -> RowKey {
    RowKey::new(DOCUMENT).text(space_id)
}

/// The content that a document has, as the row of the document says.
struct DocumentRow<'a> {
    from: Position,
    hash: &'a str,
}

impl<'a> DocumentRow<'a> {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size_of::<u64>() + size_of::<u32>() + self.hash.len());
        put_u64(&mut bytes, self.from.get());
        put_sized(&mut bytes, self.hash.as_bytes());
        bytes
    }

    fn decode(row: &'a [u8]) -> Result<Self, TableError> {
        let mut reader = ByteReader::new(row);
        let content = reader.u64().zip(reader.text());
        let content = content.map(|(from, hash)| Self { from: Position::new(from), hash });
        content.and_then(|content| reader.end(content)).ok_or_else(|| damaged("a document"))
    }

    /// Notes until when the document had it.
    fn close(
        &self,
        space_id: &str,
        document_id: &str,
        until: Position,
        table: &mut Table<'_>,
    ) -> Result<(), TableError> {
        put_occurrence(table, self.hash, space_id, document_id, (self.from, Some(until)))
    }
}

fn put_occurrence(
    table: &mut Table<'_>,
    hash: &str,
    space_id: &str,
    document_id: &str,
    (from, until): (Position, Option<Position>),
) -> Result<(), TableError> {
    let lens = size_of::<u64>() + 2 * size_of::<u32>();
    let mut value = Vec::with_capacity(lens + space_id.len() + document_id.len());
    put_u64(&mut value, until.unwrap_or(Position::START).get());
    put_sized(&mut value, space_id.as_bytes());
    put_sized(&mut value, document_id.as_bytes());
    table.put(RowKey::new(OCCURRENCE).text(hash).position(from), value)
}

fn occurrence(key: &[u8], value: &[u8]) -> Option<Occurrence> {
    let mut parts = RowKeyReader::new(key);
    let from = parts.text().and_then(|_hash| parts.position())?;
    let mut reader = ByteReader::new(value);
    let until = Position::new(reader.u64()?);
    let until = (until > Position::START).then_some(until);
    let space_id = reader.text()?.to_owned();
    let document_id = reader.text()?.to_owned();
    Some(Occurrence { space_id, document_id, from, until })
}

fn damaged(what: &str) -> TableError {
    TableError::damaged(format_args!("the row of {what} does not decode"))
}

#[cfg(test)]
mod tests;
