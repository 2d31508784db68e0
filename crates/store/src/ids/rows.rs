//! What the index of ids has in sorted runs.
//!
//! | key | value |
//! |---|---|
//! | `i`, an id (16 bytes) | the position of its event, little endian, without the zeros at its end |
//! | `o`, the key of an origin (16 bytes) | the position of its event, as of an id |
//! | `s`, the highest id of this span and those before it in its band (16 bytes), the first position of a block (u64, big endian) | the lowest and the highest id of the span (16 bytes each) |
//!
//! An id is a row of its own, or is in a span: then the block says where its event is. The bytes of an
//! id begin with its version here ([`number`](super::extent::number)).

use spacefold_event_core::{Position, bytes::ByteReader};
use spacefold_runs::{KeyValue, RunSetOptions, RunsError, View, Writing};

use super::extent::{IdSpan, NewIds};
use crate::event_keys::KeyedOrigin;

const SINGLE: u8 = b'i';
const ORIGIN: u8 = b'o';
const SPAN: u8 = b's';

pub(super) const OPTIONS: RunSetOptions = RunSetOptions {
    kind: *b"SFEVIDS\x02",
    filter_key,
    inline_bytes: 0,
    join: None,
    is_ascending: false,
};

/// Spans are looked for in order: filters have no use for their keys.
fn filter_key(key: &[u8]) -> &[u8] {
    match key.split_first() {
        Some((&SPAN, _)) => &[],
        _ => key,
    }
}

/// Writes what is new as the rows of a run. Of ids that are there twice the last one counts.
pub(super) fn push_all(new: &mut NewIds, writing: &mut Writing<'_>) -> Result<(), RunsError> {
    push_places(SINGLE, &mut new.singles, |single| *single, writing)?;
    let place = |origin: &KeyedOrigin| (origin.key, origin.position);
    push_places(ORIGIN, &mut new.origins, place, writing)?;
    new.spans.sort_unstable_by_key(|span| (span.high, span.block));
    for span in &new.spans {
        let key = [&span_key(span.high)[..], &span.block.get().to_be_bytes()].concat();
        let value = [span.lowest.to_be_bytes(), span.highest.to_be_bytes()].concat();
        writing.push((&key, Some(&value)))?;
    }
    Ok(())
}

/// Writes where the event of each key is, as rows of a kind.
fn push_places<T: Ord>(
    kind: u8,
    places: &mut [T],
    of: impl Fn(&T) -> (u128, Position),
    writing: &mut Writing<'_>,
) -> Result<(), RunsError> {
    places.sort_unstable();
    let mut places = places.iter().map(of).peekable();
    while let Some((key, position)) = places.next() {
        if places.peek().is_none_or(|(next, _)| *next != key) {
            push_place(&key_of(kind, key), position, writing)?;
        }
    }
    Ok(())
}

fn push_place(
    key: &[u8; 17],
    position: Position,
    writing: &mut Writing<'_>,
) -> Result<(), RunsError> {
    let bytes = position.get().to_le_bytes();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    writing.push((key, bytes.get(..used)))
}

fn span_key(high: u128) -> [u8; 17] {
    key_of(SPAN, high)
}

fn key_of(kind: u8, id: u128) -> [u8; 17] {
    let mut key = [kind; 17];
    if let Some(to) = key.last_chunk_mut() {
        *to = id.to_be_bytes();
    }
    key
}

/// Where the event of an id is that has a row of its own.
pub(super) fn find_single(view: &View, id: u128) -> Result<Option<Position>, RunsError> {
    find_place(view, &key_of(SINGLE, id))
}

/// Where the event of an origin is.
pub(super) fn find_origin(view: &View, key: u128) -> Result<Option<Position>, RunsError> {
    find_place(view, &key_of(ORIGIN, key))
}

fn find_place(view: &View, key: &[u8; 17]) -> Result<Option<Position>, RunsError> {
    let Some(value) = view.get(key)?.value() else { return Ok(None) };
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(value.iter()) {
        *to = *from;
    }
    Ok(Some(Position::new(u64::from_le_bytes(bytes))))
}

/// The first spans that an id may be in, `most` at most: those whose `high` is the id or after it.
pub(super) fn spans_from(view: &View, id: u128, most: usize) -> Result<Vec<IdSpan>, RunsError> {
    let rows = view.rows_from(&span_key(id), most)?;
    Ok(rows.iter().map_while(|(key, value)| span_of((key, value))).collect())
}

fn span_of((key, value): KeyValue<'_>) -> Option<IdSpan> {
    let mut key = ByteReader::new(key.strip_prefix(&[SPAN])?);
    let mut value = ByteReader::new(value);
    let id = |bytes: &mut ByteReader<'_>| Some(u128::from_be_bytes(bytes.array()?));
    Some(IdSpan {
        high: id(&mut key)?,
        block: Position::new(u64::from_be_bytes(key.array()?)),
        lowest: id(&mut value)?,
        highest: id(&mut value)?,
    })
}
