//! Ranges, filters, pages.

use spacefold_event_core::{
    AppendCondition, AppendError, EventFilter, EventId, EventLog, EventType, ExpectedRevision,
    FailedCondition, Position, RUN_EVENTS, ReadError, ReadRequest, RecordedEvent, Revision,
    SpaceEvent,
};

use crate::{LogFactory, append, append_on, events_of, fill, read_all, set, whole_log};

/// A log of 60 events in appends of different sizes: spaces `a`, `b`, `c` in turn.
fn sixty(factory: &impl LogFactory) -> Box<dyn EventLog> {
    let log = factory.open();
    let events: Vec<SpaceEvent> = (0..60)
        .map(|n| match n % 3 {
            0 => set("a", "n", n),
            1 => SpaceEvent::document_added("b", format!("d{}", n % 4), "/p"),
            _ => SpaceEvent::space_activated("c").with_source(format!("source-{}", n % 4)),
        })
        .map(|event| match event.event_type() {
            EventType::VariableSet => event.with_correlation_id("settings"),
            _ => event,
        })
        .collect();
    let mut rest = &events[..];
    for count in [1, 2, 10, 1, 30, 16] {
        let (now, later) = rest.split_at(count);
        append(&*log, now);
        rest = later;
    }
    assert!(rest.is_empty());
    log
}

fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position.get()).collect()
}

/// Both ends of a range belong to it; beyond the head there is nothing.
pub fn reads_ranges_with_both_ends(factory: &impl LogFactory) {
    let log = sixty(factory);
    let range = |from, to| {
        positions(&read_all(&*log, &ReadRequest::from(Position::new(from)).to(Position::new(to))))
    };
    for (from, to) in [(1, 60), (1, 1), (60, 60), (3, 4), (2, 14), (14, 45), (44, 60)] {
        assert_eq!(range(from, to), (from..=to).collect::<Vec<_>>(), "{from}..={to}");
    }
    assert_eq!(range(59, u64::MAX), [59, 60]);
    assert_eq!(range(0, 2), [1, 2]);
    for (from, to) in [(5, 4), (60, 1), (61, 61), (61, u64::MAX), (u64::MAX, u64::MAX), (0, 0)] {
        let page = log.read(&ReadRequest::from(Position::new(from)).to(Position::new(to))).unwrap();
        assert_eq!(positions(&events_of(&page)), [] as [u64; 0], "{from}..={to}");
    }
}

/// Spaces come sorted by id, each once, as many as are asked for.
pub fn lists_spaces_in_order(factory: &impl LogFactory) {
    let log = sixty(factory);
    let mut ids = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    for n in 0..300_u64 {
        let id = format!("s{:05}", n.wrapping_mul(7_919) % 10_000);
        append(&*log, &[set(&id, "n", n)]);
        ids.push(id);
    }
    ids.sort_unstable();
    for limit in [1, 2, 7, 64, 303, 304, usize::MAX] {
        let mut listed: Vec<String> = Vec::new();
        loop {
            let more = log.spaces_after(listed.last().map(String::as_str), limit).unwrap();
            assert!(more.len() <= limit);
            if more.is_empty() {
                break;
            }
            listed.extend(more);
        }
        assert_eq!(listed, ids, "{limit}");
    }
    assert_eq!(log.spaces_after(Some("a"), 2).unwrap(), ["b", "c"]);
    assert_eq!(log.spaces_after(Some("b0"), 1).unwrap(), ["c"], "though there is no b0");
    assert_eq!(log.spaces_after(None, 0).unwrap(), [""; 0]);
}

/// A page has at most as many events as were asked for, and says where the read goes on.
pub fn reads_in_pages_that_lead_on(factory: &impl LogFactory) {
    let log = sixty(factory);
    let every: Vec<u64> = (1..=60).collect();
    for limit in [1, 2, 3, 7, 59, 60, 61, usize::MAX] {
        let read = ReadRequest::from(Position::new(1)).limit(limit);
        assert_eq!(positions(&read_all(&*log, &read)), every, "{limit}");
        let read = read.starting_at(20).to(Position::new(41));
        let some: Vec<u64> = (20..=41).collect();
        assert_eq!(positions(&read_all(&*log, &read)), some, "{limit}");
    }
    let page = log.read(&ReadRequest::from(Position::new(1)).limit(1)).unwrap();
    assert_eq!(page.next(), Position::new(2));
    // Behind the last event the read goes on at the next one to come.
    let page = log.read(&ReadRequest::from(Position::new(60)).limit(5)).unwrap();
    assert_eq!(page.next(), Position::new(61));
    append(&*log, &[set("a", "n", 60)]);
    let page = log.read(&ReadRequest::from(page.next())).unwrap();
    assert_eq!(positions(&events_of(&page)), [61]);
}

/// A filter selects by type, space and document, each event once and in order.
pub fn reads_what_a_filter_selects(factory: &impl LogFactory) {
    let log = sixty(factory);
    let all = whole_log(&*log);
    let filters = [
        EventFilter::all(),
        EventFilter::all().types([EventType::VariableSet]),
        EventFilter::all().types([EventType::SpaceActivated, EventType::DocumentAdded]),
        EventFilter::all().types([EventType::SpaceCreated; 0]),
        EventFilter::all().spaces(["b"]),
        EventFilter::all().spaces(["a", "c", "nowhere"]),
        EventFilter::all().spaces(["nowhere"]),
        EventFilter::all().document("d1"),
        EventFilter::all().document("nothing"),
        EventFilter::all().types([EventType::DocumentAdded]).spaces(["b", "c"]).document("d3"),
        EventFilter::all().types([EventType::DocumentAdded]).spaces(["a"]),
        EventFilter::all().source("source-1"),
        EventFilter::all().source("source-9"),
        EventFilter::all().spaces(["c"]).source("source-2"),
        EventFilter::all().correlation_id("settings"),
        EventFilter::all().correlation_id("settings").source("source-1"),
    ];
    for filter in filters {
        for limit in [1, 4, 100] {
            let selected: Vec<u64> = all
                .iter()
                .filter(|event| filter.selects(&event.event))
                .map(|event| event.position.get())
                .collect();
            let read = ReadRequest::from(Position::new(1)).matching(filter.clone()).limit(limit);
            assert_eq!(positions(&read_all(&*log, &read)), selected, "{filter:?}");
            let some: Vec<u64> =
                selected.into_iter().filter(|position| (13..=43).contains(position)).collect();
            let read = read.starting_at(13).to(Position::new(43));
            assert_eq!(positions(&read_all(&*log, &read)), some, "{filter:?}");
        }
        // What was read without the filter gives the same when it is filtered then.
        let page = log.read(&ReadRequest::from(Position::new(3))).unwrap();
        for from in [1, 3, 4, 20, 60, 61].map(Position::new) {
            let matching = page.matching(from, &filter).unwrap();
            let selected = all.iter().filter(|event| {
                filter.selects(&event.event) && event.position >= from.max(Position::new(3))
            });
            let selected: Vec<u64> = selected.map(|event| event.position.get()).collect();
            assert_eq!(positions(&events_of(&matching)), selected, "{filter:?}");
            assert_eq!(matching.next(), page.next());
            let every_other: Vec<u64> = selected.iter().copied().step_by(2).collect();
            let wanted: Vec<Position> = every_other.iter().copied().map(Position::new).collect();
            assert_eq!(positions(&events_of(&matching.at_positions(&wanted))), every_other);
            let twice = matching.matching(from, &filter).unwrap();
            assert_eq!(positions(&events_of(&twice)), selected, "{filter:?}");
        }
    }
}

/// The newest revision of a space, and what stands after a position that passes a filter: what was
/// acknowledged counts.
pub fn tells_the_newest_of_a_space(factory: &impl LogFactory) {
    let log = factory.open();
    assert_eq!(log.newest_revision("a").unwrap(), Revision::NONE);
    let first_after = |filter: EventFilter, after: Position| {
        let condition = AppendCondition::no_event_matching(filter, after);
        let failed = log.failed_parts(&condition).unwrap();
        failed.into_iter().next().map(|part| match part {
            FailedCondition::EventMatches { after: asked, position, .. } if asked == after => {
                position
            }
            other => panic!("{other}"),
        })
    };
    assert_eq!(first_after(EventFilter::all(), Position::START), None);
    for n in 1..=3 {
        append(&*log, &[SpaceEvent::space_activated("a"), SpaceEvent::space_archived("b")]);
        assert_eq!(log.newest_revision("a").unwrap(), Revision::new(n));
        assert_eq!(log.newest_revision("c").unwrap(), Revision::NONE);
        let spaces = |space: &str| EventFilter::all().spaces([space]);
        let (a, b) = (Position::new(2 * n - 1), Position::new(2 * n));
        for (space, after, expected) in [
            ("a", Position::START, Some(Position::new(1))),
            ("a", a.previous(), Some(a)),
            ("a", a, None),
            ("b", a, Some(b)),
            ("b", b, None),
            ("c", Position::START, None),
        ] {
            assert_eq!(first_after(spaces(space), after), expected, "{space} after {after}");
        }
    }
}

/// Where the event with an id is, and whether a condition would hold: what was acknowledged counts.
pub fn finds_events_and_answers_conditions(factory: &impl LogFactory) {
    let log = factory.open();
    let id = EventId::new();
    assert_eq!(log.find_event(id).unwrap(), None);
    assert!(log.meets(&AppendCondition::none()).unwrap());
    append(&*log, &[set("a", "n", 1), set("b", "n", 2).with_event_id(id), set("a", "n", 3)]);
    assert_eq!(log.find_event(id).unwrap(), Some(Position::new(2)));
    assert_eq!(log.find_event(EventId::new()).unwrap(), None);
    let (a, b) = (EventFilter::all().spaces(["a"]), EventFilter::all().spaces(["b"]));
    let exact = |revision| AppendCondition::exact("a", Revision::new(revision));
    let after = |filter: &EventFilter, position| {
        AppendCondition::no_event_matching(filter.clone(), Position::new(position))
    };
    for (condition, expected) in [
        (AppendCondition::no_space("a"), false),
        (AppendCondition::no_space("c"), true),
        (AppendCondition::exists("c"), false),
        (exact(1), false),
        (exact(2), true),
        (exact(2).and_expected("c", ExpectedRevision::Exists), false),
        (after(&a, 2), false),
        (after(&a, 3), true),
        (after(&b, 1), false),
        (after(&b, 2), true),
        (exact(2).and_no_event_matching(b.clone(), Position::new(1)), false),
        (after(&b, 2).and_no_event_matching(a.clone(), Position::new(1)), false),
    ] {
        assert_eq!(log.meets(&condition).unwrap(), expected, "{condition:?}");
        let found = log.failed_parts(&condition).unwrap();
        // The answer of an append, part by part.
        match append_on(&*log, &[set("d", "n", 1)], condition.clone()) {
            Ok(_) => assert!(expected && found.is_empty(), "{condition:?}: {found:?}"),
            Err(AppendError::ConditionFailed { failed }) => {
                assert!(!expected, "{condition:?}: {failed:?}");
                assert_eq!(found, failed, "{condition:?}");
            }
            Err(error) => panic!("{condition:?}: {error}"),
        }
    }
}

/// Where nothing matches for long, a read still ends, and finds what matches at the end.
pub fn leads_on_over_pages_without_a_match(factory: &impl LogFactory) {
    let log = factory.open();
    append(&*log, &[SpaceEvent::space_created("rare", "Rare")]);
    for n in 0..20 {
        let events: Vec<SpaceEvent> = (0..200).map(|m| set("common", "n", n * 200 + m)).collect();
        append(&*log, &events);
    }
    append(&*log, &[SpaceEvent::space_archived("rare")]);
    for filter in [
        EventFilter::all().spaces(["rare"]),
        EventFilter::all().types([EventType::SpaceCreated, EventType::SpaceArchived]),
    ] {
        let read = ReadRequest::from(Position::new(1)).matching(filter).limit(1);
        assert_eq!(positions(&read_all(&*log, &read)), [1, 4_002]);
    }
    let nothing = EventFilter::all().types([EventType::SyncStarted]);
    let read = ReadRequest::from(Position::new(1)).matching(nothing);
    assert!(read_all(&*log, &read).is_empty());
}

/// A space is read by revision, in pages; an empty page means that there is no more.
pub fn reads_a_space_by_revision(factory: &impl LogFactory) {
    let log = sixty(factory);
    let revisions = |from: u64, limit| {
        let page = log.read_space("b", Revision::new(from), limit).unwrap();
        let events = events_of(&page);
        assert!(events.iter().all(|event| event.event.space_id == "b"));
        assert!(events.len() <= limit);
        events.iter().map(|event| event.revision.get()).collect::<Vec<_>>()
    };
    for limit in [1, 3, 19, 20, 100] {
        for first in [0, 1, 2, 20] {
            let mut read = Vec::new();
            let mut from = first;
            loop {
                let page = revisions(from, limit);
                let Some(last) = page.last() else { break };
                from = last + 1;
                read.extend(page);
            }
            let expected: Vec<u64> = (first.max(1)..=20).collect();
            assert_eq!(read, expected, "from {first} by {limit}");
        }
    }
    assert!(revisions(21, 5).is_empty());
    assert!(revisions(u64::MAX, 5).is_empty());
    let page = log.read_space("nowhere", Revision::new(1), 5).unwrap();
    assert!(page.is_empty());
    append(&*log, &[SpaceEvent::space_archived("b")]);
    assert_eq!(revisions(21, 5), [21]);
}

/// Every question has an answer before there is an event.
pub fn reads_nothing_from_an_empty_log(factory: &impl LogFactory) {
    let log = factory.open();
    let page = log.read(&ReadRequest::from(Position::new(1))).unwrap();
    assert!(page.is_empty());
    assert_eq!(page.next(), Position::new(1));
    assert!(log.read_space("a", Revision::new(1), 5).unwrap().is_empty());
    assert_eq!(log.revision("a").unwrap(), Revision::NONE);
    assert!(whole_log(&*log).is_empty());
}

/// What a page holds does not change while the log goes on.
pub fn keeps_a_page_while_the_log_goes_on(factory: &impl LogFactory) {
    let log = sixty(factory);
    let page = log.read(&ReadRequest::from(Position::new(1))).unwrap();
    let before = events_of(&page);
    fill(&*log, "a", 10);
    assert_eq!(events_of(&page), before);
    drop(log);
    assert_eq!(events_of(&page), before);
}

/// A read from another position.
trait StartingAt {
    fn starting_at(&self, from: u64) -> ReadRequest;
}

impl StartingAt for ReadRequest {
    fn starting_at(&self, from: u64) -> ReadRequest {
        ReadRequest { from: Position::new(from), ..self.clone() }
    }
}

/// A page of nothing would leave whoever reads on where he is, for ever: it is refused, whatever
/// else is asked for, and whether there is something to read or not.
pub fn refuses_pages_of_nothing(factory: &impl LogFactory) {
    let log = factory.open();
    for _ in 0..2 {
        for from in [0, 1, 2, 61, u64::MAX] {
            let read = ReadRequest::from(Position::new(from));
            let of_a = read.clone().matching(EventFilter::all().spaces(["a"]));
            for read in [read.clone().limit(0), read.looking_at(0), of_a.limit(0)] {
                let refused = log.read(&read);
                assert!(matches!(refused, Err(ReadError::NothingAsked)), "{read:?}: {refused:?}");
            }
            for space_id in ["a", "nowhere"] {
                let refused = log.read_space(space_id, Revision::new(from), 0);
                assert!(matches!(refused, Err(ReadError::NothingAsked)), "{space_id}: {refused:?}");
            }
        }
        fill(&*log, "a", 3);
    }
}

/// Where nothing passes the filter, and nothing but a look at each event tells, a page is given
/// after so many were looked at, and the run in which that ends.
pub fn looks_at_no_more_than_it_is_told(factory: &impl LogFactory) {
    let log = factory.open();
    for _ in 0..30 {
        append(&*log, &[0; 200].map(|n| set("a", "n", n).with_source("here")));
    }
    let head = log.durable_head();
    let filter = EventFilter::all().source("elsewhere");
    for look in [1, 700, 3_000, usize::MAX] {
        let read = ReadRequest::from(Position::new(1)).matching(filter.clone()).looking_at(look);
        let mut next = Position::new(1);
        for page in log.pages(read) {
            let page = page.unwrap();
            assert!(page.is_empty());
            let looked_at = usize::try_from(page.next().since(next)).unwrap();
            assert!(looked_at < look.saturating_add(RUN_EVENTS), "{looked_at} of {look}");
            next = page.next();
        }
        assert_eq!(next, head.next());
    }
}
