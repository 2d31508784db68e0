//! From an append to every kind of receiver: each of the 21 types as it should be.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use spacefold::{
    Delivery, EventBus, EventType, Options, Position, SpaceEvent, Spacefold, Subscription,
    bus::{BusOptions, Handler, Priority, RetryPolicy},
    event::RecordedEvent,
    log::{AppendRequest, LogWriter},
};

use crate::{
    arbitrary::one_of_each,
    support::{cli, on_each_kind, run},
};

on_each_kind![
    each_type_reaches_every_receiver_of_a_store,
    a_handler_appends_to_the_store_that_calls_it,
    states_and_what_follows_them_come_in_one_call,
];

pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What was called for which event, in order.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<(&'static str, RecordedEvent)>>>);

impl Calls {
    fn note(&self, what: &'static str, event: &RecordedEvent) {
        self.0.lock().unwrap().push((what, event.clone()));
    }

    fn noting(&self, what: &'static str) -> impl Fn(&RecordedEvent) + Send + Sync + 'static {
        let calls = self.clone();
        move |event| calls.note(what, event)
    }

    fn of(&self, what: &str) -> Vec<RecordedEvent> {
        let calls = self.0.lock().unwrap();
        calls.iter().filter(|(by, _)| *by == what).map(|(_, event)| event.clone()).collect()
    }
}

/// Twenty-one events, one of each type, in a random order.
fn each_type() -> Vec<SpaceEvent> {
    one_of_each().new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

/// Registers handlers of every kind, one of which fails.
pub(crate) fn register(bus: &EventBus, calls: &Calls) {
    bus.on_any(Priority::LOW, calls.noting("any")).unwrap();
    for event_type in EventType::CORE {
        bus.on(event_type, Priority::NORMAL, calls.noting("typed")).unwrap();
    }
    bus.on("com.example.*", Priority::NORMAL, calls.noting("typed")).unwrap();
    bus.on_any(Priority::HIGH, calls.noting("early")).unwrap();
    let noted = calls.clone();
    let awaited = Handler::new_async(move |event| {
        let noted = noted.clone();
        async move { noted.note("async", &event) }
    });
    bus.register(awaited.priority(Priority::new(50))).unwrap();
    let noted = calls.clone();
    let failing = Handler::new(move |event| {
        noted.note("failing", event);
        Err::<(), _>("always")
    });
    bus.register(failing.named("failing").retry(RetryPolicy::NEVER)).unwrap();
    bus.once(EventType::DocumentAdded, Priority::NORMAL, calls.noting("once")).unwrap();
}

/// What every receiver must have had, after the events `expected`.
pub(crate) fn check(bus: &EventBus, calls: &Calls, expected: &[RecordedEvent]) {
    for what in ["any", "typed", "early", "async", "failing"] {
        let seen = calls.of(what);
        assert_eq!(seen.len(), expected.len(), "{what}");
        for (seen, expected) in seen.iter().zip(expected) {
            assert_eq!(seen, expected, "{what}");
        }
    }
    let once = expected.iter().find(|e| e.event.event_type() == EventType::DocumentAdded);
    assert_eq!(calls.of("once"), once.cloned().into_iter().collect::<Vec<_>>());
    // The handlers of each event in their order.
    let names: Vec<&str> = calls.0.lock().unwrap().iter().map(|(what, _)| *what).collect();
    let per_event = names.split_inclusive(|what| *what == "any");
    for names in per_event {
        let names: Vec<&str> = names.iter().copied().filter(|what| *what != "once").collect();
        assert_eq!(names, ["early", "async", "typed", "failing", "any"]);
    }
    let parked: Vec<(String, Position)> =
        bus.parked().into_iter().map(|parked| (parked.handler, parked.position)).collect();
    let all: Vec<(String, Position)> =
        expected.iter().map(|event| ("failing".to_owned(), event.position)).collect();
    assert_eq!(parked, all);
    let history: Vec<RecordedEvent> =
        bus.history().iter().map(|event| RecordedEvent::clone(event)).collect();
    assert_eq!(history, expected);
}

fn each_type_reaches_every_receiver_of_a_store(options: &Options) {
    let spaces = options.clone().bus(BusOptions::new().history(100)).open().unwrap();
    let calls = Calls::default();
    register(spaces.bus(), &calls);
    let mut early = spaces.subscribe(Subscription::from_now()).unwrap().into_iter();
    assert!(matches!(early.next(), Some(Ok(Delivery::CaughtUp { .. }))));
    let events = each_type();
    let types: BTreeSet<u8> = events.iter().map(|event| event.event_type().code()).collect();
    assert_eq!(types.len(), 22);
    let (alone, together) = events.split_at(5);
    for event in alone {
        spaces.append([event.clone()]).unwrap();
    }
    let head = spaces.append(together).unwrap().last_position();
    assert_eq!(spaces.bus().wait_handled(head, LONG).unwrap(), head);

    let committed = conformance::whole_log(spaces.log());
    let sent: Vec<&SpaceEvent> = committed.iter().map(|recorded| &recorded.event).collect();
    assert_eq!(sent, events.iter().collect::<Vec<_>>());
    check(spaces.bus(), &calls, &committed);
    let received = |items: spacefold::subscribe::FeedItems| -> Vec<RecordedEvent> {
        let events = items.filter_map(|item| match item.unwrap() {
            Delivery::Events(event) => Some(event),
            _ => None,
        });
        events.take(22).collect()
    };
    let late = spaces.subscribe(Subscription::from_start()).unwrap().into_iter();
    assert_eq!(received(early), committed);
    assert_eq!(received(late), committed);
    for event_type in EventType::CORE {
        let typed = Subscription::from_start().types([event_type]);
        let mut items = spaces.subscribe(typed).unwrap().into_iter();
        let Some(Ok(Delivery::Events(event))) = items.next() else { panic!("{event_type}") };
        assert_eq!(event.event.event_type(), event_type);
        assert!(matches!(items.next(), Some(Ok(Delivery::CaughtUp { .. }))), "{event_type}");
    }
    spaces.close().unwrap();
}

#[test]
fn each_type_reaches_every_handler_of_a_bus_without_a_store() {
    let bus = EventBus::with_options(BusOptions::new().history(100));
    let calls = Calls::default();
    register(&bus, &calls);
    let events = each_type();
    for event in &events {
        bus.publish(event.clone()).unwrap();
    }
    let published = calls.of("early");
    let sent: Vec<&SpaceEvent> = published.iter().map(|recorded| &recorded.event).collect();
    assert_eq!(sent, events.iter().collect::<Vec<_>>());
    assert!(published.iter().all(|recorded| recorded.position == Position::START));
    check(&bus, &calls, &published);
}

#[test]
fn handlers_use_a_runtime_of_their_own() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_time().build().unwrap();
    let bus = EventBus::with_options(BusOptions::new().retry(RetryPolicy::NEVER));
    let calls = Calls::default();
    let (noted, handle) = (calls.clone(), runtime.handle().clone());
    bus.on_async(EventType::SpaceActivated, Priority::HIGH, move |event| {
        let noted = noted.clone();
        handle.spawn(async move {
            // Needs the timer of the runtime.
            tokio::time::sleep(Duration::from_micros(1)).await;
            noted.note("spawned", &event);
            assert_eq!(event.event.space_id, "a");
        })
    })
    .unwrap();
    for space in ["a", "b"] {
        bus.publish(SpaceEvent::space_activated(space)).unwrap();
    }
    assert_eq!(calls.of("spawned").len(), 2);
    // The panic of the task is an error of the handler.
    assert_eq!(bus.parked().len(), 1);
}

fn a_handler_appends_to_the_store_that_calls_it(options: &Options) {
    let spaces = options.open().unwrap();
    let inner = spaces.clone();
    spaces
        .bus()
        .on(EventType::SpaceCreated, Priority::NORMAL, move |event| {
            let activated = SpaceEvent::space_activated(event.event.space_id.clone());
            inner.append([activated]).map(drop)
        })
        .unwrap();
    let created = [SpaceEvent::space_created("a", "A")];
    spaces.log().append(&AppendRequest::new(&created)).unwrap();
    let both = Position::new(2);
    assert_eq!(spaces.bus().wait_handled(both, LONG).unwrap(), both);
    let snapshot = spaces.snapshot_after("a", both, LONG).unwrap();
    assert_eq!(snapshot.status().name(), "active");
    // What the handler holds is let go of, so that the store can be opened again.
    spaces.close().unwrap();
    drop(options.open().unwrap());
}

fn states_and_what_follows_them_come_in_one_call(options: &Options) {
    let spaces = options.open().unwrap();
    let events = ["a", "b", "c"].map(|id| SpaceEvent::space_created(id, id.to_uppercase()));
    spaces.append(events).unwrap();
    let subscription = Subscription::from_start().spaces(["a", "c", "nowhere"]);
    let late = spaces.snapshot_then_subscribe(subscription).unwrap();
    assert_eq!(late.position, Position::new(3));
    let names: Vec<_> = late.snapshots.iter().map(|s| s.name().unwrap().to_owned()).collect();
    assert_eq!(names, ["A", "C"]);
    assert_eq!(late.unknown, ["nowhere"]);
    let after = ["b", "c", "nowhere"].map(SpaceEvent::space_activated);
    spaces.append(after).unwrap();
    let events = late.tail.into_iter().filter_map(|item| match item.unwrap() {
        Delivery::Events(event) => Some(event.position.get()),
        _ => None,
    });
    assert_eq!(events.take(2).collect::<Vec<_>>(), [5, 6]);
    let all = spaces.snapshot_then_subscribe(Subscription::from_start()).unwrap();
    assert_eq!((all.position, all.snapshots.len()), (Position::new(6), 4));
    assert_eq!(all.unknown, [""; 0]);
    // Once it is there it is unknown no more; what is named twice is named once.
    let again = Subscription::from_start().spaces(["none", "nowhere", "a", "none", "few"]);
    assert_eq!(spaces.snapshot_then_subscribe(again).unwrap().unknown, ["few", "none"]);
}

#[test]
fn info_lists_durable_subscriptions_with_lag_and_what_is_parked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let spaces = Spacefold::open(&data).unwrap();
    let begin = Subscription::from_start();
    spaces.append([SpaceEvent::space_activated("a")]).unwrap();
    let options = BusOptions::new().retry(RetryPolicy::NEVER);
    let bus = EventBus::durable(spaces.feed(), "mailer", &begin, options).unwrap();
    bus.register(Handler::new(|_| Err::<(), _>("no network")).named("mail")).unwrap();
    bus.start().unwrap();
    assert_eq!(bus.wait_handled(Position::new(1), LONG).unwrap(), Position::new(1));
    bus.close();
    spaces.append([SpaceEvent::space_activated("a")]).unwrap();
    spaces.close().unwrap();
    let printed = run(cli(&data).args(["info", "--json"])).succeeded();
    let info: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let expected = serde_json::json!([{"name": "mailer", "position": 1, "lag": 1, "parked": 1}]);
    assert_eq!(info["subscriptions"], expected);
    let shown = run(cli(&data).arg("info")).succeeded();
    assert!(shown.contains("position 1, 1 behind, 1 parked"), "{shown}");
}
