//! Both sides of every limit.

use spacefold_event_core::{
    AppendCondition, AppendError, EventLog, LimitExceeded, MAX_APPEND_BYTES, MAX_APPEND_EVENTS,
    MAX_EVENT_BYTES, MAX_ID_BYTES, MAX_JSON_DEPTH, MAX_LABEL_BYTES, Object, Position, SpaceEvent,
    Value,
};

use crate::{LogFactory, append, append_on, assert_holds, set, whole_log};

#[track_caller]
fn limit(log: &dyn EventLog, events: &[SpaceEvent]) -> (usize, LimitExceeded) {
    let head = log.head();
    match append_on(log, events, AppendCondition::none()) {
        Err(AppendError::Limit { index, limit }) => {
            assert_eq!(log.head(), head);
            (index, limit)
        }
        other => panic!("expected a limit to be passed, not {other:?}"),
    }
}

/// An event of exactly so many encoded bytes.
fn event_of(bytes: usize) -> SpaceEvent {
    let of = |filler: usize| {
        SpaceEvent::variable_set("a", "n", "\u{e9}~".repeat(filler / 3) + &"~".repeat(filler % 3))
    };
    let mut filler = bytes - of(0).encoded_len();
    while of(filler).encoded_len() > bytes {
        filler -= 1;
    }
    let event = of(filler);
    assert_eq!(event.encoded_len(), bytes);
    event
}

/// A value that nests so many levels.
fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::from(1), |inside, level| {
        if level % 2 == 0 {
            Value::Array(vec![inside])
        } else {
            Value::Object([("k", inside)].into_iter().collect())
        }
    })
}

/// Ids have 1 to 512 bytes, labels at most 512.
pub fn holds_the_limits_of_ids_and_labels(factory: &impl LogFactory) {
    let log = factory.open();
    type Make = fn(String) -> SpaceEvent;
    let ids: [(&str, Make); 8] = [
        ("space_id", |id| SpaceEvent::space_activated(id)),
        ("document_id", |id| SpaceEvent::document_added("a", id, "/")),
        ("document_id", |id| SpaceEvent::render_started("a", id)),
        ("document_id", |id| SpaceEvent::reference_cleared("a", id)),
        ("document_id", |id| SpaceEvent::sync_conflict("a", id, None::<String>, None::<String>)),
        ("document_ids", |id| SpaceEvent::cache_invalidated("a", vec!["d".to_owned(), id], "r")),
        ("name", |id| SpaceEvent::variable_set("a", id, 1)),
        ("name", |id| SpaceEvent::variable_deleted("a", id)),
    ];
    let labels: [(&str, Make); 5] = [
        ("source", |label| SpaceEvent::space_activated("a").with_source(label)),
        ("correlation_id", |label| SpaceEvent::space_activated("a").with_correlation_id(label)),
        ("old_hash", |label| SpaceEvent::document_content_changed("a", "d", label, "h")),
        ("new_hash", |label| SpaceEvent::document_content_changed("a", "d", "h", label)),
        ("output_hash", |label| SpaceEvent::render_completed("a", "d", label)),
    ];
    let mut taken = Vec::new();
    // Bytes count, not characters: 256 of two bytes each are at the limit.
    for longest in ["i".repeat(MAX_ID_BYTES), "é".repeat(MAX_ID_BYTES / 2)] {
        let bytes = MAX_ID_BYTES + 1;
        for (what, make) in ids {
            taken.push(make(longest.clone()));
            let too_long = limit(&*log, &[make(format!("{longest}i"))]);
            assert_eq!(too_long, (0, LimitExceeded::IdTooLong { what, bytes }));
            let empty = limit(&*log, &[make(String::new())]);
            assert_eq!(empty, (0, LimitExceeded::EmptyId { what }));
        }
        for (what, make) in labels {
            assert_eq!(MAX_LABEL_BYTES, MAX_ID_BYTES);
            taken.extend([make(longest.clone()), make(String::new())]);
            let too_long = limit(&*log, &[make(format!("{longest}i"))]);
            assert_eq!(too_long, (0, LimitExceeded::LabelTooLong { what, bytes }));
        }
    }
    append(&*log, &taken);
    assert_holds(&*log, &taken);
}

/// An append has at most 4,096 events.
pub fn holds_the_limit_of_events_in_an_append(factory: &impl LogFactory) {
    let log = factory.open();
    let events: Vec<SpaceEvent> =
        (0..=MAX_APPEND_EVENTS as u64).map(|n| set("a", "n", n)).collect();
    let too_many = LimitExceeded::TooManyEvents { events: 4_097 };
    assert_eq!(limit(&*log, &events), (4_096, too_many));
    let receipt = append(&*log, &events[..MAX_APPEND_EVENTS]);
    assert_eq!(receipt.count(), 4_096);
    assert_holds(&*log, &events[..MAX_APPEND_EVENTS]);
}

/// An encoded event has at most 1 MiB.
pub fn holds_the_limit_of_an_event(factory: &impl LogFactory) {
    let log = factory.open();
    let bytes = MAX_EVENT_BYTES + 1;
    let too_large = limit(&*log, &[event_of(bytes)]);
    assert_eq!(too_large, (0, LimitExceeded::EventTooLarge { bytes }));
    let largest = event_of(MAX_EVENT_BYTES);
    append(&*log, std::slice::from_ref(&largest));
    let small = set("a", "n", 1);
    append(&*log, std::slice::from_ref(&small));
    assert_holds(&*log, &[largest, small]);
}

/// An append has at most 16 MiB.
pub fn holds_the_limit_of_an_append(factory: &impl LogFactory) {
    let log = factory.open();
    let largest = event_of(MAX_EVENT_BYTES);
    let fresh =
        |event: &SpaceEvent| event.clone().with_event_id(spacefold_event_core::EventId::new());
    let mut events: Vec<SpaceEvent> = (0..16).map(|_| fresh(&largest)).collect();
    let small = set("a", "n", 1);
    events.push(small.clone());
    let bytes = MAX_APPEND_BYTES + small.encoded_len();
    let too_large = limit(&*log, &events);
    assert_eq!(too_large, (16, LimitExceeded::AppendTooLarge { bytes }));
    events.pop();
    let receipt = append(&*log, &events);
    assert_eq!(receipt.count(), 16);
    append(&*log, &[small]);
    let ids: Vec<_> = whole_log(&*log).iter().map(|event| event.event.event_id).collect();
    assert_eq!(ids.len(), 17);
    assert!(events.iter().zip(ids).all(|(event, id)| event.event_id == id));
}

/// JSON nests at most 128 levels, wherever it stands.
pub fn holds_the_limit_of_nesting(factory: &impl LogFactory) {
    let log = factory.open();
    let changes = |levels: usize| -> Object { [("k", nested(levels - 1))].into_iter().collect() };
    let of = |levels: usize| {
        [
            SpaceEvent::variable_set("a", "n", nested(levels)),
            SpaceEvent::space_updated("a", changes(levels)),
            SpaceEvent::document_updated("a", "d", changes(levels)),
            SpaceEvent::space_activated("a").with_extra("k", nested(levels)).unwrap(),
        ]
    };
    for event in of(MAX_JSON_DEPTH + 1) {
        let too_deep = LimitExceeded::TooDeep { depth: 129 };
        assert_eq!(limit(&*log, &[event]), (0, too_deep));
    }
    let deepest = of(MAX_JSON_DEPTH);
    append(&*log, &deepest);
    assert_holds(&*log, &deepest);
}

/// The error says which event of the append it is about, and nothing of the append is stored.
pub fn names_the_event_that_is_past_a_limit(factory: &impl LogFactory) {
    let log = factory.open();
    let events = [set("a", "n", 1), set("a", "n", 2), set("", "n", 3)];
    let empty = LimitExceeded::EmptyId { what: "space_id" };
    assert_eq!(limit(&*log, &events), (2, empty));
    assert_eq!(log.head(), Position::START);
    append(&*log, &events[..2]);
    assert_holds(&*log, &events[..2]);
}
