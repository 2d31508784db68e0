use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use spacefold_event_core::{EventType, MemoryLog};

use super::*;
use crate::{
    BusOptions, EventBus, Feed, Handler, RetryPolicy, SubscribeError, Subscription,
    checkpoint::{self, SubscriptionCheckpoint},
    testing::{LONG, SyncedStore, activate},
};

fn log_of(events: usize) -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::new());
    for _ in 0..events {
        activate(&*log, &["a"]);
    }
    log
}

fn open(feed: &Feed) -> EventBus {
    let options = BusOptions::new().retry(RetryPolicy::NEVER);
    EventBus::durable(feed, "mail", &Subscription::from_start(), options).unwrap()
}

/// A handler that counts its calls.
fn counting(calls: &Arc<AtomicU64>) -> Handler {
    let calls = Arc::clone(calls);
    Handler::new(move |_| {
        calls.fetch_add(1, Ordering::SeqCst);
    })
}

/// Handles everything, and answers how many calls there were.
fn handled(feed: &Feed) -> u64 {
    let (bus, calls) = (open(feed), Arc::default());
    bus.register(counting(&calls).named("count")).unwrap();
    bus.start().unwrap();
    let head = feed.log().durable_head();
    assert_eq!(bus.wait_handled(head, LONG).unwrap(), head);
    bus.close();
    calls.load(Ordering::SeqCst)
}

#[test]
fn what_a_bus_has_handled_outlives_a_kill_while_it_runs() {
    let (log, store) = (log_of(201), Arc::new(SyncedStore::default()));
    let feed = Feed::kept_in(log.clone(), store.clone());
    let feed = feed.sync_places_within(Duration::from_millis(1));
    let (bus, calls) = (open(&feed), Arc::default());
    bus.register(counting(&calls).named("count")).unwrap();
    let failing = Handler::new(|event| match event.position.get() {
        7 => Err("no network"),
        _ => Ok(()),
    });
    bus.register(failing.named("failing")).unwrap();
    bus.start().unwrap();
    let place = |places: &BTreeMap<Vec<u8>, Vec<u8>>| {
        let checkpoint = places.get(&checkpoint::key("mail"));
        checkpoint.and_then(|bytes| SubscriptionCheckpoint::decode(bytes)).map(|it| it.position())
    };
    assert!(store.wait_until(|places| place(places) == Some(Position::new(201))));
    assert_eq!(calls.load(Ordering::SeqCst), 201);
    // The bus is neither closed nor synced: this is what a kill leaves.
    let left = store.after_a_kill();
    let again = Feed::kept_in(log.clone(), left);
    let parked = again.durable_subscriptions().unwrap().remove(0).parked;
    assert_eq!(parked, 1);
    activate(&*log, &["a"]);
    assert_eq!(handled(&again), 1);
}

#[test]
fn a_bus_is_synced_at_once_when_it_is_told_to() {
    let (log, store) = (log_of(5), Arc::new(SyncedStore::default()));
    let feed = Feed::kept_in(log.clone(), store.clone()).sync_places_within(LONG);
    let (bus, calls) = (open(&feed), Arc::default());
    bus.register(counting(&calls)).unwrap();
    bus.start().unwrap();
    assert_eq!(bus.wait_handled(Position::new(5), LONG).unwrap(), Position::new(5));
    assert_eq!(handled(&Feed::kept_in(log.clone(), store.after_a_kill())), 5);
    bus.sync().unwrap();
    assert_eq!(handled(&Feed::kept_in(log, store.after_a_kill())), 0);
    EventBus::new().sync().unwrap();
}

fn types(handler: Handler, types: &[EventType]) -> Handler {
    handler.types(types.iter().copied())
}

#[test]
fn a_handler_that_comes_back_with_another_filter_is_refused_by_name() {
    let store = Arc::new(SyncedStore::default());
    let feed = Feed::kept_in(log_of(3), store.clone());
    let calls = Arc::default();
    let handler = || counting(&calls).named("send");
    let (activated, created) = ([EventType::SpaceActivated], [EventType::SpaceCreated]);
    let bus = open(&feed);
    bus.register(types(handler(), &activated)).unwrap();
    bus.register(counting(&calls)).unwrap();
    bus.start().unwrap();
    assert_eq!(bus.wait_handled(Position::new(3), LONG).unwrap(), Position::new(3));
    bus.close();
    drop(bus);

    let feed = Feed::kept_in(feed.log().clone(), store.after_a_kill());
    let bus = open(&feed);
    let id = bus.register(types(handler(), &created)).unwrap();
    // Without a name nobody comes back.
    bus.register(types(counting(&calls), &created)).unwrap();
    let refused = bus.start().unwrap_err();
    let said = refused.to_string();
    assert!(
        matches!(&refused, BusError::OtherFilter { handler, .. } if handler == "send"),
        "{said}"
    );
    for part in ["\"send\"", "space.activated", "space.created", "position 3"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // With its own filter it starts, the one refused being off.
    assert_eq!(bus.forget_filter("nobody").unwrap(), Position::new(3));
    assert!(matches!(bus.start(), Err(BusError::OtherFilter { .. })));
    assert_eq!(bus.forget_filter("send").unwrap(), Position::new(3));
    bus.start().unwrap();
    // Where the bus runs, registering tells.
    assert!(bus.off(id));
    bus.register(types(handler(), &activated)).unwrap();
    bus.close();
    drop(bus);
    let bus = open(&feed);
    bus.start().unwrap();
    let refused = bus.register(types(handler(), &created)).unwrap_err();
    assert!(matches!(refused, BusError::OtherFilter { .. }), "{refused}");
    bus.register(types(handler(), &activated)).unwrap();
    bus.close();
}

#[test]
fn a_bus_with_another_filter_is_refused_too() {
    let feed = Feed::new(log_of(3));
    drop(open(&feed));
    let other = Subscription::from_start().spaces(["b"]);
    let refused = EventBus::durable(&feed, "mail", &other, BusOptions::new());
    let Err(BusError::Subscribe(SubscribeError::OtherFilter { name, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(name, "mail");
}

#[test]
fn what_does_not_decode_is_no_filter() {
    let store = Arc::new(SyncedStore::default());
    let feed = Feed::kept_in(log_of(1), store.clone());
    assert_eq!(handled(&feed), 1);
    feed.places().put(&key_of_handlers("mail"), b"noise").unwrap();
    assert_eq!(handled(&feed), 0);
    let kept = KeptHandlers::load(feed.places(), "mail").unwrap();
    assert_eq!(kept.filters.lock().keys().collect::<Vec<_>>(), ["count"]);
}
