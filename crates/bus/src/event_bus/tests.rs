use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::Duration,
};

use spacefold_event_core::{AppendRequest, EventType, LogWriter, MemoryLog, Position, SpaceEvent};

use super::*;
use crate::{
    Delivery, RetryPolicy, SubscribeError,
    place_store::{PlaceFile, PlaceStore},
    testing::{activate, drain},
};

const LONG: Duration = Duration::from_secs(60);

type Seen = Arc<Mutex<Vec<String>>>;

fn seen() -> Seen {
    Arc::default()
}

fn said(seen: &Seen) -> Vec<String> {
    std::mem::take(&mut seen.lock().unwrap())
}

fn noting(seen: &Seen, what: &'static str) -> impl Fn(&RecordedEvent) + Send + Sync + 'static {
    let seen = Arc::clone(seen);
    move |event| seen.lock().unwrap().push(format!("{what} {}", event.event.space_id))
}

fn event(space_id: &str) -> SpaceEvent {
    SpaceEvent::space_activated(space_id)
}

#[test]
fn handlers_run_by_priority_then_in_the_order_of_registering() {
    let bus = EventBus::new();
    let seen = seen();
    bus.on_any(Priority::LOW, noting(&seen, "low")).unwrap();
    bus.on_any(Priority::NORMAL, noting(&seen, "first")).unwrap();
    let gone = bus.on_any(Priority::HIGH, noting(&seen, "gone")).unwrap();
    bus.on(EventType::SpaceActivated, Priority::HIGH, noting(&seen, "high")).unwrap();
    bus.on(EventType::SpaceCreated, Priority::HIGH, noting(&seen, "another type")).unwrap();
    bus.once(EventType::SpaceActivated, Priority::NORMAL, noting(&seen, "once")).unwrap();
    bus.on_any(Priority::NORMAL, noting(&seen, "last")).unwrap();
    assert!(bus.off(gone));
    assert!(!bus.off(gone));
    let published = bus.publish(event("a")).unwrap();
    assert_eq!(published, Published::Handled { handlers: 5, parked: 0 });
    assert_eq!(said(&seen), ["high a", "first a", "once a", "last a", "low a"]);
    bus.publish(event("b")).unwrap();
    assert_eq!(said(&seen), ["high b", "first b", "last b", "low b"]);
}

#[test]
fn a_handler_that_fails_or_panics_stops_nobody_and_is_parked() {
    let bus = EventBus::new();
    let seen = seen();
    let failures = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&failures);
    bus.on_failure(move |failure| {
        told.lock().unwrap().push((failure.handler.clone(), failure.attempts, failure.next));
        panic!("a hook that panics stops nobody either");
    });
    let wait = Duration::from_micros(1);
    let failing = Handler::new(|_| Err::<(), _>("no room")).named("failing");
    bus.register(failing.retry(RetryPolicy::new(3, wait)).priority(Priority::HIGH)).unwrap();
    let panicking = Handler::new(|event| {
        assert_eq!(event.event.space_id, "b", "only b");
    });
    bus.register(panicking.named("panicking").retry(RetryPolicy::NEVER)).unwrap();
    bus.on_any(Priority::LOW, noting(&seen, "ran")).unwrap();
    let published = bus.publish(event("a")).unwrap();
    assert_eq!(published, Published::Handled { handlers: 3, parked: 2 });
    assert_eq!(said(&seen), ["ran a"]);
    let parked = bus.parked();
    let told: Vec<(&str, u32)> = parked.iter().map(|p| (p.handler.as_str(), p.attempts)).collect();
    assert_eq!(told, [("failing", 3), ("panicking", 1)]);
    assert_eq!(parked[0].reason, "no room");
    assert!(parked[1].reason.starts_with("panicked: "), "{}", parked[1].reason);
    assert!(parked[1].reason.contains("only b"), "{}", parked[1].reason);
    let failing = |attempts, next| ("failing".to_owned(), attempts, next);
    assert_eq!(
        *failures.lock().unwrap(),
        [
            failing(1, AfterFailure::Retry { wait }),
            failing(2, AfterFailure::Retry { wait: wait * 2 }),
            failing(3, AfterFailure::Parked),
            ("panicking".to_owned(), 1, AfterFailure::Parked),
        ]
    );
}

#[test]
fn a_handler_that_recovers_is_not_parked() {
    let bus = EventBus::new();
    let calls = AtomicUsize::new(0);
    let recovering = Handler::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Err("not yet"),
        _ => Ok(()),
    });
    bus.register(recovering.retry(RetryPolicy::new(3, Duration::ZERO))).unwrap();
    let published = bus.publish(event("a")).unwrap();
    assert_eq!(published, Published::Handled { handlers: 1, parked: 0 });
    assert!(bus.parked().is_empty());
}

#[test]
fn parked_events_are_retried_and_discarded() {
    let bus = EventBus::with_options(BusOptions::new().retry(RetryPolicy::NEVER));
    let works = Arc::new(AtomicBool::new(false));
    let does = Arc::clone(&works);
    let handler = move |_: &RecordedEvent| match does.load(Ordering::SeqCst) {
        true => Ok(()),
        false => Err("broken"),
    };
    let id = bus.on_any(Priority::NORMAL, handler).unwrap();
    for space in ["a", "b", "c"] {
        bus.publish(event(space)).unwrap();
    }
    let parked = bus.parked();
    let failed = bus.retry(parked[0].id);
    assert!(matches!(failed, Err(BusError::HandlerFailed { reason }) if reason == "broken"));
    assert_eq!(bus.parked()[0].attempts, 2);
    works.store(true, Ordering::SeqCst);
    bus.retry(parked[0].id).unwrap();
    bus.discard(parked[1].id).unwrap();
    for gone in [parked[0].id, parked[1].id] {
        assert!(matches!(bus.retry(gone), Err(BusError::NotParked)));
        assert!(matches!(bus.discard(gone), Err(BusError::NotParked)));
    }
    assert!(bus.off(id));
    assert!(matches!(bus.retry(parked[2].id), Err(BusError::UnknownHandler { .. })));
    assert_eq!(bus.parked(), [parked[2].clone()]);
}

#[test]
fn the_oldest_goes_when_too_many_are_parked_in_memory() {
    let bus = EventBus::with_options(BusOptions::new().retry(RetryPolicy::NEVER));
    bus.on_any(Priority::NORMAL, |_| Err::<(), _>("broken")).unwrap();
    for n in 0..=10_000 {
        bus.publish(event(&format!("space-{n}"))).unwrap();
        assert_eq!(bus.parked().len(), (n + 1).min(10_000));
        if n > 2 && n < 9_998 {
            // The list is long: look at its length only around the limit.
            break;
        }
    }
    for n in 4..=10_000 {
        bus.publish(event(&format!("space-{n}"))).unwrap();
    }
    let parked = bus.parked();
    assert_eq!(parked.len(), 10_000);
    assert_eq!(parked[0].space_id, "space-1");
    assert_eq!(parked[9_999].space_id, "space-10000");
}

#[test]
fn what_a_handler_publishes_follows_behind_the_event_at_hand() {
    let bus = EventBus::new();
    let seen = seen();
    let inner = bus.clone();
    bus.on_any(Priority::HIGH, move |event| {
        if event.event.space_id == "cause" {
            assert_eq!(inner.publish(self::event("effect 1")).unwrap(), Published::Queued);
            assert_eq!(inner.publish(self::event("effect 2")).unwrap(), Published::Queued);
        }
    })
    .unwrap();
    bus.on_any(Priority::LOW, noting(&seen, "saw")).unwrap();
    bus.publish(event("cause")).unwrap();
    assert_eq!(said(&seen), ["saw cause", "saw effect 1", "saw effect 2"]);
    bus.close();
    assert!(matches!(bus.publish(event("a")), Err(BusError::Closed)));
    assert!(matches!(bus.on_any(Priority::LOW, |_| ()), Err(BusError::Closed)));
}

#[test]
fn a_handler_that_publishes_without_end_is_told_so() {
    let bus = EventBus::new();
    let inner = bus.clone();
    let refused = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&refused);
    bus.on_any(Priority::NORMAL, move |event| {
        if event.event.space_id == "first" {
            let full = (0..=MAX_NESTED_EVENTS).filter(|_| {
                matches!(inner.publish(self::event("next")), Err(BusError::TooManyNested { .. }))
            });
            told.store(full.count(), Ordering::SeqCst);
        }
    })
    .unwrap();
    bus.publish(event("first")).unwrap();
    assert_eq!(refused.load(Ordering::SeqCst), 1);
    bus.close();
}

#[test]
fn handlers_change_the_handlers_while_they_run() {
    let bus = EventBus::new();
    let seen = seen();
    let (inner, noted) = (bus.clone(), Arc::clone(&seen));
    let later = bus.on_any(Priority::LOW, noting(&seen, "later")).unwrap();
    bus.once(EventType::SpaceActivated, Priority::HIGH, move |_| {
        assert!(inner.off(later));
        inner.on_any(Priority::NORMAL, noting(&noted, "added")).unwrap();
    })
    .unwrap();
    bus.publish(event("a")).unwrap();
    assert_eq!(said(&seen), [""; 0], "one that is off is called, or one that is new too early");
    bus.publish(event("b")).unwrap();
    assert_eq!(said(&seen), ["added b"]);
    bus.close();
}

#[test]
fn async_handlers_are_awaited_in_order() {
    let bus = EventBus::new();
    let seen = seen();
    let (wake, woken) = mpsc::channel::<std::task::Waker>();
    let waker = thread::spawn(move || woken.iter().for_each(|waker| waker.wake()));
    let noted = Arc::clone(&seen);
    bus.on_async(EventType::SpaceActivated, Priority::HIGH, move |event| {
        let (wake, noted) = (wake.clone(), Arc::clone(&noted));
        async move {
            let mut polls = 0;
            std::future::poll_fn(|context| {
                polls += 1;
                if polls > 3 {
                    return Poll::Ready(());
                }
                // Another thread wakes it, at once or later.
                wake.send(context.waker().clone()).unwrap();
                Poll::Pending
            })
            .await;
            noted.lock().unwrap().push(format!("awaited {}", event.event.space_id));
            if event.event.space_id == "bad" { Err("bad") } else { Ok(()) }
        }
    })
    .unwrap();
    bus.on_any(Priority::LOW, noting(&seen, "then")).unwrap();
    bus.publish(event("a")).unwrap();
    assert_eq!(said(&seen), ["awaited a", "then a"]);
    let published = bus.publish(event("bad")).unwrap();
    assert_eq!(published, Published::Handled { handlers: 2, parked: 1 });
    bus.close();
    drop(bus);
    waker.join().unwrap();
}

#[test]
fn stored_events_are_handled_from_when_a_handler_is_registered() {
    let log = Arc::new(MemoryLog::new());
    let feed = Feed::new(log.clone());
    let options = BusOptions::new().history(2);
    let bus = EventBus::over(&feed, options);
    let seen = seen();
    activate(&*log, &["before"]);
    bus.on_any(Priority::NORMAL, noting(&seen, "first")).unwrap();
    let position = activate(&*log, &["a", "b"]);
    assert_eq!(bus.wait_handled(position, LONG).unwrap(), position);
    bus.on_any(Priority::HIGH, noting(&seen, "second")).unwrap();
    let position = activate(&*log, &["c"]);
    assert_eq!(bus.wait_handled(position, LONG).unwrap(), position);
    assert_eq!(said(&seen), ["first a", "first b", "second c", "first c"]);
    assert_eq!((bus.position(), bus.lag()), (position, 0));
    let history = bus.history();
    let spaces: Vec<&str> = history.iter().map(|event| event.event.space_id.as_str()).collect();
    assert_eq!(spaces, ["b", "c"]);
    assert_eq!(feed.subscribers()[0].name, "bus lane 1");
}

/// A bus over a log with one event, which it has handled.
fn over_one_event() -> (EventBus, Position) {
    let log = Arc::new(MemoryLog::new());
    let bus = EventBus::over(&Feed::new(log.clone()), BusOptions::new());
    bus.on_any(Priority::NORMAL, |_| {}).unwrap();
    let position = activate(&*log, &["a"]);
    assert_eq!(bus.wait_handled(position, LONG).unwrap(), position);
    (bus, position)
}

#[test]
fn who_waits_for_a_bus_is_told_when_it_is_closed() {
    let (bus, position) = over_one_event();
    // The time may be over first.
    assert_eq!(bus.wait_handled(position.next(), Duration::ZERO).unwrap(), position);
    let progress = bus.inner.progress().unwrap();
    let waiting = thread::spawn({
        let bus = bus.clone();
        move || bus.wait_handled(position.next(), LONG)
    });
    bus.close();
    let waited = waiting.join().unwrap();
    assert!(matches!(waited, Err(BusError::Closed)), "{waited:?}");
    let waited = bus.wait_handled(position.next(), LONG);
    assert!(matches!(waited, Err(BusError::Closed)), "{waited:?}");
    // As who waited when it was closed; what was handled before that is handled.
    let waited = progress.wait(position.next(), LONG);
    assert!(matches!(waited, Err(BusError::Closed)), "{waited:?}");
    assert_eq!(progress.wait(position, LONG).unwrap(), position);
}

#[test]
fn who_waits_for_a_bus_is_told_when_its_feed_is_closed() {
    let log = Arc::new(MemoryLog::new());
    let feed = Feed::new(log.clone());
    let bus = EventBus::over(&feed, BusOptions::new());
    bus.on_any(Priority::NORMAL, |_| {}).unwrap();
    let waiting = thread::spawn({
        let bus = bus.clone();
        move || bus.wait_handled(Position::new(1), LONG)
    });
    feed.close();
    let waited = waiting.join().unwrap();
    assert!(matches!(waited, Err(BusError::Closed)), "{waited:?}");
}

#[test]
fn who_waits_for_a_bus_that_handles_nothing_is_told_so() {
    let feed = Feed::new(Arc::new(MemoryLog::new()));
    let durable =
        EventBus::durable(&feed, "bus", &Subscription::from_start(), BusOptions::new()).unwrap();
    let live = EventBus::over(&feed, BusOptions::new());
    for bus in [EventBus::new(), live, durable] {
        let waited = bus.wait_handled(Position::new(1), LONG);
        assert!(matches!(waited, Err(BusError::NotRunning)), "{waited:?}");
        bus.close();
        let waited = bus.wait_handled(Position::new(1), LONG);
        assert!(matches!(waited, Err(BusError::Closed)), "{waited:?}");
    }
}

#[test]
fn lanes_keep_the_order_of_each_space() {
    let log = Arc::new(MemoryLog::new());
    let feed = Feed::new(log.clone());
    let options = BusOptions::new().lanes(NonZeroUsize::new(4).unwrap());
    let bus = EventBus::over(&feed, options);
    let seen: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
    let noted = Arc::clone(&seen);
    bus.on_any(Priority::NORMAL, move |event| {
        noted.lock().unwrap().push((event.event.space_id.clone(), event.revision.get()));
    })
    .unwrap();
    let mut position = Position::START;
    for n in 0..500_u32 {
        position = activate(&*log, &[["a", "b", "c", "d", "e"][(n % 5) as usize]]);
    }
    assert_eq!(bus.wait_handled(position, LONG).unwrap(), position);
    bus.close();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 500);
    for space in ["a", "b", "c", "d", "e"] {
        let revisions: Vec<u64> =
            seen.iter().filter(|(of, _)| of == space).map(|(_, revision)| *revision).collect();
        assert_eq!(revisions, (1..=100).collect::<Vec<u64>>(), "{space}");
    }
}

#[test]
fn a_handler_appends_and_subscribes_without_waiting_for_itself() {
    let log = Arc::new(MemoryLog::new());
    let feed = Feed::new(log.clone());
    let bus = EventBus::over(&feed, BusOptions::new());
    let seen = seen();
    let (inner, store) = (feed.clone(), log.clone());
    bus.on(EventType::SpaceCreated, Priority::HIGH, move |_| {
        let mut subscriber = inner.subscribe(Subscription::from_start()).unwrap();
        assert_eq!(drain(&mut subscriber), [1]);
        activate(&*store, &["effect"]);
        let received = subscriber.recv().unwrap();
        assert!(matches!(received, Delivery::Events(page) if page.len() == 1));
    })
    .unwrap();
    bus.on_any(Priority::LOW, noting(&seen, "saw")).unwrap();
    log.append(&AppendRequest::new(&[SpaceEvent::space_created("cause", "Cause")])).unwrap();
    let both = Position::new(2);
    assert_eq!(bus.wait_handled(both, LONG).unwrap(), both);
    assert_eq!(said(&seen), ["saw cause", "saw effect"]);
    assert!(bus.parked().is_empty(), "{:?}", bus.parked());
}

#[test]
fn a_durable_bus_goes_on_where_it_was_and_keeps_what_is_parked() {
    let log = Arc::new(MemoryLog::new());
    let store: Arc<dyn PlaceStore> = Arc::new(PlaceFile::in_memory());
    let feed = Feed::kept_in(log.clone(), store);
    let seen = seen();
    let open = |handler: Handler| {
        let options = BusOptions::new().retry(RetryPolicy::NEVER);
        let begin = Subscription::from_start();
        let bus = EventBus::durable(&feed, "mailer", &begin, options).unwrap();
        bus.register(handler.named("mail")).unwrap();
        bus.register(Handler::new(noting(&seen, "saw")).named("note")).unwrap();
        bus.start().unwrap();
        bus
    };
    activate(&*log, &["a", "bad"]);
    let bus = open(Handler::new(|event| match event.event.space_id.as_str() {
        "bad" => Err("bad"),
        _ => Ok(()),
    }));
    assert_eq!(bus.wait_handled(Position::new(2), LONG).unwrap(), Position::new(2));
    assert_eq!(said(&seen), ["saw a", "saw bad"]);
    let taken = EventBus::durable(&feed, "mailer", &Subscription::from_start(), BusOptions::new());
    assert!(matches!(taken, Err(BusError::Subscribe(SubscribeError::Owned { .. }))));
    bus.close();
    let info = feed.durable_subscriptions().unwrap().remove(0);
    assert_eq!((info.position, info.parked, info.is_owned), (Some(Position::new(2)), 1, false));

    activate(&*log, &["c"]);
    let bus = open(Handler::new(|_| ()));
    assert_eq!(bus.wait_handled(Position::new(3), LONG).unwrap(), Position::new(3));
    assert_eq!(said(&seen), ["saw c"]);
    let parked = bus.parked().remove(0);
    assert_eq!((parked.position, parked.reason.as_str()), (Position::new(2), "bad"));
    bus.retry(parked.id).unwrap();
    bus.close();
    assert_eq!(feed.durable_subscriptions().unwrap()[0].parked, 0);
}

#[test]
fn a_durable_bus_that_is_closed_while_a_handler_is_to_be_retried_has_the_event_again() {
    let log = Arc::new(MemoryLog::new());
    let feed = Feed::new(log.clone());
    let begin = Subscription::from_start();
    let bus = EventBus::durable(&feed, "mailer", &begin, BusOptions::new()).unwrap();
    let (failed, has_failed) = mpsc::channel();
    bus.on_failure(move |failure| failed.send(failure.position).unwrap());
    let failing = Handler::new(|event| match event.position.get() {
        2 => Err("down"),
        _ => Ok(()),
    });
    bus.register(failing.named("mail").retry(RetryPolicy::new(9, LONG))).unwrap();
    // All three come in one page; the first is not handled again.
    activate(&*log, &["a", "a", "a"]);
    bus.start().unwrap();
    assert_eq!(has_failed.recv().unwrap(), Position::new(2));
    bus.close();
    drop(bus);
    let info = feed.durable_subscriptions().unwrap().remove(0);
    assert_eq!((info.position, info.parked), (Some(Position::new(1)), 0));

    let seen = seen();
    let bus = EventBus::durable(&feed, "mailer", &begin, BusOptions::new()).unwrap();
    bus.register(Handler::new(noting(&seen, "saw")).named("mail")).unwrap();
    bus.start().unwrap();
    assert_eq!(bus.wait_handled(Position::new(3), LONG).unwrap(), Position::new(3));
    assert_eq!(said(&seen), ["saw a", "saw a"]);
}

#[test]
fn names_and_numbers_of_handlers_are_limited() {
    let bus = EventBus::new();
    bus.register(Handler::new(|_| ()).named("a")).unwrap();
    let taken = bus.register(Handler::new(|_| ()).named("a"));
    assert!(matches!(taken, Err(BusError::NameTaken { .. })));
    for _ in 1..4_096 {
        bus.on_any(Priority::NORMAL, |_| ()).unwrap();
    }
    let refused = bus.on_any(Priority::NORMAL, |_| ());
    assert!(matches!(refused, Err(BusError::TooManyHandlers { max: 4_096 })));
}

#[test]
fn the_last_clone_is_dropped_by_a_handler() {
    let log = Arc::new(MemoryLog::new());
    let bus = EventBus::over(&Feed::new(log.clone()), BusOptions::new());
    let (done, is_done) = mpsc::channel();
    let last = Mutex::new(None);
    let last = Arc::new(last);
    let held = Arc::clone(&last);
    bus.on_any(Priority::NORMAL, move |_| {
        let bus: Option<EventBus> = held.lock().unwrap().take();
        drop(bus);
        done.send(()).unwrap();
    })
    .unwrap();
    *last.lock().unwrap() = Some(bus);
    activate(&*log, &["a"]);
    is_done.recv().unwrap();
}
