//! Where events come from: a log has one event of an origin.

use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, EventLog, EventOrigin, Position, RUN_EVENTS,
    RecordedEvent, SpaceEvent,
};

use crate::{LogFactory, append, append_on, assert_holds, fill, set, whole_log};

fn origin(position: u64) -> EventOrigin {
    EventOrigin { store_id: [1; 16], timeline: [2; 16], position: Position::new(position) }
}

/// An event that comes from a position of another store.
fn from(position: u64) -> SpaceEvent {
    set("s", "v", position).with_origin(origin(position))
}

#[track_caller]
fn assert_reused(outcome: Result<impl std::fmt::Debug, AppendError>, of: EventOrigin, at: u64) {
    match outcome {
        Err(AppendError::OriginReused { origin, position }) => {
            assert_eq!((origin, position), (of, Position::new(at)));
        }
        other => panic!("expected a reused origin, not {other:?}"),
    }
}

#[track_caller]
fn assert_twice(outcome: Result<impl std::fmt::Debug, AppendError>, of: EventOrigin) {
    match outcome {
        Err(AppendError::DuplicateOrigin { origin }) => assert_eq!(origin, of),
        other => panic!("expected an origin twice, not {other:?}"),
    }
}

/// Another event of an origin is refused, whatever the condition and whatever is beside it.
pub fn stores_an_origin_once_whatever_the_condition(factory: &impl LogFactory) {
    let log = factory.open();
    fill(&*log, "s", 2);
    append(&*log, &[from(1), from(2), from(3)]);
    for condition in [
        AppendCondition::none(),
        AppendCondition::exists("s"),
        AppendCondition::no_space("t"),
        AppendCondition::exists("nowhere"),
    ] {
        assert_reused(append_on(&*log, &[from(2)], condition.clone()), origin(2), 4);
        let among = [set("s", "v", 9), from(7), from(3), from(1)];
        assert_reused(append_on(&*log, &among, condition), origin(3), 5);
    }
    assert_eq!(log.head(), Position::new(5));
    // Every part of an origin counts.
    let elsewhere = [
        EventOrigin { store_id: [3; 16], ..origin(1) },
        EventOrigin { timeline: [3; 16], ..origin(1) },
        EventOrigin { position: Position::new(u64::MAX), ..origin(1) },
    ];
    let events = elsewhere.map(|origin| set("s", "v", 1).with_origin(origin));
    append(&*log, &events);
    for (of, at) in elsewhere.into_iter().zip(6..) {
        let other = set("t", "v", 1).with_origin(of);
        assert_reused(append_on(&*log, &[other], AppendCondition::none()), of, at);
    }
}

/// The event that has the origin is answered as before, whatever origin it is said to have now.
pub fn answers_a_retry_whatever_its_origin(factory: &impl LogFactory) {
    let log = factory.open();
    let events = [from(1), set("s", "v", 2), from(3)];
    let receipt = append(&*log, &events);
    let mut moved = events.clone();
    for origins in [
        [Some(origin(1)), None, Some(origin(3))],
        [None, None, None],
        [Some(origin(3)), Some(origin(1)), Some(origin(8))],
        [Some(origin(1)), Some(origin(1)), Some(origin(1))],
    ] {
        for (event, origin) in moved.iter_mut().zip(origins) {
            event.origin = origin;
        }
        assert_eq!(append(&*log, &moved), receipt);
    }
    assert_holds(&*log, &events);
    // What a retry has said is nobody's: the log has not taken it.
    append(&*log, &[from(8)]);
    // An id is looked for first.
    let mut other = from(8).with_event_id(events[1].event_id);
    let refused = append_on(&*log, &[other.clone()], AppendCondition::none());
    assert!(matches!(refused, Err(AppendError::EventIdReused { .. })), "{refused:?}");
    other.event_id = spacefold_event_core::EventId::new();
    assert_reused(append_on(&*log, &[other], AppendCondition::none()), origin(8), 4);
}

/// Two events of one append have not the same origin, wherever they stand in it.
pub fn refuses_an_origin_twice_in_one_append(factory: &impl LogFactory) {
    let log = factory.open();
    let far = (0..RUN_EVENTS as u64 + 20).map(|position| from(position + 1));
    let mut far: Vec<SpaceEvent> = far.collect();
    far.push(from(3));
    for (events, of) in [(vec![from(5), from(5)], 5), (far, 3)] {
        let refused = append_on(&*log, &events, AppendCondition::exists("nowhere"));
        assert_twice(refused, origin(of));
    }
    assert_eq!(log.head(), Position::START);
    append(&*log, &[from(5), from(3)]);
}

/// Events that were handed over before count, durable or not.
pub fn decides_on_origins_that_were_handed_over(factory: &impl LogFactory) {
    let log = factory.open();
    let submit = |event: SpaceEvent| log.submit(&AppendRequest::new(&[event])).unwrap();
    for round in 0..20_u64 {
        let (first, second) = (submit(from(round + 1)), submit(from(round + 1)));
        let found = log.find_origins(&[origin(round + 1), origin(500)]).unwrap();
        assert_eq!(found[1], None);
        let position = first.wait().unwrap().last_position();
        assert_eq!(position, Position::new(round + 1));
        assert_reused(second.wait(), origin(round + 1), round + 1);
        let found = log.find_origins(&[origin(round + 1), origin(1)]).unwrap();
        assert_eq!(found, [Some(position), Some(Position::new(1))]);
    }
    assert_eq!(log.find_origins(&[]).unwrap(), []);
}

/// What is taken as it was recorded keeps to one event of an origin too.
pub fn ingests_an_origin_once(factory: &impl LogFactory) {
    let log = factory.open();
    let recorded = |position: u64, event: SpaceEvent| RecordedEvent {
        event,
        position: Position::new(position),
        revision: spacefold_event_core::Revision::new(position),
        recorded_at: crate::second(0),
    };
    let records: Vec<RecordedEvent> = (1..=20).map(|at| recorded(at, from(at + 100))).collect();
    log.ingest(&records).unwrap();
    // They are there, as they are.
    assert_eq!(log.ingest(&records[7..]).unwrap().skipped(), 13);
    let next = |events: [SpaceEvent; 3]| (21..).zip(events).map(|(at, e)| recorded(at, e));
    let reused: Vec<RecordedEvent> = next([from(1), from(120), from(101)]).collect();
    assert_reused(log.ingest(&reused), origin(120), 20);
    let both = [&records[19..], &reused].concat();
    assert_reused(log.ingest(&both), origin(120), 20);
    let twice: Vec<RecordedEvent> = next([from(1), from(2), from(1)]).collect();
    assert_twice(log.ingest(&twice), origin(1));
    assert_eq!(whole_log(&*log), records);
    log.ingest(&next([from(1), set("s", "v", 0), from(2)]).collect::<Vec<_>>()).unwrap();
    assert_reused(append_on(&*log, &[from(2)], AppendCondition::none()), origin(2), 23);
}

/// An origin is known after a reopen and after a kill, far beyond what is in memory.
pub fn knows_origins_over_a_reopen(factory: &impl LogFactory) {
    let log = factory.open();
    let known = |log: &dyn EventLog, origins: u64| {
        let all: Vec<EventOrigin> = (1..=origins + 1).map(origin).collect();
        let mut expected: Vec<_> = (1..=origins).map(|at| Some(Position::new(at))).collect();
        expected.push(None);
        assert_eq!(log.find_origins(&all).unwrap(), expected);
        for at in [1, 2, origins / 2, origins] {
            assert_reused(append_on(log, &[from(at)], AppendCondition::none()), origin(at), at);
        }
        assert_eq!(log.head(), Position::new(origins));
    };
    let grow = |log: &dyn EventLog, to: u64| {
        while log.head().get() < to {
            let first = log.head().get() + 1;
            append(log, &(first..=to.min(first + 99)).map(from).collect::<Vec<_>>());
        }
    };
    grow(&*log, 3_000);
    known(&*log, 3_000);
    let Some(log) = factory.crash(log) else { return };
    known(&*log, 3_000);
    grow(&*log, 3_700);
    let Some(log) = factory.reopen(log) else { return };
    known(&*log, 3_700);
    grow(&*log, 3_701);
    known(&*log, 3_701);
}
