//! Events and values as JSON text.

use serde::{Serialize, Serializer, ser};
use serde_json::value::RawValue;

use super::print::{EVENT_BYTES, RecordedParts, put_event};
use crate::{
    content_hash::{ContentHash, RecordedHash},
    event::{RecordedEvent, RecordedEventRef, SpaceEvent},
    event_id::EventId,
    log::Receipt,
    origin::{EventOrigin, id_text},
    payload::EventType,
    position::{Position, Revision},
    tags::Tags,
    timestamp::Timestamp,
    value::{Object, Value},
};

impl SpaceEvent {
    /// The event in the interchange form: one JSON object without line breaks, its keys in the
    /// order of the contract.
    #[must_use]
    pub fn to_json(&self) -> String {
        printed(|out| put_event(&self.fields(), Some(self.timestamp), None, out))
    }

    /// The event in the interchange form as another process is asked to append it: without a timestamp
    /// where its caller has given none, so that it is known there too which one was filled in. An event
    /// that is handed in again under its id is then answered as the first time, whatever the clock says.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Timestamp};
    /// let event = SpaceEvent::space_archived("handbook");
    /// assert!(!event.to_append_json().contains("timestamp"));
    /// let event = event.with_timestamp(Timestamp::MIN);
    /// assert_eq!(event.to_append_json(), event.to_json());
    /// ```
    #[must_use]
    pub fn to_append_json(&self) -> String {
        let timestamp = self.has_own_timestamp().then_some(self.timestamp);
        printed(|out| put_event(&self.fields(), timestamp, None, out))
    }
}

impl RecordedEvent {
    /// The event in the interchange form, followed by `position`, `revision` and `recorded_at`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Self { position, revision, recorded_at, .. } = *self;
        let recorded = RecordedParts { position, revision, recorded_at };
        printed(|out| {
            put_event(&self.event.fields(), Some(self.event.timestamp), Some(&recorded), out)
        })
    }
}

impl RecordedEventRef<'_> {
    /// The event in the interchange form, followed by `position`, `revision` and `recorded_at`.
    #[must_use]
    pub fn to_json(&self) -> String {
        printed(|out| self.write_json(out))
    }

    /// Appends the event to `out`, as [`RecordedEventRef::to_json`] gives it. Cost: the bytes of the
    /// event, and one allocation.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        put_event(&self.fields(), Some(self.timestamp), Some(&RecordedParts::of(self)), out);
    }
}

fn printed(put: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut text = Vec::with_capacity(EVENT_BYTES);
    put(&mut text);
    String::from_utf8(text).expect("JSON is text")
}

/// What is printed of an event, in the order of the contract.
#[derive(Serialize)]
struct Fields<'a> {
    event_id: EventId,
    event_type: &'a str,
    space_id: &'a str,
    payload: Object,
    timestamp: Timestamp,
    source: Option<&'a str>,
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Tags<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a EventOrigin>,
    #[serde(flatten)]
    recorded: Option<RecordedFields>,
}

/// What the log has added to an event.
#[derive(Serialize)]
struct RecordedFields {
    position: Position,
    revision: Revision,
    recorded_at: Timestamp,
}

impl<'a> Fields<'a> {
    fn of(event: &'a SpaceEvent, recorded: Option<RecordedFields>) -> Self {
        Self {
            event_id: event.event_id,
            event_type: event.type_name(),
            space_id: &event.space_id,
            payload: event.payload.to_object(),
            timestamp: event.timestamp,
            source: event.source.as_deref(),
            correlation_id: event.correlation_id.as_deref(),
            tags: Some(Tags::owned(&event.tags)).filter(|tags| !tags.is_empty()),
            origin: event.origin.as_ref(),
            recorded,
        }
    }
}

impl Serialize for SpaceEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Fields::of(self, None).serialize(serializer)
    }
}

impl Serialize for RecordedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { position, revision, recorded_at, .. } = *self;
        let recorded = RecordedFields { position, revision, recorded_at };
        Fields::of(&self.event, Some(recorded)).serialize(serializer)
    }
}

impl Serialize for RecordedEventRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { position, revision, recorded_at, .. } = *self;
        Fields {
            event_id: self.event_id,
            event_type: self.type_name(),
            space_id: self.space_id,
            payload: self.payload.to_object(),
            timestamp: self.timestamp,
            source: self.source,
            correlation_id: self.correlation_id,
            tags: Some(self.tags()).filter(|tags| !tags.is_empty()),
            origin: self.origin(),
            recorded: Some(RecordedFields { position, revision, recorded_at }),
        }
        .serialize(serializer)
    }
}

/// As a list of texts.
impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// `store`, `timeline` (both as UUIDs) and `position`.
impl Serialize for EventOrigin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut printed = serializer.serialize_struct("EventOrigin", 3)?;
        printed.serialize_field("store", &id_text(self.store_id))?;
        printed.serialize_field("timeline", &id_text(self.timeline))?;
        printed.serialize_field("position", &self.position)?;
        printed.end()
    }
}

/// What is printed of a receipt.
#[derive(Serialize)]
struct Received {
    position: Position,
    count: u64,
    revision: Revision,
    durable: bool,
}

impl Serialize for Receipt {
    /// `position` (of the last event), `count`, `revision`, `durable`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Received {
            position: self.last_position(),
            count: self.count(),
            revision: self.revision(),
            durable: self.is_durable(),
        }
        .serialize(serializer)
    }
}

impl<T: AsRef<str>> Serialize for Value<T> {
    /// As canonical JSON, when the serializer writes no white space: object keys are sorted by their
    /// bytes, and a float is the shortest decimal that reads back as the same float, with a point or
    /// exponent. Floats and integers beyond 64 bits keep their digits with `serde_json` alone: another
    /// serializer gets them as its `RawValue`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(bool) => serializer.serialize_bool(*bool),
            Self::Integer(integer) => serializer.serialize_i64(*integer),
            Self::BigInteger(digits) => number(digits.as_str().to_owned(), serializer),
            Self::Float(float) => number(format!("{:?}", float.get()), serializer),
            Self::String(text) => serializer.serialize_str(text.as_ref()),
            Self::Array(values) => serializer.collect_seq(values),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

/// A number whose digits are ours: a serializer would choose others for a float, and has no integers
/// of more than 64 bits.
fn number<S: Serializer>(digits: String, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(digits).map_err(ser::Error::custom)?.serialize(serializer)
}

impl<T: AsRef<str>> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key.as_ref(), value)))
    }
}

impl<T: AsRef<str>> Serialize for RecordedHash<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

macro_rules! serialize_as_displayed {
    ($($type:ty),*) => { $(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )* };
}

serialize_as_displayed!(ContentHash, EventId, EventType, Timestamp);

#[cfg(test)]
mod tests {
    use crate::{JsonReader, Position, Receipt, Revision, Timestamp};

    #[test]
    fn a_receipt_prints_where_its_last_event_is() {
        let [first, last] = [3, 7].map(Position::new);
        let receipt = Receipt::new(first, last, Revision::new(5), Timestamp::MIN, true);
        let printed = r#"{"position":7,"count":5,"revision":5,"durable":true}"#;
        assert_eq!(serde_json::to_string(&receipt).unwrap(), printed);
        let printed = r#"{"position":7,"count":5,"revision":5,"durable":false}"#;
        assert_eq!(serde_json::to_string(&receipt.with_durable(false)).unwrap(), printed);
    }

    /// Frozen: state hashes are made of such texts.
    #[test]
    fn values_print_as_they_always_have() {
        let values = [
            "null",
            "[true,false]",
            "[0,-1,9223372036854775807,-9223372036854775808]",
            "[9223372036854775808,-9223372036854775809,123456789012345678901234567890]",
            "[0.0,-0.0,1.0,0.1,-2.5,0.0001,1.0e-5,1.234e-5,5e-324,123456789012345.0]",
            "[1e15,1e16,1.2345678901234568e17,1.7976931348623157e308]",
            r#"["","a\u0000\u001f\"\\/\b\f\n\r\t\u007f","\u00e9\u2028\ud83d\ude00"]"#,
            r#"{"b":{"z":[],"a":{}},"a":[{}],"\"":1,"B":2}"#,
        ];
        let printed = [
            "null",
            "[true,false]",
            "[0,-1,9223372036854775807,-9223372036854775808]",
            "[9223372036854775808,-9223372036854775809,123456789012345678901234567890]",
            "[0.0,-0.0,1.0,0.1,-2.5,0.0001,1e-5,1.234e-5,5e-324,123456789012345.0]",
            "[1000000000000000.0,1e16,1.2345678901234568e17,1.7976931348623157e308]",
            "[\"\",\"a\\u0000\\u001f\\\"\\\\/\\b\\f\\n\\r\\t\u{7f}\",\"\u{e9}\u{2028}\u{1f600}\"]",
            r#"{"\"":1,"B":2,"a":[{}],"b":{"a":{},"z":[]}}"#,
        ];
        for (value, printed) in values.into_iter().zip(printed) {
            let event = format!(
                r#"{{"event_type":"variable.set","space_id":"s","payload":{{"name":"n","value":{value}}}}}"#
            );
            let event = JsonReader::default().read(event.as_bytes()).unwrap().event;
            let value = event.payload.to_object().get("value").cloned().unwrap();
            assert_eq!(value.to_string(), printed);
            assert!(event.to_json().contains(&format!(r#""value":{printed}}}"#)));
        }
    }
}
