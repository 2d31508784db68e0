//! Random events of every type.

use proptest::{collection::vec, prelude::*};
use spacefold_event_core::{
    EventId, EventOrigin, EventType, Finite, JsonReader, Object, Payload, Position, Presence,
    SpaceEvent, Timestamp, Value,
};

/// Texts of every kind that the codec treats apart: plain, hex of either case, UUIDs, anything.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ -~]{0,20}",
        2 => any::<String>(),
        2 => "[0-9a-f]{64}",
        1 => "[0-9a-f]{1,70}",
        1 => "[0-9A-Fa-f]{32,40}",
        1 => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        1 => "[0-9A-Fa-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    ]
}

fn label() -> impl Strategy<Value = String> {
    text().prop_filter("at most 512 bytes", |text| text.len() <= 512)
}

fn id() -> impl Strategy<Value = String> {
    label().prop_filter("not empty", |id| !id.is_empty())
}

fn maybe<S: Strategy<Value = String>>(text: S) -> impl Strategy<Value = Presence> {
    prop_oneof![
        1 => Just(Presence::Absent),
        1 => Just(Presence::Null),
        2 => text.prop_map(Presence::Value),
    ]
}

/// Any JSON value.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3..300_i64).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "-?[1-9][0-9]{19,60}".prop_map(|digits| number(&digits)),
        any::<f64>().prop_filter_map("finite", |float| Finite::new(float).map(Value::from)),
        (-1000..1000_i32).prop_map(|n| Value::from(Finite::new(f64::from(n)).unwrap())),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 24, 5, |inside| {
        prop_oneof![
            vec(inside.clone(), 0..5).prop_map(Value::from),
            vec((text(), inside), 0..5).prop_map(|entries| Value::from(Object::from_iter(entries))),
        ]
    })
}

/// An integer beyond 64 bits, as it is read.
fn number(digits: &str) -> Value {
    let json = format!(
        r#"{{"event_type":"variable.set","space_id":"a","payload":{{"name":"n","value":{digits}}}}}"#
    );
    let read = JsonReader::default().read(json.as_bytes()).unwrap();
    match read.event.payload {
        Payload::VariableSet { value, .. } => value,
        other => panic!("{other:?}"),
    }
}

fn object() -> impl Strategy<Value = Object> {
    vec((text(), value()), 0..4).prop_map(Object::from_iter)
}

/// The texts that a payload may need, generated together and used as its type needs them.
#[derive(Clone, Debug)]
struct Parts {
    id: String,
    texts: [String; 2],
    label: String,
    maybe_id: Presence,
    maybe_labels: [Presence; 2],
    maybe_text: Presence,
    changes: Object,
    value: Value,
    ids: Vec<String>,
    extra: Object,
}

fn parts() -> impl Strategy<Value = Parts> {
    let required = (id(), [text(), text()], label());
    let optional = (maybe(id()), [maybe(label()), maybe(label())], maybe(text()));
    let json = (object(), value(), vec(id(), 0..5));
    let extra = prop_oneof![3 => Just(Object::new()), 1 => object()];
    (required, optional, json, extra).prop_map(|(required, optional, json, extra)| {
        let (id, texts, label) = required;
        let (maybe_id, maybe_labels, maybe_text) = optional;
        let (changes, value, ids) = json;
        Parts { id, texts, label, maybe_id, maybe_labels, maybe_text, changes, value, ids, extra }
    })
}

fn payload(event_type: EventType, parts: Parts) -> Payload {
    let Parts { id, texts, label, maybe_id, maybe_labels, maybe_text, changes, value, ids, extra } =
        parts;
    let [text, _] = texts;
    let [maybe_label, other_label] = maybe_labels;
    let document_id = id;
    // Extra keys are those that the contract does not name: none here has such a name.
    let extra: Object =
        extra.iter().map(|(key, value)| (format!("x {key}"), value.clone())).collect();
    match event_type {
        EventType::SpaceCreated => Payload::SpaceCreated { name: text, extra },
        EventType::SpaceUpdated => Payload::SpaceUpdated { changes, extra },
        EventType::SpaceDeleted => Payload::SpaceDeleted { name: maybe_text, extra },
        EventType::SpaceActivated => Payload::SpaceActivated { extra },
        EventType::SpaceArchived => Payload::SpaceArchived { extra },
        EventType::DocumentAdded => Payload::DocumentAdded { document_id, space_path: text, extra },
        EventType::DocumentUpdated => Payload::DocumentUpdated { document_id, changes, extra },
        EventType::DocumentRemoved => {
            Payload::DocumentRemoved { document_id, space_path: maybe_text, extra }
        }
        EventType::DocumentMoved => {
            Payload::DocumentMoved { document_id, old_path: maybe_text, new_path: text, extra }
        }
        EventType::DocumentContentChanged => Payload::DocumentContentChanged {
            document_id,
            old_hash: maybe_label,
            new_hash: label,
            extra,
        },
        EventType::VariableSet => Payload::VariableSet { name: document_id, value, extra },
        EventType::VariableDeleted => Payload::VariableDeleted { name: document_id, extra },
        EventType::ReferenceAdded => {
            Payload::ReferenceAdded { document_id, target: text, kind: maybe_text, extra }
        }
        EventType::ReferenceCleared => Payload::ReferenceCleared { document_id: maybe_id, extra },
        EventType::RenderStarted => Payload::RenderStarted {
            document_id: maybe_id,
            output_hash: maybe_label,
            error: maybe_text,
            extra,
        },
        EventType::RenderCompleted => Payload::RenderCompleted {
            document_id: maybe_id,
            output_hash: maybe_label,
            error: maybe_text,
            extra,
        },
        EventType::RenderFailed => Payload::RenderFailed {
            document_id: maybe_id,
            output_hash: maybe_label,
            error: maybe_text,
            extra,
        },
        EventType::SyncStarted => Payload::SyncStarted { direction: maybe_text, extra },
        EventType::SyncCompleted => Payload::SyncCompleted { extra },
        EventType::SyncConflict => Payload::SyncConflict {
            document_id,
            local_hash: maybe_label,
            remote_hash: other_label,
            extra,
        },
        EventType::CacheInvalidated => {
            Payload::CacheInvalidated { document_ids: ids, reason: maybe_text, extra }
        }
        EventType::Application => {
            let labels = text.bytes().filter(u8::is_ascii_alphanumeric).take(60);
            let label: String = labels.map(char::from).collect();
            Payload::Application { name: format!("com.example.X_1:{label}.it-is"), extra }
        }
        other => panic!("{other} is a type of its own"),
    }
}

/// An event of this type.
fn event_of(event_type: EventType) -> impl Strategy<Value = SpaceEvent> {
    let micros = prop_oneof![
        Timestamp::MIN.as_micros()..=Timestamp::MAX.as_micros(),
        0..2_000_000_000_000_000_i64,
        Just(Timestamp::MIN.as_micros()),
        Just(Timestamp::MAX.as_micros()),
    ];
    let labels = (prop::option::of(label()), prop::option::of(label()));
    let envelope = (any::<[u8; 16]>(), id(), micros, labels, tags(), prop::option::of(origin()));
    (envelope, parts()).prop_map(move |(envelope, parts)| {
        let (event_id, space_id, micros, (source, correlation_id), tags, origin) = envelope;
        let mut event = SpaceEvent::new(space_id, payload(event_type, parts))
            .with_event_id(EventId::from_bytes(event_id))
            .with_timestamp(Timestamp::from_micros(micros).unwrap())
            .with_tags(tags);
        (event.source, event.correlation_id, event.origin) = (source, correlation_id, origin);
        event
    })
}

/// No tags, mostly; else a few that differ.
fn tags() -> impl Strategy<Value = Vec<String>> {
    let tag = prop_oneof!["[a-z]{1,3}:[0-9]{1,2}", "\\PC{1,40}"];
    let some = prop::collection::btree_set(tag, 1..=16).prop_map(|tags| tags.into_iter().collect());
    prop_oneof![2 => Just(Vec::new()), 1 => some]
}

fn origin() -> impl Strategy<Value = EventOrigin> {
    (prop::sample::select(vec![[1; 16], [7; 16]]), any::<[u8; 16]>(), 1..u64::MAX).prop_map(
        |(store_id, timeline, position)| {
            let position = Position::new(position);
            EventOrigin { store_id, timeline, position }
        },
    )
}

/// An event of any type.
pub(crate) fn event() -> impl Strategy<Value = SpaceEvent> {
    let types: Vec<EventType> =
        EventType::CORE.into_iter().chain([EventType::Application]).collect();
    prop::sample::select(types).prop_flat_map(event_of)
}

/// One event of every type, in random order.
pub(crate) fn one_of_each() -> impl Strategy<Value = Vec<SpaceEvent>> {
    let types = EventType::CORE.into_iter().chain([EventType::Application]);
    types.map(|event_type| event_of(event_type).boxed()).collect::<Vec<_>>().prop_shuffle()
}
