//! Events as JSON text.

use crate::{
    event::{RecordedEvent, RecordedEventRef, SpaceEvent},
    event_id::EventId,
    payload::EventType,
    timestamp::Timestamp,
    value::{Object, append, write_object, write_string},
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

fn write_optional(json: &mut String, text: Option<&str>) {
    match text {
        Some(text) => write_string(json, text),
        None => json.push_str("null"),
    }
}
