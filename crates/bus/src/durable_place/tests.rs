use std::sync::Arc;

use spacefold_event_core::MemoryLog;

use super::*;
use crate::{
    EventBus, Feed, Handler, PlaceFile, RetryPolicy, Subscription, event_bus::BusOptions,
    testing::activate,
};

fn feed() -> Feed {
    let log = Arc::new(MemoryLog::new());
    activate(&*log, &["a", "b", "a"]);
    Feed::kept_in(log, Arc::new(PlaceFile::in_memory()))
}

fn all() -> Subscription {
    Subscription::from_start()
}

#[test]
fn a_place_has_one_owner_and_goes_on_where_it_was() {
    let feed = feed();
    let mut place = feed.hold_durable("p", &all()).unwrap();
    assert!(matches!(feed.hold_durable("p", &all()), Err(SubscribeError::Owned { .. })));
    assert!(matches!(feed.subscribe_durable("p", &all()), Err(SubscribeError::Owned { .. })));
    assert!(matches!(place.ack(Position::new(4)), Err(AckError::NotReceived { .. })));
    place.ack_with(Position::new(2), *b"two").unwrap();
    place.ack(Position::new(1)).unwrap();
    assert_eq!((place.acknowledged(), place.result()), (Position::new(2), &b"two"[..]));
    drop(place);
    let known = feed.durable_subscription("p").unwrap().unwrap();
    assert_eq!((known.position, known.lag, known.is_owned), (Some(Position::new(2)), 1, false));
    assert_eq!(feed.durable_subscription("q").unwrap(), None);
    let again = feed.subscribe_durable("p", &all()).unwrap();
    assert_eq!((again.acknowledged(), again.result()), (Position::new(2), &b"two"[..]));
}

#[test]
fn what_is_parked_stays_until_it_is_discarded() {
    let feed = feed();
    let place = feed.hold_durable("p", &all()).unwrap();
    let id = place.park(Position::new(2), "mail", "no address").unwrap();
    assert_eq!(place.park(Position::new(2), "mail", "still none").unwrap(), id);
    let other = place.park(Position::new(2), "print", &"x".repeat(2_000)).unwrap();
    assert_ne!(other, id);
    let missing = place.park(Position::new(9), "mail", "");
    assert!(matches!(missing, Err(ParkError::NoEvent { position }) if position.get() == 9));
    let parked = feed.parked("p").unwrap();
    let shown = |it: &ParkedEvent| (it.attempts, it.space_id.clone(), it.reason.len());
    let shown: Vec<_> = parked.iter().map(shown).collect();
    assert_eq!(shown, [(2, "b".to_owned(), 10), (1, "b".to_owned(), 1_024)]);
    assert_eq!(parked, place.parked().unwrap());

    let refused = feed.discard_parked("p", id);
    assert!(matches!(refused, Err(SubscribeError::Owned { .. })));
    place.discard(id).unwrap();
    place.discard(id).unwrap();
    drop(place);
    feed.discard_parked("p", other).unwrap();
    assert!(feed.parked("p").unwrap().is_empty());
    assert!(matches!(feed.parked("q"), Err(SubscribeError::Unknown { .. })));
}

#[test]
fn a_bus_of_the_name_finds_what_was_parked() {
    let feed = feed();
    let place = feed.hold_durable("p", &all()).unwrap();
    place.park(Position::new(1), "mail", "no address").unwrap();
    drop(place);
    let options = BusOptions::new().retry(RetryPolicy::NEVER);
    let bus = EventBus::durable(&feed, "p", &all(), options).unwrap();
    let parked = bus.parked();
    assert_eq!((parked.len(), &*parked[0].reason), (1, "no address"));
    let handler = Handler::new(|event| match event.position.get() {
        1 => Ok(()),
        _ => Err("another one"),
    });
    bus.register(handler.named("mail")).unwrap();
    bus.retry(parked[0].id).unwrap();
    assert!(feed.parked("p").unwrap().is_empty());
}
