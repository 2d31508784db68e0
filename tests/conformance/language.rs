//! What programs say beyond the core types: events of their own, tags, origins.

use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, COMMAND_UNCHANGED, EventFilter, EventLog,
    EventOrigin, EventQuery, EventType, LimitExceeded, MAX_TAG_BYTES, MAX_TAGS, Object, Payload,
    Position, ReadRequest, SpaceEvent, TypePattern, Value,
};

use crate::{LogFactory, append, append_on, assert_holds, read_all, whole_log};

fn own(space_id: &str, name: &str) -> SpaceEvent {
    let payload = [("amount", Value::from(3)), ("document_id", Value::from("d"))];
    SpaceEvent::application(space_id, name, payload.into_iter().collect()).unwrap()
}

fn tagged(space_id: &str, tags: &[&str]) -> SpaceEvent {
    SpaceEvent::space_activated(space_id).with_tags(tags.iter().copied())
}

fn origin(store: u8, position: u64) -> EventOrigin {
    let position = Position::new(position);
    EventOrigin { store_id: [store; 16], timeline: [store ^ 0xff; 16], position }
}

fn pattern(text: &str) -> TypePattern {
    text.parse().unwrap()
}

/// The positions of what passes.
#[track_caller]
fn positions(log: &dyn EventLog, query: impl Into<EventQuery>) -> Vec<u64> {
    let read = ReadRequest::from(Position::new(1)).matching(query);
    read_all(log, &read).into_iter().map(|event| event.position.get()).collect()
}

/// Events of an application's own, tags and origins stand among core events, and read back as they
/// were, also after a reopen.
pub fn keeps_events_of_ones_own_tags_and_origins(factory: &impl LogFactory) {
    let log = factory.open();
    let tags: Vec<String> = (0..MAX_TAGS).map(|n| format!("tag:{n}")).collect();
    let mut all = vec![
        own("a", "com.example.comment.added"),
        SpaceEvent::space_created("a", "A").with_tags(["b", "a"]),
        own("b", "billing:Invoice.paid").with_tags(tags).with_origin(origin(1, 7)),
        SpaceEvent::space_activated("b").with_origin(origin(2, u64::MAX)),
    ];
    append(&*log, &all);
    for event in [own("a", "com.example.x").with_source("s"), SpaceEvent::space_activated("a")] {
        append(&*log, std::slice::from_ref(&event));
        all.push(event);
    }
    assert_holds(&*log, &all);
    assert_eq!(log.revision("a").unwrap().get(), 4);
    if let Some(log) = factory.reopen(log) {
        assert_holds(&*log, &all);
    }
}

/// Filters select by names and their begins, by tags, and by where events come from; queries are an OR
/// of filters.
pub fn reads_by_names_tags_and_origins(factory: &impl LogFactory) {
    let log = factory.open();
    append(
        &*log,
        &[
            own("a", "com.example.paid"),
            own("b", "com.example.sent").with_tags(["x", "y"]),
            own("a", "com.other.paid").with_tags(["y"]).with_origin(origin(1, 1)),
            tagged("a", &["x"]).with_origin(origin(2, 1)),
            SpaceEvent::space_created("c", "C"),
        ],
    );
    let all = EventFilter::all;
    let log = &*log;
    assert_eq!(positions(log, all().types([pattern("com.example.*")])), [1, 2]);
    assert_eq!(positions(log, all().types([pattern("com.example.paid")])), [1]);
    assert_eq!(positions(log, all().types([pattern("com.exampl.*")])), [0; 0]);
    assert_eq!(positions(log, all().types([EventType::Application])), [1, 2, 3]);
    assert_eq!(positions(log, all().types(EventType::CORE)), [4, 5]);
    assert_eq!(
        positions(log, all().types([pattern("space.*"), pattern("com.other.*")])),
        [3, 4, 5]
    );
    assert_eq!(positions(log, all().tags(["x"])), [2, 4]);
    assert_eq!(positions(log, all().tags(["y", "x"])), [2]);
    assert_eq!(positions(log, all().tags(["y"]).spaces(["a"])), [3]);
    assert_eq!(positions(log, all().tags(["xy"])), [0; 0]);
    assert_eq!(positions(log, all().not_from([1; 16])), [1, 2, 4, 5]);
    assert_eq!(positions(log, all().not_from([1; 16]).not_from([2; 16])), [1, 2, 5]);
    assert_eq!(positions(log, all().document("d")), [0; 0], "no key of theirs is known");
    let created = all().types([EventType::SpaceCreated]);
    let both = EventQuery::any_of([all().tags(["x"]), created]);
    assert_eq!(positions(log, both), [2, 4, 5]);
    assert_eq!(
        positions(log, EventQuery::any_of([all().tags(["x"]), all().tags(["y"])])),
        [2, 3, 4]
    );
    assert_eq!(positions(log, EventQuery::any_of([])), [0; 0]);
    assert_eq!(positions(log, EventQuery::any_of([all().tags(["q"]), all()])), [1, 2, 3, 4, 5]);
}

/// Decisions over several spaces: an append on a query finds what came after.
pub fn decides_by_queries(factory: &impl LogFactory) {
    let log = factory.open();
    append(&*log, &[tagged("a", &["course:c1"]), tagged("b", &["student:s7"])]);
    let query = || {
        EventQuery::any_of([
            EventFilter::all().tags(["course:c1"]),
            EventFilter::all().tags(["student:s7"]).types([pattern("com.example.*")]),
        ])
    };
    let on = |after| AppendCondition::no_event_matching(query(), Position::new(after));
    let failed = append_on(&*log, &[tagged("a", &["course:c1"])], on(0));
    let Err(AppendError::ConditionFailed { failed }) = failed else { panic!("{failed:?}") };
    assert!(failed[0].to_string().contains("at position 1 matches"), "{failed:?}");
    append_on(&*log, &[tagged("a", &["course:c1"])], on(1)).unwrap();
    assert!(append_on(&*log, &[tagged("a", &["course:c1"])], on(2)).is_err());
    append_on(&*log, &[tagged("c", &["student:s7"])], on(3)).unwrap();
    append_on(&*log, &[own("c", "com.example.seen").with_tags(["student:s7"])], on(4)).unwrap();
    assert!(append_on(&*log, &[tagged("c", &[])], on(4)).is_err());
    assert!(!log.meets(&on(4)).unwrap() && log.meets(&on(5)).unwrap());
}

/// Both sides of the limits of tags, origins and names.
pub fn holds_the_limits_of_names_tags_and_origins(factory: &impl LogFactory) {
    let log = factory.open();
    let named = |name: &str| {
        SpaceEvent::new("a", Payload::Application { name: name.to_owned(), extra: Object::new() })
    };
    let many: Vec<String> = (0..=MAX_TAGS).map(|n| n.to_string()).collect();
    let long = "t".repeat(MAX_TAG_BYTES);
    let longest_name = format!("a.{}", "n".repeat(198));
    append(&*log, &[tagged("a", &[&long]), named(&longest_name), named("a.b")]);
    let refused: Vec<(SpaceEvent, &str)> = vec![
        (tagged("a", &[]).with_tags(many), "17 tags"),
        (tagged("a", &[&format!("{long}t")]), "201 bytes"),
        (tagged("a", &[""]), "0 bytes"),
        (tagged("a", &["x", "y", "x"]), "twice"),
        (tagged("a", &[]).with_origin(origin(1, 0)), "position"),
        (named(&format!("{longest_name}n")), "200 bytes"),
        (named("ab"), "unknown event type"),
        (named("document.eaten"), "unknown event type"),
        (named("a..b"), "empty"),
        (named("a.b\n"), "ASCII"),
    ];
    let head = log.head();
    for (event, why) in refused {
        match append_on(&*log, &[SpaceEvent::space_activated("a"), event], AppendCondition::none())
        {
            Err(AppendError::Limit { index: 1, limit }) => {
                assert!(limit.to_string().contains(why), "{limit}");
                let is_name = matches!(limit, LimitExceeded::TypeName(_));
                assert_eq!(
                    is_name,
                    ["200 bytes", "unknown event type", "empty", "ASCII"].contains(&why)
                );
            }
            other => panic!("{why}: {other:?}"),
        }
    }
    assert_eq!(log.head(), head);
}

/// What only spacefold records is refused from an append, and taken from what says that it may.
pub fn takes_reserved_types_only_where_told(factory: &impl LogFactory) {
    let log = factory.open();
    let unchanged = own("a", COMMAND_UNCHANGED);
    let events = [SpaceEvent::space_activated("a"), unchanged.clone()];
    match log.append(&AppendRequest::new(&events)) {
        Err(AppendError::ReservedType { index: 1, name }) => assert_eq!(name, COMMAND_UNCHANGED),
        other => panic!("{other:?}"),
    }
    assert_eq!(whole_log(&*log), []);
    log.append(&AppendRequest::new(&events).with_reserved_types()).unwrap();
    assert_holds(&*log, &events);
}
