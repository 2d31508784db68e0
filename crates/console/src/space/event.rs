//! What happened in a space.

use maud::{Markup, html};
use serde_json::Value;
use spacefold::event::RecordedEvent;

use super::SpacePage;
use crate::text::{self, grouped, trace_link};

/// Bytes of an event that are shown.
const SHOWN_EVENT_BYTES: usize = 8 << 10;

/// Members of a payload that tell what it is about.
const TELLING: [&str; 9] =
    ["new_path", "path", "name", "document_id", "target", "direction", "error", "reason", "value"];

/// What an event is about, in a line.
pub(crate) fn about(event: &RecordedEvent) -> String {
    let json: Value = serde_json::from_str(&event.to_json()).unwrap_or_default();
    let payload = json.get("payload");
    let told = TELLING.iter().filter_map(|key| match payload?.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    });
    let told: Vec<String> = told.take(2).map(|text| text::cut(&text, 80)).collect();
    told.join(" · ")
}

pub(super) fn events(page: &SpacePage, events: &[RecordedEvent]) -> Markup {
    html! {
        @if let Some(event) = &page.event {
            (one(event))
        }
        h2 { "Before it" }
        ol.events {
            @for event in events.iter().filter(|event| event.position != page.at) {
                li {
                    a href=(page.link().with("at", event.position)) {
                        span.number { (grouped(event.position.get())) }
                        span.type { (event.event.type_name()) }
                        span.about { (about(event)) }
                    }
                }
            }
        }
    }
}

/// One event, as it is.
fn one(event: &RecordedEvent) -> Markup {
    let json: Value = serde_json::from_str(&event.to_json()).unwrap_or_default();
    let payload = json.get("payload").and_then(Value::as_object);
    html! {
        h2.event-type { (event.event.type_name()) }
        dl.fields {
            @for (key, value) in payload.into_iter().flatten() {
                div { dt { (key) } dd.mono { (shown(value)) } }
            }
            @if let Some(source) = &event.event.source {
                div { dt { "source" } dd { (source) } }
            }
            @if let Some(correlation_id) = &event.event.correlation_id {
                div { dt { "correlation" } dd { (trace_link(correlation_id)) } }
            }
            @if event.event.timestamp != event.recorded_at {
                div { dt { "happened" } dd { (text::time(event.event.timestamp)) } }
            }
            div { dt { "recorded" } dd { (text::time(event.recorded_at)) } }
            div { dt { "event id" } dd.mono { (event.event.event_id) } }
        }
    }
}

pub(crate) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text::cut(&text, SHOWN_EVENT_BYTES)
}
