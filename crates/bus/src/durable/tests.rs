use std::{collections::BTreeMap, sync::Arc, time::Duration};

use spacefold_event_core::{EventFilter, EventType, MemoryLog};

use super::*;
use crate::{
    Feed, SubscribeError, Subscription,
    checkpoint::{self, SubscriptionCheckpoint},
    place_store::PlaceStore,
    subscribed_filter,
    testing::{LONG, SyncedStore, activate, drain},
};

/// Ten events, of the spaces a and b in turn.
fn log() -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::new());
    activate(&*log, &["a", "b", "a", "b", "a", "b", "a", "b", "a", "b"]);
    log
}

fn feed(log: &Arc<MemoryLog>, store: &Arc<SyncedStore>, within: Duration) -> Feed {
    Feed::kept_in(log.clone(), store.clone()).sync_places_within(within)
}

/// The position that a kill would leave to the subscription.
fn synced(places: &BTreeMap<Vec<u8>, Vec<u8>>, name: &str) -> Option<Position> {
    SubscriptionCheckpoint::decode(places.get(&checkpoint::key(name))?)
        .map(|checkpoint| checkpoint.position())
}

fn of_a() -> Subscription {
    Subscription::from_start().spaces(["a"])
}

#[test]
fn an_acknowledgement_outlives_a_kill_without_being_told_to() {
    let (log, store) = (log(), Arc::new(SyncedStore::default()));
    let feed = feed(&log, &store, Duration::from_millis(1));
    let mut mailer = feed.subscribe_durable("mailer", &of_a()).unwrap();
    drain(mailer.subscriber());
    for position in [3, 7, 10].map(Position::new) {
        mailer.ack_with(position, position.get().to_le_bytes()).unwrap();
        assert!(store.wait_until(|places| synced(places, "mailer") == Some(position)));
    }
    let left = store.after_a_kill();
    let again = Feed::kept_in(log, left);
    let mailer = again.subscribe_durable("mailer", &of_a()).unwrap();
    assert_eq!(mailer.acknowledged(), Position::new(10));
    assert_eq!(mailer.result(), 10_u64.to_le_bytes());
}

#[test]
fn a_feed_syncs_all_of_its_places_at_once() {
    let (log, store) = (log(), Arc::new(SyncedStore::default()));
    let feed = feed(&log, &store, LONG);
    let names = ["one", "two", "three"];
    let mut subscribers = names.map(|name| feed.subscribe_durable(name, &of_a()).unwrap());
    let begun = store.syncs();
    for subscriber in &mut subscribers {
        drain(subscriber.subscriber());
        subscriber.ack(Position::new(9)).unwrap();
    }
    assert_eq!(store.syncs(), begun);
    feed.sync().unwrap();
    assert_eq!(store.syncs(), begun + 1);
    for name in names {
        assert!(
            store.wait_until(|places| synced(places, name) == Some(Position::new(9))),
            "{name}"
        );
    }
}

#[test]
fn another_filter_is_refused_by_name_and_nothing_is_changed() {
    let (log, store) = (log(), Arc::new(SyncedStore::default()));
    let feed = feed(&log, &store, LONG);
    let mut mailer = feed.subscribe_durable("mailer", &of_a()).unwrap();
    drain(mailer.subscriber());
    mailer.ack_with(Position::new(6), b"six").unwrap();
    drop(mailer);
    let before = store.get(&checkpoint::key("mailer")).unwrap();
    let others = [
        Subscription::from_start(),
        Subscription::from_now(),
        Subscription::from_start().spaces(["b"]),
        Subscription::from_start().spaces(["a", "b"]),
        of_a().types([EventType::SpaceActivated]),
        of_a().document("d"),
        of_a().source("s"),
        of_a().correlation_id("c"),
    ];
    for other in others {
        let refused = feed.subscribe_durable("mailer", &other).map(drop).unwrap_err();
        let said = refused.to_string();
        let SubscribeError::OtherFilter { name, position, kept, asked } = refused else {
            panic!("{said}");
        };
        assert_eq!((&*name, position), ("mailer", Position::new(6)));
        assert_eq!((kept.as_deref(), &*asked), (Some(of_a().filter()), other.filter()));
        for part in ["\"mailer\"", "spaces \"a\"", &other.filter().to_string(), "position 6"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(store.get(&checkpoint::key("mailer")).unwrap(), before);
    }
    // Where it begins, and what else is no part of the filter, may be another.
    let again = Subscription::from_now().spaces(["a"]).lagging_after(7).heartbeat(LONG);
    let mailer = feed.subscribe_durable("mailer", &again).unwrap();
    assert_eq!((mailer.acknowledged(), mailer.result()), (Position::new(6), &b"six"[..]));
    let listed = feed.durable_subscriptions().unwrap().remove(0);
    assert_eq!(listed.filter.as_ref(), Some(of_a().filter()));
}

#[test]
fn a_filter_is_changed_on_purpose_from_where_one_says() {
    let (log, store) = (log(), Arc::new(SyncedStore::default()));
    let all = Subscription::from_start();
    for (after, expected, result) in [
        (6, vec![7, 8, 9, 10], &b"six"[..]),
        (2, vec![3, 4, 5, 6, 7, 8, 9, 10], b""),
        (0, (1..=10).collect(), b""),
        (10, vec![], b""),
    ] {
        let feed = feed(&log, &store, LONG);
        let mut mailer = feed.subscribe_durable("mailer", &of_a()).unwrap();
        let change = |after| feed.change_durable_filter("mailer", all.filter(), after);
        assert!(matches!(change(Position::new(1)), Err(SubscribeError::Owned { .. })));
        drain(mailer.subscriber());
        mailer.ack_with(Position::new(6), b"six").unwrap();
        drop(mailer);
        assert!(matches!(change(Position::new(11)), Err(SubscribeError::BeyondHead { .. })));
        change(Position::new(after)).unwrap();

        // A kill takes nothing of it back.
        let again = Feed::kept_in(log.clone(), store.after_a_kill());
        let refused = again.subscribe_durable("mailer", &of_a());
        assert!(matches!(refused, Err(SubscribeError::OtherFilter { .. })));
        let mut mailer = again.subscribe_durable("mailer", &all).unwrap();
        assert_eq!(mailer.result(), result);
        assert_eq!(drain(mailer.subscriber()), expected);
        drop(mailer);
        feed.remove_durable("mailer").unwrap();
        assert!(store.keys(b"").unwrap().is_empty());
    }
    let unknown = feed(&log, &store, LONG);
    let unknown = unknown.change_durable_filter("mailer", &EventFilter::all(), Position::START);
    assert!(matches!(unknown, Err(SubscribeError::Unknown { .. })));
}

#[test]
fn a_place_that_was_kept_without_its_filter_takes_the_one_it_is_opened_with() {
    let (log, store) = (log(), Arc::new(SyncedStore::default()));
    let old = SubscriptionCheckpoint::at(&*log, Position::new(4), b"old".to_vec(), None).unwrap();
    store.put(&checkpoint::key("mailer"), &old.encode()).unwrap();
    let feed = feed(&log, &store, LONG);
    let mut mailer = feed.subscribe_durable("mailer", &of_a()).unwrap();
    assert_eq!((mailer.acknowledged(), mailer.result()), (Position::new(4), &b"old"[..]));
    assert_eq!(drain(mailer.subscriber()), [5, 7, 9]);
    drop(mailer);
    for feed in [feed, Feed::kept_in(log, store.after_a_kill())] {
        let refused = feed.subscribe_durable("mailer", &Subscription::from_start());
        assert!(matches!(refused, Err(SubscribeError::OtherFilter { .. })));
    }
}

#[test]
fn a_filter_outlives_resets_and_its_own_loss_is_no_other_filter() {
    let (log, store) = (log(), Arc::new(SyncedStore::default()));
    let feed = feed(&log, &store, LONG);
    drop(feed.subscribe_durable("mailer", &of_a()).unwrap());
    let all = Subscription::from_start();
    let refused = || feed.subscribe_durable("mailer", &all).map(drop).unwrap_err();
    feed.reset_durable("mailer", Position::new(2)).unwrap();
    assert!(matches!(refused(), SubscribeError::OtherFilter { kept: Some(_), .. }));
    // The words are gone, or another's: it is still known not to be this one.
    for words in [None, Some(&b"noise"[..])] {
        match words {
            None => store.remove(&subscribed_filter::key("mailer")).unwrap(),
            Some(noise) => store.put(&subscribed_filter::key("mailer"), noise).unwrap(),
        }
        assert!(matches!(refused(), SubscribeError::OtherFilter { kept: None, .. }));
        assert!(refused().to_string().contains("cannot be read"), "{}", refused());
        drop(feed.subscribe_durable("mailer", &of_a()).unwrap());
    }
    // A place that does not decode has no filter but in words.
    feed.change_durable_filter("mailer", of_a().filter(), Position::START).unwrap();
    store.put(&checkpoint::key("mailer"), b"noise").unwrap();
    assert!(matches!(refused(), SubscribeError::Unfit { .. }));
    feed.reset_durable("mailer", Position::new(2)).unwrap();
    assert!(matches!(refused(), SubscribeError::OtherFilter { kept: Some(_), .. }));
}
