//! Events and values from JSON text.

use std::{borrow::Cow, collections::HashMap, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    event::SpaceEvent,
    event_id::{EventId, InvalidEventId},
    limits::{LimitExceeded, MAX_JSON_DEPTH},
    origin::{EventOrigin, id_of_text},
    payload::{EventType, Payload, PayloadError},
    position::Position,
    timestamp::{InvalidTimestamp, Parsed, Timestamp, UtcOffset},
    type_name::UnknownEventType,
    value::{Digits, Finite, Object, Value},
};

/// What an origin is in JSON.
const ORIGIN: &str = "an object of store and timeline, each a UUID, and a position";

/// Bytes of one line of JSON input.
pub const MAX_JSON_LINE_BYTES: usize = 64 << 20;

/// Payload keys to rename while reading: name of the event type → (old key → new key).
pub type KeyMap = HashMap<String, HashMap<String, String>>;

/// Reads events in the interchange form.
///
/// ```
/// use spacefold::{EventType, event::JsonReader};
/// let line = r#"{"event_type": "variable.set", "space_id": "a", "payload": {"name": "n", "value": 1}}"#;
/// let read = JsonReader::default().read(line.as_bytes())?;
/// assert_eq!(read.event.event_type(), EventType::VariableSet);
/// let error = JsonReader::default().read(br#"{"event_type": "variable.set", "space_id": "a"}"#);
/// assert_eq!(error.unwrap_err().to_string(), "payload key \"name\" is missing");
/// # Ok::<(), spacefold::event::JsonError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct JsonReader {
    /// What a time without an offset is taken to be at.
    pub naive_offset: UtcOffset,
    /// Payload keys to rename.
    pub key_map: KeyMap,
}

/// An event as one JSON object states it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonEvent {
    /// The event; what the object left out or set null is filled in: a fresh id, the present
    /// time, an empty payload.
    pub event: SpaceEvent,
    /// When a log took the event before, if the object says so.
    pub recorded_at: Option<Timestamp>,
    /// What of the event the object does not say.
    pub filled_in: FilledIn,
    /// How many of the times of the object have no offset of their own.
    pub naive_times: u8,
}

/// What an object left out or set null, and was filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilledIn {
    /// The id: a fresh one.
    pub event_id: bool,
    /// The time: the present one.
    pub timestamp: bool,
}

impl JsonEvent {
    /// An id made of what the object says, however it is written down: of equal ones by which of
    /// them it is, from 0. Keys that the contract does not name do not count.
    #[must_use]
    pub fn derived_id(&self, occurrence: u64) -> EventId {
        EventId::derived(self.said().as_bytes(), occurrence)
    }

    /// What the object says, in canonical form: what was filled in is the same for all.
    #[must_use]
    pub fn said(&self) -> String {
        let mut event = self.event.clone().with_event_id(EventId::from_bytes([0; EventId::LEN]));
        if self.filled_in.timestamp {
            event.timestamp = Timestamp::MIN;
        }
        let mut said = event.to_json();
        if let Some(recorded_at) = self.recorded_at {
            said.push_str(&recorded_at.to_string());
        }
        said
    }
}

/// A text that is no event in the interchange form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The bytes are not UTF-8.
    #[error("the bytes are not UTF-8 from byte {offset} on")]
    NotUtf8 {
        /// How many bytes come before.
        offset: usize,
    },
    /// The text is longer than [`MAX_JSON_LINE_BYTES`].
    #[error("the line has {bytes} bytes or more: the limit is {MAX_JSON_LINE_BYTES}")]
    TooLong {
        /// The bytes seen.
        bytes: usize,
    },
    /// The text is no JSON.
    #[error("not valid JSON: {reason}")]
    Syntax {
        /// What is wrong, and at which column.
        reason: String,
    },
    /// The text is JSON, but no object.
    #[error("an event is a JSON object: this is {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A required top-level key is not there, or null.
    #[error("key {key:?} is missing")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A top-level key holds a value of another type.
    #[error("key {key:?} is {found}: expected {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// A float beyond what 64 bits can hold.
    #[error("the number {number} is beyond the largest float")]
    NumberOutOfRange {
        /// The number as written, cut to 40 characters.
        number: String,
    },
    /// The event type is none of the 21, and no name that an application's own can have.
    #[error(transparent)]
    UnknownEventType(#[from] UnknownEventType),
    /// `event_id` is no UUID.
    #[error("key \"event_id\": {0}")]
    InvalidEventId(#[from] InvalidEventId),
    /// An origin lacks something, or has it in another form.
    #[error("key \"origin\": {key:?} is missing or malformed: expected {ORIGIN}")]
    InvalidOrigin {
        /// The key of the origin.
        key: &'static str,
    },
    /// A time does not read.
    #[error("key {key:?}: {source}")]
    InvalidTimestamp {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        source: InvalidTimestamp,
    },
    /// A time lies ahead of the clock, and such times are not wanted.
    #[error("key {key:?}: {time} lies in the future: the clock stands at {now}")]
    InFuture {
        /// The key.
        key: &'static str,
        /// The time that it holds.
        time: Timestamp,
        /// The present time.
        now: Timestamp,
    },
    /// The payload does not fit the event type.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Something is past its limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl JsonReader {
    /// Reads one event.
    ///
    /// # Errors
    /// A [`JsonError`] that names what is wrong; never panics, whatever the bytes.
    pub fn read(&self, json: &[u8]) -> Result<JsonEvent, JsonError> {
        if json.len() > MAX_JSON_LINE_BYTES {
            return Err(JsonError::TooLong { bytes: json.len() });
        }
        let text = std::str::from_utf8(json)
            .map_err(|error| JsonError::NotUtf8 { offset: error.valid_up_to() })?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| syntax(&error))?;
        let keys = TopLevel::read(raw)?;
        let type_name =
            keys.string("event_type")?.ok_or(JsonError::MissingKey { key: "event_type" })?;
        let event_type = EventType::of_name(&type_name)?;
        let space_id = keys.string("space_id")?.ok_or(JsonError::MissingKey { key: "space_id" })?;
        let event_id = keys.string("event_id")?.map(|id| id.parse()).transpose()?;
        let payload = self.payload(event_type, &type_name, &keys)?;
        let timestamp = self.time("timestamp", &keys)?;
        let mut event = SpaceEvent::new(space_id, payload);
        if let Some(event_id) = event_id {
            event.event_id = event_id;
        }
        if let Some(timestamp) = timestamp {
            event = event.with_timestamp(timestamp.time);
        }
        event.source = keys.string("source")?.map(Cow::into_owned);
        event.correlation_id = keys.string("correlation_id")?.map(Cow::into_owned);
        event.tags = keys.tags()?;
        event.origin = keys.origin()?;
        event.check_limits()?;
        let recorded_at = self.time("recorded_at", &keys)?;
        let naive = [timestamp, recorded_at].map(|time| time.is_some_and(|time| time.is_naive));
        Ok(JsonEvent {
            event,
            recorded_at: recorded_at.map(|parsed| parsed.time),
            filled_in: FilledIn { event_id: event_id.is_none(), timestamp: timestamp.is_none() },
            naive_times: naive.map(u8::from).into_iter().sum(),
        })
    }

    fn payload(
        &self,
        event_type: EventType,
        type_name: &str,
        keys: &TopLevel<'_>,
    ) -> Result<Payload, JsonError> {
        let mut object = match keys.get("payload") {
            None => Object::new(),
            Some(raw) => match read_value(raw, 0)? {
                Value::Object(object) => object,
                other => return Err(wrong_type("payload", "an object", other.type_name())),
            },
        };
        for (old, new) in self.key_map.get(type_name).into_iter().flatten() {
            if let Some(value) = object.remove(old) {
                object.insert(new.as_str(), value);
            }
        }
        Ok(Payload::from_object(event_type, type_name, object)?)
    }

    /// A time; an empty string counts as missing, as it does for the Python module.
    fn time(&self, key: &'static str, keys: &TopLevel<'_>) -> Result<Option<Parsed>, JsonError> {
        match keys.string(key)? {
            Some(text) if !text.is_empty() => Timestamp::parse_told(&text, self.naive_offset)
                .map(Some)
                .map_err(|source| JsonError::InvalidTimestamp { key, source }),
            _ => Ok(None),
        }
    }
}

impl FromStr for Value {
    type Err = JsonError;

    /// Reads a JSON text, as one value of a payload.
    fn from_str(text: &str) -> Result<Self, JsonError> {
        if text.len() > MAX_JSON_LINE_BYTES {
            return Err(JsonError::TooLong { bytes: text.len() });
        }
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| syntax(&error))?;
        read_value(raw, IN_PAYLOAD)
    }
}

/// The levels around a value of a payload: the payload itself.
pub(super) const IN_PAYLOAD: usize = 1;

/// The texts of the elements of a JSON array, or `None` when `json` is none.
///
/// # Errors
/// [`JsonError::Syntax`] when an array is begun but is not valid JSON.
pub fn split_array(json: &[u8]) -> Result<Option<Vec<&[u8]>>, JsonError> {
    if json.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return Ok(None);
    }
    let elements: Vec<&RawValue> = serde_json::from_slice(json).map_err(|error| syntax(&error))?;
    Ok(Some(elements.into_iter().map(|element| element.get().as_bytes()).collect()))
}

/// The keys of an event's object that the contract names.
struct TopLevel<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> TopLevel<'a> {
    fn read(raw: &'a RawValue) -> Result<Self, JsonError> {
        if !raw.get().starts_with('{') {
            return Err(JsonError::NotAnObject { found: type_of(raw) });
        }
        Ok(Self { members: read_members(raw)? })
    }

    /// What stands under `key`, of duplicates the last; null counts as missing.
    fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.members.iter().rev().find(|(other, _)| other == key)?;
        (raw.get() != "null").then_some(*raw)
    }

    fn string(&self, key: &'static str) -> Result<Option<Cow<'a, str>>, JsonError> {
        let Some(raw) = self.get(key) else {
            return Ok(None);
        };
        if !raw.get().starts_with('"') {
            return Err(wrong_type(key, "a string", type_of(raw)));
        }
        read_string(raw).map(Some)
    }

    fn tags(&self) -> Result<Vec<String>, JsonError> {
        const KEY: &str = "tags";
        let Some(raw) = self.get(KEY) else { return Ok(Vec::new()) };
        let Value::Array(values) = read_value(raw, 0)? else {
            return Err(wrong_type(KEY, "an array of strings", type_of(raw)));
        };
        let tag = |value| match value {
            Value::String(tag) => Ok(tag),
            other => Err(wrong_type(KEY, "an array of strings", other.type_name())),
        };
        values.into_iter().map(tag).collect()
    }

    fn origin(&self) -> Result<Option<EventOrigin>, JsonError> {
        const KEY: &str = "origin";
        let Some(raw) = self.get(KEY) else { return Ok(None) };
        let Value::Object(origin) = read_value(raw, 0)? else {
            return Err(wrong_type(KEY, ORIGIN, type_of(raw)));
        };
        let id = |key: &'static str| {
            let id = origin.get(key).and_then(Value::as_str).and_then(id_of_text);
            id.ok_or(JsonError::InvalidOrigin { key })
        };
        let position = match origin.get("position") {
            Some(number @ (Value::Integer(_) | Value::BigInteger(_))) => {
                number.to_string().parse().ok()
            }
            _ => None,
        };
        Ok(Some(EventOrigin {
            store_id: id("store")?,
            timeline: id("timeline")?,
            position: position
                .map(Position::new)
                .ok_or(JsonError::InvalidOrigin { key: "position" })?,
        }))
    }
}

fn read_value(raw: &RawValue, above: usize) -> Result<Value, JsonError> {
    // Every level is parsed from its own text, so that numbers keep their digits and nothing
    // recurses deeper than the limit; a text is scanned at most once for each level around it.
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => Value::String(read_string(raw)?.into_owned()),
        Some(b'[') => {
            let inside = enter(above)?;
            let elements: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|error| syntax(&error))?;
            let values = elements.into_iter().map(|element| read_value(element, inside));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let inside = enter(above)?;
            let mut members = Vec::new();
            for (key, member) in read_members(raw)? {
                members.push((key.into_owned(), read_value(member, inside)?));
            }
            Value::Object(members.into_iter().collect())
        }
        _ => read_number(text)?,
    })
}

pub(super) fn read_number(text: &str) -> Result<Value, JsonError> {
    if text.contains(['.', 'e', 'E']) {
        let float = text.parse().ok().and_then(Finite::new);
        return float.map(Value::Float).ok_or_else(|| JsonError::NumberOutOfRange {
            number: text.chars().take(40).collect(),
        });
    }
    Ok(text.parse().map_or_else(|_| Value::BigInteger(Digits::new(text)), Value::Integer))
}

/// Counts a level; the object of the payload is none of a value's levels.
pub(super) fn enter(above: usize) -> Result<usize, JsonError> {
    if above > MAX_JSON_DEPTH {
        return Err(LimitExceeded::TooDeep { depth: above }.into());
    }
    Ok(above + 1)
}

fn read_string(raw: &RawValue) -> Result<Cow<'_, str>, JsonError> {
    let Borrowed(text) = serde_json::from_str(raw.get()).map_err(|error| syntax(&error))?;
    Ok(text)
}

fn read_members(raw: &RawValue) -> Result<Vec<(Cow<'_, str>, &RawValue)>, JsonError> {
    let JsonMembers(members) = serde_json::from_str(raw.get()).map_err(|error| syntax(&error))?;
    Ok(members)
}

/// A string that borrows from the text where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in the order of the text, duplicates included.
struct JsonMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for JsonMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = JsonMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Borrowed(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(JsonMembers(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// What the parser found, without the line that it counts: one text is one line here.
fn syntax(error: &serde_json::Error) -> JsonError {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match said.strip_suffix(&place) {
        Some(what) => JsonError::Syntax { reason: format!("{what} at column {}", error.column()) },
        None => JsonError::Syntax { reason: said },
    }
}

fn wrong_type(key: &'static str, expected: &'static str, found: &'static str) -> JsonError {
    JsonError::WrongType { key, expected, found }
}

fn type_of(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        _ => "a number",
    }
}
