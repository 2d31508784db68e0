//! Appending again what is stored already.

use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, EventFilter, EventId, EventLog, EventOrigin,
    Position, Revision, SpaceEvent, Value,
};

use crate::{LogFactory, append, append_on, assert_holds, fill, second, set};

#[track_caller]
fn assert_reused(
    log: &dyn EventLog,
    events: &[SpaceEvent],
    condition: AppendCondition,
    (expected_id, expected_position): (EventId, u64),
) {
    let head = log.head();
    match append_on(log, events, condition) {
        Err(AppendError::EventIdReused { id, position }) => {
            assert_eq!((id, position), (expected_id, Position::new(expected_position)));
        }
        other => panic!("expected a reused event id, not {other:?}"),
    }
    assert_eq!(log.head(), head);
}

/// The same event with another payload.
fn changed(event: &SpaceEvent) -> SpaceEvent {
    event.clone().with_extra("changed", Value::from(true)).unwrap()
}

/// With `Exact` or `NoSpace` a retry is found, however much came after.
pub fn answers_a_retry_under_an_exact_expectation(factory: &impl LogFactory) {
    let log = factory.open();
    let created = [SpaceEvent::space_created("a", "A")];
    let more = [set("a", "n", 1), set("b", "n", 1), set("a", "n", 2)];
    let no_space = AppendCondition::no_space("a");
    let exact = AppendCondition::exact("a", Revision::new(1));
    let first = append_on(&*log, &created, no_space.clone()).unwrap();
    let second = append_on(&*log, &more, exact.clone()).unwrap();
    assert_eq!(append_on(&*log, &more, exact.clone()).unwrap(), second);
    fill(&*log, "a", 5);
    fill(&*log, "c", 5);
    assert_eq!(append_on(&*log, &created, no_space).unwrap(), first);
    let again = append_on(&*log, &more, exact).unwrap();
    assert_eq!(again, second);
    assert_eq!(again.first_position(), Position::new(2));
    assert_eq!(again.last_position(), Position::new(4));
    assert_eq!(again.revision(), Revision::new(3));
    assert_eq!(log.head(), Position::new(14));
}

/// And so it is without such an expectation.
pub fn answers_a_retry_under_no_expectation(factory: &impl LogFactory) {
    let log = factory.open();
    fill(&*log, "z", 3);
    let events = [set("a", "n", 1), set("b", "n", 1), set("a", "n", 2)];
    let receipt = append(&*log, &events);
    fill(&*log, "a", 4);
    assert_eq!(append(&*log, &events), receipt);
    let exists = AppendCondition::exists("a");
    assert_eq!(append_on(&*log, &events, exists).unwrap(), receipt);
    // A part of it, or the end of it with what came after, is one contiguous run too.
    let part = append(&*log, &events[1..2]);
    assert_eq!(part.first_position(), Position::new(5));
    assert_eq!(part.last_position(), Position::new(5));
    assert_eq!(part.revision(), Revision::new(1));
    assert_eq!(log.head(), Position::new(10));
}

/// A retry succeeds although the first try made its condition false.
pub fn answers_a_retry_before_it_checks_the_condition(factory: &impl LogFactory) {
    let log = factory.open();
    let events = [set("a", "n", 1)];
    let none_yet = AppendCondition::no_event_matching(EventFilter::all(), Position::START);
    let receipt = append_on(&*log, &events, none_yet.clone()).unwrap();
    assert_eq!(append_on(&*log, &events, none_yet).unwrap(), receipt);
    let never = AppendCondition::exists("nowhere");
    assert_eq!(append_on(&*log, &events, never).unwrap(), receipt);
    assert_holds(&*log, &events);
}

/// A retry is found under an expectation that the space meets now, and that other events have met
/// since.
pub fn answers_a_retry_of_long_ago_under_an_exact_expectation(factory: &impl LogFactory) {
    let log = factory.open();
    let first = [set("s", "v", 1)];
    let receipt = append(&*log, &first);
    let second = set("s", "v", 2);
    append(&*log, std::slice::from_ref(&second));
    for revision in 0..4 {
        let exact = AppendCondition::exact("s", Revision::new(revision));
        assert_eq!(append_on(&*log, &first, exact).unwrap(), receipt, "{revision}");
    }
    assert_eq!(append_on(&*log, &first, AppendCondition::no_space("s")).unwrap(), receipt);
    let [first] = first;
    assert_holds(&*log, &[first, second]);
}

/// An id is in a log once: no condition that holds lets another event have it.
pub fn stores_an_id_once_whatever_the_condition(factory: &impl LogFactory) {
    let log = factory.open();
    let stored = set("s", "v", 1);
    let id = stored.event_id;
    append(&*log, std::slice::from_ref(&stored));
    fill(&*log, "s", 3);
    let other = [changed(&stored)];
    let elsewhere = [SpaceEvent::space_created("t", "T").with_event_id(id)];
    let among = [set("s", "v", 5), other[0].clone()];
    let no_match = EventFilter::all().spaces(["nowhere"]);
    for condition in [
        AppendCondition::exact("s", Revision::new(4)),
        AppendCondition::no_space("t"),
        AppendCondition::exists("s"),
        AppendCondition::no_event_matching(no_match, Position::START),
        AppendCondition::exact("s", Revision::new(9)),
    ] {
        for events in [&other[..], &elsewhere, &among] {
            assert_reused(&*log, events, condition.clone(), (id, 1));
        }
    }
}

/// An id that is stored with other content is refused, whatever differs.
pub fn refuses_an_id_with_other_content(factory: &impl LogFactory) {
    let log = factory.open();
    fill(&*log, "z", 1);
    let stored = set("a", "n", 1).with_source("s");
    let id = stored.event_id;
    append(&*log, std::slice::from_ref(&stored));
    let none = AppendCondition::none;
    let mut elsewhere = stored.clone();
    elsewhere.space_id = "b".to_owned();
    let mut sourceless = stored.clone();
    sourceless.source = None;
    for other in [
        changed(&stored),
        set("a", "n", 2).with_event_id(id),
        SpaceEvent::space_activated("a").with_event_id(id),
        stored.clone().with_correlation_id("c"),
        stored.clone().with_timestamp(crate::second(0)),
        elsewhere,
        sourceless,
    ] {
        assert_reused(&*log, std::slice::from_ref(&other), none(), (id, 2));
        assert_reused(&*log, &[set("a", "n", 7), other], none(), (id, 2));
    }
    // Whatever the condition.
    let exact = AppendCondition::no_space("a");
    assert_reused(&*log, &[changed(&stored)], exact, (id, 2));
    assert_eq!(log.head(), Position::new(2));
}

/// Events that are stored, but not in this order or not next to each other, are no retry.
pub fn refuses_a_retry_of_another_run(factory: &impl LogFactory) {
    let log = factory.open();
    let [one, two, three] = [set("a", "n", 1), set("a", "n", 2), set("a", "n", 3)];
    append(&*log, &[one.clone(), two.clone()]);
    append(&*log, &[set("b", "n", 0)]);
    append(&*log, std::slice::from_ref(&three));
    let none = AppendCondition::none;
    let fresh = set("a", "n", 4);
    let swapped = [two.clone(), one.clone()];
    assert_reused(&*log, &swapped, none(), (two.event_id, 2));
    let longer = [one.clone(), two.clone(), fresh.clone()];
    assert_reused(&*log, &longer, none(), (one.event_id, 1));
    let earlier = [fresh.clone(), one.clone()];
    assert_reused(&*log, &earlier, none(), (one.event_id, 1));
    let apart = [two.clone(), three.clone()];
    assert_reused(&*log, &apart, none(), (two.event_id, 2));
    let past_the_end = [three.clone(), fresh];
    assert_reused(&*log, &past_the_end, none(), (three.event_id, 4));
    let exact = AppendCondition::no_space("a");
    assert_reused(&*log, &longer, exact, (one.event_id, 1));
    assert_eq!(log.head(), Position::new(4));
}

/// An id twice in one append is refused before anything is looked up.
pub fn refuses_an_id_twice_in_one_append(factory: &impl LogFactory) {
    let log = factory.open();
    let event = set("a", "n", 1);
    let expected = event.event_id;
    for events in [[event.clone(), event.clone()], [event.clone(), changed(&event)]] {
        match append_on(&*log, &events, AppendCondition::exists("nowhere")) {
            Err(AppendError::DuplicateEventId { id }) => assert_eq!(id, expected),
            other => panic!("expected a duplicate event id, not {other:?}"),
        }
    }
    assert_eq!(log.head(), Position::START);
    append(&*log, &[event]);
}

/// A time that was filled in may be another one the next time; one that was given counts.
pub fn answers_a_retry_whose_time_is_filled_in_anew(factory: &impl LogFactory) {
    let log = factory.open();
    let event = set("a", "n", 1);
    let filled_in = |time| [event.clone().with_filled_in_timestamp(second(time))];
    let given = |time| [event.clone().with_timestamp(second(time))];
    let first = append(&*log, &filled_in(1)).last_position();
    assert_eq!(append(&*log, &filled_in(2)).last_position(), first);
    assert_eq!(append(&*log, &given(1)).last_position(), first);
    assert_reused(&*log, &given(2), AppendCondition::none(), (event.event_id, 1));
    assert_holds(&*log, &filled_in(1));

    // Of many events in one append every seventh says when it happened.
    let events: Vec<SpaceEvent> = (0..1_200).map(|n| set("b", "n", n)).collect();
    let at = |time, other| -> Vec<SpaceEvent> {
        let has_own = |place: usize| place % 7 == 3;
        let dated = |(place, event): (usize, &SpaceEvent)| match has_own(place) {
            true => event.clone().with_timestamp(second(if place == other { 9 } else { 1 })),
            false => event.clone().with_filled_in_timestamp(second(time)),
        };
        events.iter().enumerate().map(dated).collect()
    };
    let none = usize::MAX;
    let first = append(&*log, &at(1, none));
    assert_eq!(append(&*log, &at(2, none)).first_position(), first.first_position());
    for other in [3, 514, 1_018] {
        let position = 2 + u64::try_from(other).unwrap();
        let reused = (events[other].event_id, position);
        assert_reused(&*log, &at(2, other), AppendCondition::none(), reused);
    }
}

/// Tags are what a caller says too; where an event comes from does not count.
pub fn compares_tags_and_passes_over_origins(factory: &impl LogFactory) {
    let log = factory.open();
    let event = set("a", "n", 1).with_tags(["x", "y"]);
    append(&*log, std::slice::from_ref(&event));
    let position = Position::new(9);
    let origin = EventOrigin { store_id: [1; 16], timeline: [2; 16], position };
    let receipt = append(&*log, &[event.clone().with_origin(origin)]);
    assert_eq!(receipt.last_position(), Position::new(1));
    for tags in [vec!["x"], vec!["y", "x"], vec![]] {
        let other = event.clone().with_tags(tags);
        assert_reused(&*log, &[other], AppendCondition::none(), (event.event_id, 1));
    }
    assert_holds(&*log, &[event]);
}

/// Of new events none may be stored, not even as it is, and whatever the condition.
pub fn refuses_new_events_that_are_stored(factory: &impl LogFactory) {
    let log = factory.open();
    fill(&*log, "z", 1);
    let events = [set("a", "n", 1), set("a", "n", 2)];
    let new = |events| log.append(&AppendRequest::new(events).of_new_events());
    assert_eq!(new(&events).unwrap().first_position(), Position::new(2));
    let first = events[0].event_id;
    for again in [&events[..], &events[..1]] {
        let unmet = AppendRequest::new(again).of_new_events().on(AppendCondition::no_space("a"));
        for answer in [new(again), log.append(&unmet)] {
            match answer {
                Err(AppendError::EventIdReused { id, position }) => {
                    assert_eq!((id, position), (first, Position::new(2)));
                }
                other => panic!("expected a reused event id, not {other:?}"),
            }
        }
    }
    assert_eq!(log.head(), Position::new(3));
    assert_eq!(append(&*log, &events).last_position(), Position::new(3));
}
