//! What one more event copies of a large state.

use std::collections::HashSet;

use spacefold_event_core::{LogReader, Object, Presence, SpaceEvent, Value};

use crate::{
    SpaceState,
    testing::{fold, log_of},
};

/// Where every text and value of a state is in memory.
fn places(state: &SpaceState) -> HashSet<usize> {
    let text = |text: &str| text.as_ptr().addr();
    let mut places = HashSet::new();
    let mut object = |object: &Object| places.extend(object.keys().map(text));
    object(state.metadata());
    state.documents().iter().for_each(|(_, document)| object(document.attributes()));
    places.extend(state.documents().iter().map(|(_, document)| text(document.path())));
    places.extend(state.references().iter().map(|(_, reference)| text(&reference.target)));
    places.extend(state.variables().iter().map(|(_, value)| std::ptr::from_ref(*value).addr()));
    places.extend(state.conflicts().iter().map(|(_, c)| std::ptr::from_ref(*c).addr()));
    places.extend(state.stale_documents().into_iter().map(text));
    places
}

fn change(n: u32) -> Object {
    [(format!("key-{n}"), Value::from(n))].into_iter().collect()
}

#[test]
fn one_more_event_copies_the_same_however_much_there_is() {
    let kinds: [fn(u32) -> SpaceEvent; 8] = [
        |n| SpaceEvent::document_added("s", format!("d{n}"), format!("/{n}")),
        |n| SpaceEvent::document_updated("s", "d", change(n)),
        |n| SpaceEvent::space_updated("s", change(n)),
        |n| SpaceEvent::reference_added("s", "d", format!("/{n}"), "cites"),
        |n| SpaceEvent::variable_set("s", format!("v{n}"), n),
        |n| SpaceEvent::sync_conflict("s", format!("d{n}"), "a", "b"),
        |n| SpaceEvent::cache_invalidated("s", vec![format!("d{n}")], Presence::Absent),
        |n| SpaceEvent::document_updated("s", "nobody", change(n)),
    ];
    for (kind, event) in kinds.iter().enumerate() {
        for count in [500, 1_000, 2_000] {
            let first =
                [SpaceEvent::space_created("s", "S"), SpaceEvent::document_added("s", "d", "/")];
            let many = (0..count).map(event);
            let log = log_of(first.into_iter().chain(many).chain([event(count)]));
            let before = fold(&log, "s", log.head().get() - 1);
            let read = spacefold_event_core::ReadRequest::from(log.head());
            let page = log.read(&read).unwrap();
            let mut after = before.clone();
            page.events().for_each(|event| drop(after.apply(&event.unwrap())));
            let shared = places(&before);
            let copied = places(&after).difference(&shared).count();
            assert!(copied <= 40, "kind {kind}: {copied} of {count} were copied");
        }
    }
}

#[test]
fn one_more_event_copies_no_long_value_beside_it() {
    let text = |n: u32| {
        let long = Value::from("x".repeat(1 << 19));
        [(format!("long-{n}"), long)].into_iter().collect::<Object>()
    };
    for events in [
        [
            SpaceEvent::document_updated("s", "d", text(1)),
            SpaceEvent::document_updated("s", "d", change(1)),
        ],
        [SpaceEvent::space_updated("s", text(1)), SpaceEvent::space_updated("s", change(1))],
    ] {
        let first =
            [SpaceEvent::space_created("s", "S"), SpaceEvent::document_added("s", "d", "/")];
        let log = log_of(first.into_iter().chain(events));
        let before = fold(&log, "s", 3);
        let mut after = before.clone();
        let page = log.read(&spacefold_event_core::ReadRequest::from(log.head())).unwrap();
        page.events().for_each(|event| drop(after.apply(&event.unwrap())));
        let long = |state: &SpaceState| {
            let mut objects = vec![state.metadata().clone()];
            objects.extend(state.document("d").map(|document| document.attributes().clone()));
            let texts = objects.iter().find_map(|object| {
                object.get("long-1").and_then(Value::as_str).map(|text| text.as_ptr().addr())
            });
            texts.unwrap()
        };
        assert_eq!(long(&before), long(&after));
    }
}
