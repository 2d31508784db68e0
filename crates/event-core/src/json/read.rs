//! Events and values from JSON text.

use std::{borrow::Cow, collections::HashMap, str::FromStr};

use serde_json::value::RawValue;

use super::{
    careful::{self, ORIGIN, read_value},
    line_event::LineEvent,
    single_pass,
};
use crate::{
    event::SpaceEvent,
    event_id::{EventId, InvalidEventId},
    limits::LimitExceeded,
    payload::{EventType, Payload, PayloadError},
    timestamp::{InvalidTimestamp, Parsed, Timestamp, UtcOffset},
    type_name::UnknownEventType,
    value::{Object, Value, take_entry},
};

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
        self.read_line(json).map(|line| line.into_json_event(Timestamp::now()))
    }

    /// Reads one event, its texts borrowed where they have no escapes.
    pub(crate) fn read_line<'a>(&self, json: &'a [u8]) -> Result<LineEvent<'a>, JsonError> {
        if json.len() > MAX_JSON_LINE_BYTES {
            return Err(JsonError::TooLong { bytes: json.len() });
        }
        let text = std::str::from_utf8(json)
            .map_err(|error| JsonError::NotUtf8 { offset: error.valid_up_to() })?;
        match single_pass::read(self, text) {
            Some(event) => Ok(event),
            None => careful::read(self, text),
        }
    }

    /// The payload of an event of this type that an object states.
    pub(super) fn payload<'a>(
        &self,
        event_type: EventType,
        type_name: Cow<'a, str>,
        mut object: Object<Cow<'a, str>>,
    ) -> Result<Payload<Cow<'a, str>>, PayloadError> {
        if let Some(renamed) = self.key_map.get(&*type_name) {
            let mut entries = object.into_entries();
            for (old, new) in renamed {
                if let Some(value) = take_entry(&mut entries, old) {
                    drop(take_entry(&mut entries, new));
                    let at = entries.partition_point(|(key, _)| **key < **new);
                    entries.insert(at, (Cow::Owned(new.clone()), value));
                }
            }
            object = Object::of_sorted(entries);
        }
        Payload::from_object(event_type, type_name, object)
    }

    /// A time; an empty string counts as missing, as it does for the Python module.
    pub(super) fn time(
        &self,
        key: &'static str,
        text: Option<Cow<'_, str>>,
    ) -> Result<Option<Parsed>, JsonError> {
        match text {
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
        read_value(raw, IN_PAYLOAD).map(|value| value.to_owned_value())
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

/// What the parser found, without the line that it counts: one text is one line here.
pub(super) fn syntax(error: &serde_json::Error) -> JsonError {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match said.strip_suffix(&place) {
        Some(what) => JsonError::Syntax { reason: format!("{what} at column {}", error.column()) },
        None => JsonError::Syntax { reason: said },
    }
}
