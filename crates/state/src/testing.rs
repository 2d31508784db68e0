//! Logs, events and states for tests.

#![allow(clippy::unwrap_used, reason = "a test ends with what it did not expect")]

use std::sync::Arc;

use proptest::prelude::*;
use spacefold_event_core::{
    AppendRequest, EventType, LogReader as _, LogWriter as _, MemoryLog, Object, Position,
    Presence, ReadRequest, RecordedEvent, SpaceEvent, Timestamp, Value,
};

use crate::space_state::SpaceState;

/// A log of these events, one append each, recorded one second apart from the year 2001 on.
pub fn log_of(events: impl IntoIterator<Item = SpaceEvent>) -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::new());
    record(&log, events);
    log
}

/// Appends to a log as [`log_of`] does.
pub fn record(log: &MemoryLog, events: impl IntoIterator<Item = SpaceEvent>) {
    for event in events {
        let time = recorded_at(log.head().get() + 1);
        log.append(&AppendRequest::new(&[event]).recorded_at(&[time])).unwrap();
    }
}

/// When the event at this position of such a log was recorded.
pub fn recorded_at(position: u64) -> Timestamp {
    Timestamp::from_micros((978_307_200 + i64::try_from(position).unwrap()) * 1_000_000).unwrap()
}

/// Every event of a log.
pub fn recorded(log: &MemoryLog) -> Vec<RecordedEvent> {
    let page = log.read(&ReadRequest::from(Position::new(1)).limit(usize::MAX)).unwrap();
    page.events().map(|event| event.unwrap().to_owned_event()).collect()
}

/// The state of a space after the first `count` events of a log.
pub fn fold(log: &MemoryLog, space_id: &str, count: u64) -> SpaceState {
    let mut state = SpaceState::new(space_id);
    if count > 0 {
        let read = ReadRequest::from(Position::new(1)).to(Position::new(count)).limit(usize::MAX);
        let page = log.read(&read).unwrap();
        for event in page.events().map(Result::unwrap).filter(|e| e.space_id == space_id) {
            state.apply(&event);
        }
    }
    state
}

/// The state of space `s` after these events of it.
pub fn state_of(events: impl IntoIterator<Item = SpaceEvent>) -> SpaceState {
    let log = log_of(events);
    fold(&log, "s", log.head().get())
}

/// An object of these entries.
pub fn object<const N: usize>(entries: [(&str, Value); N]) -> Object {
    entries.into_iter().collect()
}

/// The events of a space `s` that has some of everything; 12 events.
pub fn full_space() -> Vec<SpaceEvent> {
    const ABSENT: Presence = Presence::Absent;
    vec![
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::space_updated("s", object([("k", Value::from(1))])),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::document_added("s", "e", "/e"),
        SpaceEvent::document_content_changed("s", "d", ABSENT, "h"),
        SpaceEvent::variable_set("s", "v", Value::Null),
        SpaceEvent::reference_added("s", "d", "/e", "cites"),
        SpaceEvent::render_started("s", ABSENT),
        SpaceEvent::sync_completed("s"),
        SpaceEvent::sync_started("s", ABSENT),
        SpaceEvent::sync_conflict("s", "d", "l", "r"),
        SpaceEvent::cache_invalidated("s", vec!["d".to_owned()], ABSENT),
    ]
}

/// Events that are ignored or remarked on for every reason, between others that are not, in a space
/// that is not created, one that is deleted and one that is deleted and created anew.
pub fn misfits() -> Vec<SpaceEvent> {
    const ABSENT: Presence = Presence::Absent;
    let content = |space: &str, id: &str, hash: &str| {
        SpaceEvent::document_content_changed(space, id, ABSENT, hash)
    };
    let of_documents = |space: &str, ids: [&str; 2]| {
        let [one, other] = ids;
        let ids = vec![one.to_owned(), "x".to_owned(), other.to_owned()];
        [
            SpaceEvent::document_added(space, one, "/one"),
            SpaceEvent::document_added(space, other, "/one"),
            SpaceEvent::document_added(space, one, "/two"),
            content(space, one, "h1"),
            content(space, other, "h2"),
            content(space, "x", "h1"),
            SpaceEvent::render_failed(space, one, "no ink"),
            SpaceEvent::render_failed(space, "x", "no ink"),
            SpaceEvent::render_started(space, other),
            SpaceEvent::render_started(space, "x"),
            SpaceEvent::sync_started(space, "pull"),
            SpaceEvent::sync_conflict(space, one, "l", "r"),
            SpaceEvent::sync_conflict(space, "x", "l", "r"),
            content(space, "x", "h2"),
            SpaceEvent::cache_invalidated(space, ids, "moved"),
            SpaceEvent::cache_invalidated(space, vec!["x".to_owned(); 2], ABSENT),
            SpaceEvent::document_removed(space, "x", ABSENT),
            SpaceEvent::space_created(space, "again"),
        ]
    };
    let mut events = vec![content("t", "one", "h1")];
    events.extend(of_documents("t", ["one", "other"]));
    events.push(SpaceEvent::space_created("s", "S"));
    events.extend(of_documents("s", ["one", "other"]));
    events.push(SpaceEvent::space_deleted("s", ABSENT));
    let while_deleted = of_documents("s", ["other", "third"]);
    let creates = |event: &SpaceEvent| event.event_type() == EventType::SpaceCreated;
    events.extend(while_deleted.into_iter().filter(|event| !creates(event)));
    events.push(SpaceEvent::render_failed("s", ABSENT, "deleted"));
    events.push(SpaceEvent::space_deleted("s", ABSENT));
    events.push(SpaceEvent::space_created("s", "anew"));
    events.push(content("s", "one", "h1"));
    events.push(SpaceEvent::render_failed("s", "one", "unknown"));
    events.extend(of_documents("s", ["third", "one"]));
    events.push(SpaceEvent::document_removed("s", "one", ABSENT));
    events.push(content("s", "one", "h2"));
    events.push(SpaceEvent::render_completed("t", ABSENT, ABSENT));
    events.push(SpaceEvent::sync_started("t", ABSENT));
    events
}

fn presence(ids: &'static [&'static str]) -> impl Strategy<Value = Presence> {
    prop_oneof![
        Just(Presence::Absent),
        Just(Presence::Null),
        prop::sample::select(ids).prop_map(Presence::from),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_i64..3).prop_map(Value::from),
        Just(Value::from(u64::MAX)),
        Just(Value::from(vec![Value::Null, Value::from("x")])),
        Just(Value::from(object([("b", Value::Null), ("a", Value::from("\n\"\u{e9}"))]))),
    ]
}

fn objects() -> impl Strategy<Value = Object> {
    let key = prop::sample::select(&["name", "a", "b"][..]);
    let value = prop_oneof![values(), Just(Value::from("renamed"))];
    prop::collection::vec((key, value), 0..3).prop_map(|entries| entries.into_iter().collect())
}

/// An event of an application's own, with a tag.
pub fn application(space_id: &str, label: &str, payload: Object) -> SpaceEvent {
    let name = format!("com.example.{label}");
    SpaceEvent::application(space_id, name, payload).unwrap().with_tags([label])
}

/// Events of few spaces, documents and paths, so that they meet.
pub fn events(
    count: impl Into<prop::collection::SizeRange>,
) -> impl Strategy<Value = Vec<SpaceEvent>> {
    const DOCUMENTS: &[&str] = &["d1", "d2", "d3"];
    const PATHS: &[&str] = &["/a", "/b", ""];
    let space = || prop::sample::select(&["s", "s2", "t"][..]);
    let id = || prop::sample::select(DOCUMENTS);
    let path = || prop::sample::select(PATHS);
    let hash = || presence(&["h1", "h2"]);
    let name = || prop::sample::select(&["one", "two"][..]);
    let of_space = prop_oneof![
        3 => (space(), name()).prop_map(|(s, n)| SpaceEvent::space_created(s, n)),
        2 => (space(), objects()).prop_map(|(s, c)| SpaceEvent::space_updated(s, c)),
        1 => (space(), hash()).prop_map(|(s, n)| SpaceEvent::space_deleted(s, n)),
        1 => space().prop_map(SpaceEvent::space_activated),
        1 => space().prop_map(SpaceEvent::space_archived),
        3 => (space(), name(), values()).prop_map(|(s, n, v)| SpaceEvent::variable_set(s, n, v)),
        1 => (space(), name()).prop_map(|(s, n)| SpaceEvent::variable_deleted(s, n)),
        1 => (space(), hash()).prop_map(|(s, d)| SpaceEvent::sync_started(s, d)),
        1 => space().prop_map(SpaceEvent::sync_completed),
        2 => (space(), name(), objects()).prop_map(|(s, n, payload)| application(s, n, payload)),
    ];
    let of_document = prop_oneof![
        8 => (space(), id(), path()).prop_map(|(s, d, p)| SpaceEvent::document_added(s, d, p)),
        2 => (space(), id(), objects()).prop_map(|(s, d, c)| SpaceEvent::document_updated(s, d, c)),
        2 => (space(), id()).prop_map(|(s, d)| SpaceEvent::document_removed(s, d, Presence::Absent)),
        2 => (space(), id(), path())
            .prop_map(|(s, d, p)| SpaceEvent::document_moved(s, d, Presence::Null, p)),
        2 => (space(), id(), hash())
            .prop_map(|(s, d, h)| SpaceEvent::document_content_changed(s, d, Presence::Null, h.as_deref().unwrap_or("h"))),
        3 => (space(), id(), path(), presence(&["cites"]))
            .prop_map(|(s, d, t, k)| SpaceEvent::reference_added(s, d, t, k)),
        1 => (space(), presence(DOCUMENTS)).prop_map(|(s, d)| SpaceEvent::reference_cleared(s, d)),
        1 => (space(), presence(DOCUMENTS)).prop_map(|(s, d)| SpaceEvent::render_started(s, d)),
        1 => (space(), presence(DOCUMENTS), hash())
            .prop_map(|(s, d, h)| SpaceEvent::render_completed(s, d, h)),
        1 => (space(), presence(DOCUMENTS), hash())
            .prop_map(|(s, d, e)| SpaceEvent::render_failed(s, d, e)),
        2 => (space(), id(), hash(), hash())
            .prop_map(|(s, d, l, r)| SpaceEvent::sync_conflict(s, d, l, r)),
        2 => (space(), prop::collection::vec(id(), 0..3)).prop_map(|(s, ids)| {
            let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
            SpaceEvent::cache_invalidated(s, ids, Presence::Absent)
        }),
    ];
    prop::collection::vec(prop_oneof![of_space, of_document], count)
}
