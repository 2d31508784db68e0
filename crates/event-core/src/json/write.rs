//! Events and values as JSON text.

use std::fmt::Write;

use crate::{
    EventId, EventType, Object, RecordedEvent, RecordedEventRef, SpaceEvent, Timestamp, Value,
};

impl SpaceEvent {
    /// The event in the interchange form: one JSON object without line breaks, its keys in the
    /// order of the contract.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(256);
        Fields {
            event_id: self.event_id,
            event_type: self.event_type(),
            space_id: &self.space_id,
            payload: &self.payload.to_object(),
            timestamp: self.timestamp,
            source: self.source.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
        }
        .write(&mut json);
        json.push('}');
        json
    }
}

impl RecordedEvent {
    /// The event in the interchange form, followed by `position`, `revision` and `recorded_at`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = self.event.to_json();
        json.pop();
        write_recorded(&mut json, self.position.get(), self.revision.get(), self.recorded_at);
        json
    }
}

impl RecordedEventRef<'_> {
    /// Appends the event in the interchange form, followed by `position`, `revision` and
    /// `recorded_at`.
    pub fn write_json(&self, json: &mut String) {
        Fields {
            event_id: self.event_id,
            event_type: self.event_type,
            space_id: self.space_id,
            payload: &self.payload.to_object(),
            timestamp: self.timestamp,
            source: self.source,
            correlation_id: self.correlation_id,
        }
        .write(json);
        write_recorded(json, self.position.get(), self.revision.get(), self.recorded_at);
    }
}

struct Fields<'a> {
    event_id: EventId,
    event_type: EventType,
    space_id: &'a str,
    payload: &'a Object,
    timestamp: Timestamp,
    source: Option<&'a str>,
    correlation_id: Option<&'a str>,
}

impl Fields<'_> {
    /// All seven keys, the object still open.
    fn write(&self, json: &mut String) {
        append(json, format_args!("{{\"event_id\":\"{}\"", self.event_id));
        append(json, format_args!(",\"event_type\":\"{}\",\"space_id\":", self.event_type));
        write_string(json, self.space_id);
        json.push_str(",\"payload\":");
        write_object(json, self.payload);
        append(json, format_args!(",\"timestamp\":\"{}\",\"source\":", self.timestamp));
        write_optional(json, self.source);
        json.push_str(",\"correlation_id\":");
        write_optional(json, self.correlation_id);
    }
}

fn write_recorded(json: &mut String, position: u64, revision: u64, recorded_at: Timestamp) {
    append(json, format_args!(",\"position\":{position},\"revision\":{revision}"));
    append(json, format_args!(",\"recorded_at\":\"{recorded_at}\"}}"));
}

fn append(json: &mut String, arguments: std::fmt::Arguments<'_>) {
    json.write_fmt(arguments).expect("writing to a string does not fail");
}

fn write_optional(json: &mut String, text: Option<&str>) {
    match text {
        Some(text) => write_string(json, text),
        None => json.push_str("null"),
    }
}

/// Appends `value` as canonical JSON: no white space, object keys sorted by their bytes.
pub fn write_value<S: AsRef<str>>(json: &mut String, value: &Value<S>) {
    match value {
        Value::Null => json.push_str("null"),
        Value::Bool(bool) => append(json, format_args!("{bool}")),
        Value::Integer(integer) => append(json, format_args!("{integer}")),
        Value::BigInteger(digits) => json.push_str(digits.as_str()),
        Value::Float(float) => {
            // The shortest decimal that reads back as the same float, with a point or exponent.
            append(json, format_args!("{:?}", float.get()));
        }
        Value::String(text) => write_string(json, text.as_ref()),
        Value::Array(values) => {
            json.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_value(json, value);
            }
            json.push(']');
        }
        Value::Object(object) => write_object(json, object),
    }
}

fn write_object<S: AsRef<str>>(json: &mut String, object: &Object<S>) {
    json.push('{');
    for (index, (key, value)) in object.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_string(json, key.as_ref());
        json.push(':');
        write_value(json, value);
    }
    json.push('}');
}

/// Appends `text` as a JSON string.
pub fn write_string(json: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        json.push_str(&serde_json::Value::from(text).to_string());
    } else {
        json.push('"');
        json.push_str(text);
        json.push('"');
    }
}
