//! Events as JSON text, written into memory at once: the bytes that `write.rs` has serde write.

use uuid::Uuid;

use crate::{
    event::{EventFields, RecordedEventRef},
    event_id::EventId,
    origin::{EventOrigin, id_text},
    payload::field::FieldValue,
    position::{Position, Revision},
    timestamp::Timestamp,
    value::{Object, Value},
};

/// About how long an event is.
pub(super) const EVENT_BYTES: usize = 512;

const NEVER_FAILS: &str = "memory takes what is written";

/// What the log has added to an event.
pub(super) struct RecordedParts {
    pub(super) position: Position,
    pub(super) revision: Revision,
    pub(super) recorded_at: Timestamp,
}

impl RecordedParts {
    pub(super) const fn of(event: &RecordedEventRef<'_>) -> Self {
        let RecordedEventRef { position, revision, recorded_at, .. } = *event;
        Self { position, revision, recorded_at }
    }
}

/// Appends an event, its keys in the order of the contract; without a timestamp where none is given.
pub(super) fn put_event<S: AsRef<str>>(
    event: &EventFields<'_, S>,
    timestamp: Option<Timestamp>,
    recorded: Option<&RecordedParts>,
    out: &mut Vec<u8>,
) {
    put(br#"{"event_id":"#, out);
    put_id(event.event_id, out);
    put(br#","event_type":"#, out);
    put_text(event.payload.type_name(), out);
    put(br#","space_id":"#, out);
    put_text(event.space_id, out);
    put(br#","payload":"#, out);
    put_members(event.payload.entries(), out, put_field);
    if let Some(timestamp) = timestamp {
        put(br#","timestamp":"#, out);
        put_time(timestamp, out);
    }
    put(br#","source":"#, out);
    put_maybe(event.source, out);
    put(br#","correlation_id":"#, out);
    put_maybe(event.correlation_id, out);
    if !event.tags.is_empty() {
        put(br#","tags":"#, out);
        put_list(event.tags.iter(), out, put_text);
    }
    if let Some(origin) = event.origin {
        put(br#","origin":"#, out);
        put_origin(origin, out);
    }
    if let Some(recorded) = recorded {
        put(br#","position":"#, out);
        put_number(recorded.position.get(), out);
        put(br#","revision":"#, out);
        put_number(recorded.revision.get(), out);
        put(br#","recorded_at":"#, out);
        put_time(recorded.recorded_at, out);
    }
    out.push(b'}');
}

fn put(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
}

fn put_field<S: AsRef<str>>(field: FieldValue<'_, S>, out: &mut Vec<u8>) {
    match field {
        FieldValue::Null => put(b"null", out),
        FieldValue::Text(text) => put_text(text.as_ref(), out),
        FieldValue::Json(value) => put_value(value, out),
        FieldValue::Members(members) => put_object(members, out),
        FieldValue::Texts(texts) => put_list(texts.iter().map(AsRef::as_ref), out, put_text),
    }
}

fn put_value<S: AsRef<str>>(value: &Value<S>, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => put_text(text.as_ref(), out),
        Value::Array(values) => put_list(values.iter(), out, put_value),
        Value::Object(members) => put_object(members, out),
        other => serde_json::to_writer(out, other).expect(NEVER_FAILS),
    }
}

fn put_object<S: AsRef<str>>(members: &Object<S>, out: &mut Vec<u8>) {
    let members = members.iter().map(|(key, value)| (key.as_ref(), value));
    put_members(members, out, put_value);
}

fn put_members<'k, V>(
    members: impl IntoIterator<Item = (&'k str, V)>,
    out: &mut Vec<u8>,
    put_value: impl Fn(V, &mut Vec<u8>),
) {
    let put_member = |(key, value), out: &mut Vec<u8>| {
        put_text(key, out);
        out.push(b':');
        put_value(value, out);
    };
    put_between(b"{}", members, out, put_member);
}

fn put_list<V>(
    values: impl IntoIterator<Item = V>,
    out: &mut Vec<u8>,
    put_value: impl Fn(V, &mut Vec<u8>),
) {
    put_between(b"[]", values, out, put_value);
}

fn put_between<V>(
    [open, close]: &[u8; 2],
    values: impl IntoIterator<Item = V>,
    out: &mut Vec<u8>,
    put_value: impl Fn(V, &mut Vec<u8>),
) {
    out.push(*open);
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put_value(value, out);
    }
    out.push(*close);
}

fn put_maybe(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => put_text(text, out),
        None => put(b"null", out),
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    if has_escapes(text.as_bytes()) {
        serde_json::to_writer(out, text).expect(NEVER_FAILS);
        return;
    }
    put_plain(text.as_bytes(), out);
}

/// Appends a text without escapes.
fn put_plain(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    put(text, out);
    out.push(b'"');
}

/// Bytes that are looked at together.
const WORD_BYTES: usize = size_of::<u64>();

/// Whether some byte has to be escaped. Looks at many of them without a branch; where the last ones are
/// fewer, again at some before them.
fn has_escapes(text: &[u8]) -> bool {
    let (runs, rest) = text.as_chunks::<{ 4 * WORD_BYTES }>();
    if runs.iter().any(|run| is_escaped_in(run)) {
        return true;
    }
    let (words, rest) = rest.as_chunks::<WORD_BYTES>();
    if words.iter().any(|word| is_escaped_in(word)) {
        return true;
    }
    match text.last_chunk::<WORD_BYTES>() {
        Some(last) if !rest.is_empty() => is_escaped_in(last),
        _ => is_escaped_in(rest),
    }
}

fn is_escaped_in(bytes: &[u8]) -> bool {
    let is_escaped = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    bytes.iter().fold(false, |has, byte| has | is_escaped(*byte))
}

fn put_number(number: u64, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &number).expect(NEVER_FAILS);
}

fn put_id(id: EventId, out: &mut Vec<u8>) {
    let mut text = Uuid::encode_buffer();
    put_plain(Uuid::from(id).as_hyphenated().encode_lower(&mut text).as_bytes(), out);
}

fn put_time(time: Timestamp, out: &mut Vec<u8>) {
    put_plain(time.text().as_bytes(), out);
}

/// `store`, `timeline` (both as UUIDs) and `position`.
fn put_origin(origin: &EventOrigin, out: &mut Vec<u8>) {
    put(br#"{"store":"#, out);
    put_text(&id_text(origin.store_id), out);
    put(br#","timeline":"#, out);
    put_text(&id_text(origin.timeline), out);
    put(br#","position":"#, out);
    put_number(origin.position.get(), out);
    out.push(b'}');
}
