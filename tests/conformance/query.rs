//! Decisions over several spaces (dynamic consistency boundaries): events with tags, queries that are
//! an OR of filters by types and tags, and appends that depend on what a query has not found.
//!
//! Modelled on what the suites of event stores with such boundaries ask for.

use std::thread;

use spacefold_event_core::{
    AppendCondition, AppendError, EventFilter, EventLog, EventQuery, FailedCondition,
    LimitExceeded, MAX_QUERY_FILTERS, MAX_TAG_BYTES, MAX_TAGS, Object, Position, ReadError,
    ReadRequest, SpaceEvent, TypePattern,
};

use crate::{LogFactory, append, append_on, read_all, set};

/// An application's event with these tags.
fn event(name: &str, tags: &[&str]) -> SpaceEvent {
    let event = SpaceEvent::application("decisions", format!("org.example.{name}"), Object::new());
    event.unwrap().with_tags(tags.iter().copied())
}

/// The events of any of these types, with all of these tags.
fn item(names: &[&str], tags: &[&str]) -> EventFilter {
    let filter = EventFilter::all().tags(tags.iter().copied());
    let pattern = |name: &&str| format!("org.example.{name}").parse::<TypePattern>().unwrap();
    match names {
        [] => filter,
        names => filter.types(names.iter().map(pattern)),
    }
}

fn any(items: &[EventFilter]) -> EventQuery {
    EventQuery::any_of(items.iter().cloned())
}

/// Positions after one of what a query selects.
#[track_caller]
fn found(log: &dyn EventLog, query: &EventQuery, after: u64) -> Vec<u64> {
    let read = ReadRequest::from(Position::new(after).next()).matching(query.clone());
    let found: Vec<u64> = read_all(log, &read).iter().map(|event| event.position.get()).collect();
    for limit in [1, 2] {
        let limited = read_all(log, &read.clone().limit(limit));
        assert!(limited.iter().map(|event| event.position.get()).eq(found.iter().copied()));
    }
    found
}

/// The position of the first match that a condition fails for.
#[track_caller]
fn refusal(log: &dyn EventLog, query: &EventQuery, after: u64) -> Option<u64> {
    let condition = AppendCondition::no_event_matching(query.clone(), Position::new(after));
    match log.failed_parts(&condition).unwrap().as_slice() {
        [] => None,
        [FailedCondition::EventMatches { position, .. }] => Some(position.get()),
        other => panic!("{other:?}"),
    }
}

/// Queries, with the positions after one that they select of the three events below.
fn queries() -> Vec<(EventQuery, u64, Vec<u64>)> {
    let types = |name| any(&[item(&[name], &[])]);
    let tags = |tags: &[&str]| any(&[item(&[], tags)]);
    let b = item(&["two"], &["tag-b"]);
    let c = item(&["three"], &["tag-c"]);
    vec![
        (EventQuery::all(), 0, vec![1, 2, 3]),
        (EventQuery::all(), 2, vec![3]),
        (EventQuery::all(), 3, vec![]),
        (any(&[]), 0, vec![]),
        (types("one"), 0, vec![1]),
        (types("one"), 1, vec![]),
        (types("none"), 0, vec![]),
        (any(&[item(&["one", "three"], &[])]), 0, vec![1, 3]),
        (any(&[item(&["*"], &[])]), 1, vec![2, 3]),
        (tags(&["tag-x"]), 0, vec![1]),
        (tags(&["tag-x"]), 1, vec![]),
        (tags(&["tag-y"]), 0, vec![]),
        (tags(&["tag-a"]), 0, vec![2, 3]),
        (tags(&["tag-a"]), 2, vec![3]),
        (tags(&["tag-a", "tag-b"]), 0, vec![2]),
        (tags(&["tag-b", "tag-c"]), 0, vec![]),
        (any(&[item(&["one"], &["tag-x"])]), 0, vec![1]),
        (any(&[item(&["one"], &["tag-y"])]), 0, vec![]),
        (any(&[item(&["two"], &["tag-x"])]), 0, vec![]),
        (any(&[item(&["two"], &["tag-a"])]), 0, vec![2]),
        (any(&[item(&["two"], &["tag-a"])]), 2, vec![]),
        (any(&[item(&[], &["tag-b"]), item(&[], &["tag-c"])]), 0, vec![2, 3]),
        (any(&[item(&[], &["tag-x"]), item(&[], &["tag-y"])]), 0, vec![1]),
        (any(&[b.clone(), c.clone()]), 0, vec![2, 3]),
        (any(&[c.clone(), b.clone()]), 0, vec![2, 3]),
        (any(&[c, b.clone(), b]), 2, vec![3]),
    ]
}

fn three() -> [SpaceEvent; 3] {
    [
        event("one", &["tag-x"]),
        event("two", &["tag-a", "tag-b"]),
        event("three", &["tag-a", "tag-c"]),
    ]
}

#[track_caller]
fn check(log: &dyn EventLog) {
    for (query, after, expected) in queries() {
        assert_eq!(found(log, &query, after), expected, "{query} after {after}");
        assert_eq!(refusal(log, &query, after), expected.first().copied(), "{query} after {after}");
    }
}

/// Types of a filter are an OR, tags an AND, filters of a query an OR; in order, whatever the order of
/// the filters.
pub fn reads_what_any_filter_of_a_query_selects(factory: &impl LogFactory) {
    let log = factory.open();
    for (query, after, _) in queries() {
        assert_eq!(found(&*log, &query, after), [] as [u64; 0], "{query}");
    }
    let [one, two, three] = three();
    append(&*log, &[one]);
    append(&*log, &[two, three]);
    check(&*log);
    if let Some(log) = factory.reopen(log) {
        check(&*log);
    }
}

/// An append on the condition that no event passes a query after a position: refused with the first
/// that does, or taken.
pub fn decides_on_what_a_query_selects(factory: &impl LogFactory) {
    let log = factory.open();
    append(&*log, &three());
    let mut taken = 3;
    for (query, after, expected) in queries() {
        // What this test appends itself passes none of the queries that fail.
        let is_of_all = query.filters().iter().any(|filter| filter.wanted_tags().is_empty());
        if is_of_all && expected.is_empty() {
            continue;
        }
        let condition = AppendCondition::no_event_matching(query.clone(), Position::new(after));
        let outcome = append_on(&*log, &[event("four", &["tag-z"])], condition);
        match (expected.first(), outcome) {
            (None, Ok(receipt)) => {
                taken += 1;
                assert_eq!(receipt.last_position().get(), taken, "{query} after {after}");
            }
            (Some(first), Err(AppendError::ConditionFailed { failed })) => {
                let [FailedCondition::EventMatches { position, .. }] = failed[..] else {
                    panic!("{failed:?}");
                };
                assert_eq!(position.get(), *first, "{query} after {after}");
            }
            (_, other) => panic!("{query} after {after}: {other:?}"),
        }
        assert_eq!(log.head().get(), taken);
    }
}

/// Among so many events that logs have most of them where their newest are not, a query finds the few
/// that have its tags, and a condition by a tag that none has holds.
pub fn finds_the_few_that_have_a_tag_among_many(factory: &impl LogFactory) {
    let log = factory.open();
    let mut tagged = Vec::new();
    for n in 0..60_u64 {
        let events = (0..500).map(|place| {
            let position = n * 500 + place + 1;
            let event = set(&format!("space-{}", position % 9), "n", position);
            match position % 2_999 {
                0 => {
                    tagged.push(position);
                    event.with_tags([format!("only-{position}"), "rare".to_owned()])
                }
                _ => event.with_tags(["often".to_owned(), format!("some-{}", position % 40)]),
            }
        });
        append(&*log, &events.collect::<Vec<_>>());
    }
    let check = |log: &dyn EventLog| {
        let rare = any(&[item(&[], &["rare"])]);
        assert_eq!(found(log, &rare, 0), tagged);
        assert_eq!(found(log, &rare, tagged[3]), tagged[4..]);
        let only = |at: usize| format!("only-{}", tagged[at]);
        let two = any(&[
            item(&[], &[&only(7), "rare"]),
            item(&[], &[&only(2)]),
            item(&[], &[&only(4), "often"]),
        ]);
        assert_eq!(found(log, &two, 0), [tagged[2], tagged[7]]);
        assert_eq!(refusal(log, &two, tagged[2]), Some(tagged[7]));
        assert_eq!(refusal(log, &two, tagged[7]), None);
        let both = any(&[item(&[], &["some-7", "often"])]);
        let expected = (1..=30_000_u64).filter(|at| at % 40 == 7 && !tagged.contains(at));
        let read = ReadRequest::from(Position::new(1)).matching(both);
        let both = read_all(log, &read).into_iter().map(|event| event.position.get());
        assert!(both.eq(expected));
        assert_eq!(refusal(log, &any(&[item(&[], &["none"])]), 0), None);
        let of_space = any(&[item(&[], &["often"]).spaces(["nowhere"])]);
        assert_eq!(refusal(log, &of_space, 0), None);
    };
    check(&*log);
    if let Some(log) = factory.reopen(log) {
        check(&*log);
        append(&*log, &[event("late", &["rare"])]);
        tagged.push(30_001);
        assert_eq!(found(&*log, &any(&[item(&[], &["rare"])]), 0), tagged);
    }
}

/// A course has so many places, and a student takes so many courses: each decision reads what has
/// either tag, and is taken on the condition that nothing of that came after. However many decide at
/// once, neither bound is passed.
pub fn holds_a_boundary_over_several_spaces(factory: &impl LogFactory) {
    const PLACES: usize = 5;
    const COURSES: usize = 2;
    let log = factory.open();
    let students = 8;
    let join = |student: usize| {
        let student_tag = format!("student:{student}");
        let mut joined = 0;
        for course in 0..3 {
            let course_tag = format!("course:{course}");
            loop {
                let boundary = any(&[
                    item(&["joined"], &[&student_tag]),
                    item(&["joined", "closed"], &[&course_tag]),
                ]);
                let head = log.durable_head();
                let read = ReadRequest::from(Position::new(1)).to(head).matching(boundary.clone());
                let seen = read_all(&*log, &read);
                let of = |tag: &String| {
                    seen.iter().filter(|event| event.event.tags.contains(tag)).count()
                };
                if of(&course_tag) >= PLACES || of(&student_tag) >= COURSES {
                    break;
                }
                let joins = SpaceEvent::application(
                    format!("course-{course}"),
                    "org.example.joined",
                    Object::new(),
                );
                let joins = joins.unwrap().with_tags([&course_tag, &student_tag]);
                let condition = AppendCondition::no_event_matching(boundary, head);
                match append_on(&*log, &[joins], condition) {
                    Ok(_) => {
                        joined += 1;
                        break;
                    }
                    Err(AppendError::ConditionFailed { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        joined
    };
    let joined: usize = thread::scope(|scope| {
        let join = &join;
        let threads: Vec<_> = (0..students).map(|n| scope.spawn(move || join(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let count = |tag: String| found(&*log, &any(&[item(&["joined"], &[&tag])]), 0).len();
    let of_courses: Vec<usize> = (0..3).map(|n| count(format!("course:{n}"))).collect();
    let of_students: Vec<usize> = (0..students).map(|n| count(format!("student:{n}"))).collect();
    assert!(of_courses.iter().all(|count| *count <= PLACES), "{of_courses:?}");
    assert!(of_students.iter().all(|count| *count <= COURSES), "{of_students:?}");
    assert_eq!(of_courses.iter().sum::<usize>(), joined);
    // More students than places tried each of the first two.
    assert_eq!(of_courses[..2], [PLACES; 2], "{of_students:?}");
}

/// A query has so many filters, and a filter asks for no tags that no event can have.
pub fn holds_the_limits_of_queries(factory: &impl LogFactory) {
    let log = factory.open();
    append(&*log, &three());
    let many = |count: usize| any(&vec![item(&[], &["tag-b"]); count]);
    let tags =
        |count: usize| any(&[EventFilter::all().tags((0..count).map(|n| format!("tag-{n}")))]);
    let long = |bytes: usize| any(&[EventFilter::all().tags(["t".repeat(bytes)])]);
    assert_eq!(found(&*log, &many(MAX_QUERY_FILTERS), 0), [2]);
    assert_eq!(found(&*log, &tags(MAX_TAGS), 0), [] as [u64; 0]);
    assert_eq!(found(&*log, &long(MAX_TAG_BYTES), 0), [] as [u64; 0]);
    let filters = MAX_QUERY_FILTERS + 1;
    for (query, expected) in [
        (many(filters), LimitExceeded::TooManyFilters { filters }),
        (tags(MAX_TAGS + 1), LimitExceeded::TooManyTags { tags: MAX_TAGS + 1 }),
        (long(MAX_TAG_BYTES + 1), LimitExceeded::TagLength { bytes: MAX_TAG_BYTES + 1 }),
        (long(0), LimitExceeded::TagLength { bytes: 0 }),
    ] {
        let is_it =
            |error: &ReadError| matches!(error, ReadError::Query(limit) if *limit == expected);
        let read = ReadRequest::from(Position::new(1)).matching(query.clone());
        assert!(log.read(&read).is_err_and(|error| is_it(&error)), "{expected}");
        let condition = AppendCondition::no_event_matching(query, Position::new(3));
        assert!(log.failed_parts(&condition).is_err_and(|error| is_it(&error)), "{expected}");
        let refused = append_on(&*log, &[set("a", "n", 1)], condition);
        assert!(
            matches!(&refused, Err(AppendError::Unreadable(error)) if is_it(error)),
            "{refused:?}"
        );
        assert_eq!(log.head(), Position::new(3));
    }
}
