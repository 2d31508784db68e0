use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    thread,
    time::Duration,
};

use futures_core::Stream;
use spacefold_event_core::{LogReader, LogWriter, MemoryLog, Position, RecordedEvent, SpaceEvent};

use super::*;
use crate::{
    AckError, Delivery, ReceiveError,
    place_store::PlaceStore,
    source::Stride,
    testing::{FailingLog, Woken, activate, drain, positions},
};

fn feed_of(spaces: &[&str]) -> (Arc<MemoryLog>, Feed) {
    let log = Arc::new(MemoryLog::new());
    for space in spaces {
        activate(&*log, &[space]);
    }
    (log.clone(), Feed::new(log))
}

#[test]
fn history_then_live_without_a_gap() {
    let (log, feed) = feed_of(&["a", "b", "a"]);
    let mut subscriber = feed.subscribe(Subscription::from_start()).unwrap();
    assert_eq!(positions(subscriber.recv().unwrap()), [1, 2, 3]);
    let caught_up = subscriber.recv().unwrap();
    assert!(matches!(caught_up, Delivery::CaughtUp { position } if position.get() == 3));
    assert!(subscriber.try_recv().unwrap().is_none());
    activate(&*log, &["b", "b"]);
    assert_eq!(positions(subscriber.recv().unwrap()), [4, 5]);
    assert!(subscriber.try_recv().unwrap().is_none());
}

#[test]
fn a_subscriber_that_waits_is_woken_by_an_append() {
    let (log, feed) = feed_of(&[]);
    let mut subscriber = feed.subscribe(Subscription::from_now()).unwrap();
    assert!(matches!(subscriber.recv().unwrap(), Delivery::CaughtUp { .. }));
    let received = thread::spawn(move || positions(subscriber.recv().unwrap()));
    activate(&*log, &["a"]);
    assert_eq!(received.join().unwrap(), [1]);
}

#[test]
fn a_heartbeat_says_how_far_a_subscriber_is_whom_nothing_concerns() {
    let (log, feed) = feed_of(&["a", "a", "a"]);
    let subscription = Subscription::from_start().spaces(["nowhere"]);
    let mut subscriber = feed.subscribe(subscription.heartbeat(Duration::ZERO)).unwrap();
    let beat = |received: Delivery| match received {
        Delivery::Heartbeat { position } => position.get(),
        other => panic!("{other:?}"),
    };
    assert_eq!(beat(subscriber.recv().unwrap()), 3);
    assert!(matches!(subscriber.recv().unwrap(), Delivery::CaughtUp { .. }));
    assert_eq!(beat(subscriber.recv().unwrap()), 3);
    activate(&*log, &["a", "b"]);
    assert_eq!(beat(subscriber.recv().unwrap()), 5);
    assert_eq!(subscriber.position().get(), 5);
    assert_eq!(subscriber.lag(), 0);
}

#[test]
fn whom_no_event_concerns_is_not_woken_and_moves_on_all_the_same() {
    let (log, feed) = feed_of(&["a"]);
    let woken = Arc::new(Woken::default());
    let waker = woken.waker();
    let mut idle = feed.subscribe(Subscription::from_now().spaces(["b"])).unwrap();
    let mut other = feed.subscribe(Subscription::from_now().spaces(["a"])).unwrap();
    assert!(matches!(idle.recv().unwrap(), Delivery::CaughtUp { .. }));
    assert!(matches!(other.recv().unwrap(), Delivery::CaughtUp { .. }));
    assert!(idle.poll_delivery(&waker, Stride::Long).is_pending());
    activate(&*log, &["a", "a"]);
    // Once the other one has waited for it, the watcher has announced it.
    assert_eq!(positions(other.recv().unwrap()), [2, 3]);
    while feed.source.announced() < Position::new(3) {
        thread::yield_now();
    }
    // The head of the watch moves after all who wait were looked at.
    while feed.source.watch.head() < Position::new(3) {
        thread::yield_now();
    }
    assert!(!woken.was_woken());
    assert!(idle.poll_delivery(&waker, Stride::Long).is_pending());
    assert_eq!(idle.position(), Position::new(3));
    activate(&*log, &["b"]);
    while !woken.was_woken() {
        thread::yield_now();
    }
    let Poll::Ready(received) = idle.poll_delivery(&waker, Stride::Long) else {
        panic!("woken for nothing")
    };
    assert_eq!(positions(received.unwrap()), [4]);
}

#[test]
fn a_stream_gives_the_same_and_ends_when_it_is_closed() {
    let (log, feed) = feed_of(&["a"]);
    let mut subscriber = feed.subscribe(Subscription::from_start()).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = woken.waker();
    let mut context = Context::from_waker(&waker);
    let mut next = |subscriber: &mut Subscriber| Pin::new(subscriber).poll_next(&mut context);
    let Poll::Ready(Some(Ok(received))) = next(&mut subscriber) else { panic!("nothing") };
    assert_eq!(positions(received), [1]);
    assert!(matches!(next(&mut subscriber), Poll::Ready(Some(Ok(Delivery::CaughtUp { .. })))));
    assert!(next(&mut subscriber).is_pending());
    activate(&*log, &["a"]);
    while !woken.was_woken() {
        thread::yield_now();
    }
    let Poll::Ready(Some(Ok(received))) = next(&mut subscriber) else { panic!("nothing") };
    assert_eq!(positions(received), [2]);
    assert!(next(&mut subscriber).is_pending());
    subscriber.handle().close();
    assert!(woken.was_woken());
    assert!(matches!(next(&mut subscriber), Poll::Ready(None)));
    assert!(matches!(next(&mut subscriber), Poll::Ready(None)));
}

#[test]
fn a_stream_is_woken_for_its_heartbeat() {
    let (_log, feed) = feed_of(&["a"]);
    let subscription = Subscription::from_now().heartbeat(Duration::from_millis(1));
    let mut subscriber = feed.subscribe(subscription).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = woken.waker();
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut subscriber).poll_next(&mut context) {
            Poll::Ready(Some(Ok(Delivery::Heartbeat { position }))) => {
                assert_eq!(position, Position::new(1));
                return;
            }
            Poll::Ready(Some(Ok(Delivery::CaughtUp { .. }))) => {}
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => {
                while !woken.was_woken() {
                    thread::yield_now();
                }
            }
        }
    }
}

#[test]
fn closing_wakes_whoever_waits() {
    let (_log, feed) = feed_of(&[]);
    let closed_alone = feed.subscribe(Subscription::from_now()).unwrap();
    let handle = closed_alone.handle();
    let closed_with_all = feed.subscribe(Subscription::from_now()).unwrap();
    let waiting = [closed_alone, closed_with_all].map(|mut subscriber| {
        assert!(matches!(subscriber.recv().unwrap(), Delivery::CaughtUp { .. }));
        thread::spawn(move || {
            let items: Vec<Delivery<RecordedEvent>> =
                subscriber.into_iter().map(Result::unwrap).collect();
            assert!(items.is_empty(), "{items:?}");
        })
    });
    handle.close();
    handle.close();
    let [alone, with_all] = waiting;
    alone.join().unwrap();
    feed.close();
    with_all.join().unwrap();
    let mut late = feed.subscribe(Subscription::from_now()).unwrap();
    assert!(matches!(late.recv(), Err(ReceiveError::Closed)));
}

#[test]
fn a_log_that_is_closed_ends_its_subscriptions() {
    let log = Arc::new(FailingLog::default());
    let feed = Feed::new(log.clone());
    let mut subscriber = feed.subscribe(Subscription::from_now()).unwrap();
    assert!(matches!(subscriber.recv().unwrap(), Delivery::CaughtUp { .. }));
    let waiting = thread::spawn(move || subscriber.recv().map(drop));
    log.is_closed.store(true, Ordering::SeqCst);
    assert!(matches!(waiting.join().unwrap(), Err(ReceiveError::Closed)));
}

#[test]
fn a_log_that_fails_is_told_and_nothing_is_passed_over() {
    let log = Arc::new(FailingLog::default());
    let feed = Feed::new(log.clone());
    activate(&*log, &["a", "a"]);
    log.fails.store(true, Ordering::SeqCst);
    let mut subscriber = feed.subscribe(Subscription::from_start()).unwrap();
    assert!(matches!(subscriber.recv(), Err(ReceiveError::Read(_))));
    assert_eq!(subscriber.position(), Position::START);
    log.fails.store(false, Ordering::SeqCst);
    assert_eq!(positions(subscriber.recv().unwrap()), [1, 2]);
    assert!(matches!(subscriber.recv().unwrap(), Delivery::CaughtUp { .. }));
    // One that waits is told too, and goes on.
    log.fails.store(true, Ordering::SeqCst);
    assert!(matches!(subscriber.recv(), Err(ReceiveError::Read(_))));
    activate(&*log, &["a"]);
    log.fails.store(false, Ordering::SeqCst);
    let received = loop {
        match subscriber.recv() {
            Ok(received) => break received,
            Err(ReceiveError::Read(_)) => {}
            Err(closed) => panic!("{closed}"),
        }
    };
    assert_eq!(positions(received), [3]);
}

#[test]
fn a_subscription_begins_at_a_time() {
    let (log, feed) = feed_of(&["a"]);
    let mut times = Vec::new();
    for position in 1..=3 {
        activate(&*log, &["b"]);
        let page =
            log.read(&spacefold_event_core::ReadRequest::from(Position::new(position))).unwrap();
        times.push((position, page.envelopes().next().unwrap().recorded_at));
    }
    for (_, time) in times {
        let mut subscriber = feed.subscribe(Subscription::from_time(time)).unwrap();
        let all = log.read(&spacefold_event_core::ReadRequest::from(Position::new(1))).unwrap();
        let expected: Vec<u64> = all
            .envelopes()
            .filter(|event| event.recorded_at >= time)
            .map(|event| event.position.get())
            .collect();
        assert_eq!(drain(&mut subscriber), expected);
    }
    let first = Subscription::from_time(spacefold_event_core::Timestamp::MIN);
    assert_eq!(drain(&mut feed.subscribe(first).unwrap()), [1, 2, 3, 4]);
}

#[test]
fn what_lies_beyond_the_head_is_not_subscribed_to() {
    let (_log, feed) = feed_of(&["a"]);
    let beyond = feed.subscribe(Subscription::after(Position::new(2)));
    assert!(matches!(beyond, Err(SubscribeError::BeyondHead { .. })));
    feed.subscribe(Subscription::after(Position::new(1))).unwrap();
}

#[test]
fn subscribers_are_listed_with_their_lag_while_they_are_open() {
    let (_log, feed) = feed_of(&["a", "a"]);
    let behind = Subscription::from_start().named("slow").lag_policy(LagPolicy::SkipOldest);
    let behind = feed.subscribe(behind).unwrap();
    let mut fast = feed.subscribe(Subscription::from_start().named("fast")).unwrap();
    assert_eq!(drain(&mut fast), [1, 2]);
    let listed: Vec<(String, u64)> =
        feed.subscribers().into_iter().map(|info| (info.name, info.lag)).collect();
    assert_eq!(listed, [("slow".to_owned(), 2), ("fast".to_owned(), 0)]);
    drop((behind, fast));
    assert!(feed.subscribers().is_empty());
}

#[test]
fn a_result_is_kept_with_its_place() {
    let (log, feed) = feed_of(&["a", "a", "a"]);
    let subscription = Subscription::from_start();
    let mut counter = feed.subscribe_durable("counter", &subscription).unwrap();
    assert_eq!(counter.result(), b"");
    assert_eq!(positions(counter.recv().unwrap()), [1, 2, 3]);
    counter.ack_with(Position::new(2), b"two").unwrap();
    assert!(matches!(counter.ack_with(Position::new(1), b"one"), Err(AckError::Backwards { .. })));
    assert!(matches!(counter.ack(Position::new(4)), Err(AckError::NotReceived { .. })));
    let too_long = vec![0; (1 << 20) + 1];
    assert!(matches!(
        counter.ack_with(Position::new(3), too_long),
        Err(AckError::ResultTooLong { .. })
    ));
    counter.ack(Position::new(1)).unwrap();
    let owned = feed.subscribe_durable("counter", &subscription);
    assert!(matches!(owned, Err(SubscribeError::Owned { .. })));
    drop(counter);
    let mut again = feed.subscribe_durable("counter", &subscription).unwrap();
    assert_eq!((again.acknowledged(), again.result()), (Position::new(2), &b"two"[..]));
    activate(&*log, &["b"]);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(positions(again.recv().unwrap()));
    }
    assert_eq!(seen, [3, 4]);
    let longest = vec![0; 1 << 20];
    again.ack_with(Position::new(4), longest.clone()).unwrap();
    drop(again);
    let last = feed.subscribe_durable("counter", &subscription).unwrap();
    assert_eq!(last.result(), longest);
}

#[test]
fn a_place_of_another_log_is_refused_until_it_is_reset() {
    let store: Arc<dyn PlaceStore> = Arc::new(PlaceFile::in_memory());
    let (log, _) = feed_of(&["a", "a"]);
    let feed = Feed::kept_in(log, Arc::clone(&store));
    let mut reader = feed.subscribe_durable("reader", &Subscription::from_start()).unwrap();
    assert_eq!(positions(reader.recv().unwrap()), [1, 2]);
    reader.ack(Position::new(2)).unwrap();
    drop(reader);
    let (other, _) = feed_of(&["a", "a", "a"]);
    let feed = Feed::kept_in(other, Arc::clone(&store));
    let refused = feed.subscribe_durable("reader", &Subscription::from_start());
    assert!(matches!(refused, Err(SubscribeError::Unfit { .. })));
    feed.reset_durable("reader", Position::START).unwrap();
    let mut reader = feed.subscribe_durable("reader", &Subscription::from_start()).unwrap();
    assert_eq!(positions(reader.recv().unwrap()), [1, 2, 3]);
    drop(reader);
    store.put(&checkpoint::key("reader"), b"noise").unwrap();
    let refused = feed.subscribe_durable("reader", &Subscription::from_start());
    assert!(matches!(refused, Err(SubscribeError::Unfit { .. })));
    assert_eq!(feed.durable_subscriptions().unwrap()[0].position, None);
}

#[test]
fn names_have_a_length_that_is_allowed() {
    let (_log, feed) = feed_of(&[]);
    for (length, is_allowed) in [(0, false), (1, true), (512, true), (513, false)] {
        let name = "n".repeat(length);
        let opened = feed.subscribe_durable(&name, &Subscription::from_start());
        assert_eq!(opened.is_ok(), is_allowed, "{length}");
    }
}

#[test]
fn a_subscriber_that_lags_reads_on_from_the_log() {
    let (log, feed) = feed_of(&[]);
    let mut slow = feed.subscribe(Subscription::from_now().lagging_after(3)).unwrap();
    assert!(matches!(slow.recv().unwrap(), Delivery::CaughtUp { .. }));
    for _ in 0..5 {
        log.append(&spacefold_event_core::AppendRequest::new(&[SpaceEvent::space_activated("a")]))
            .unwrap();
    }
    while feed.source.announced() < Position::new(5) {
        thread::yield_now();
    }
    let lagging = slow.recv().unwrap();
    assert!(matches!(lagging, Delivery::Lagging { lag: 5, .. }), "{lagging:?}");
    assert_eq!(drain(&mut slow), [1, 2, 3, 4, 5]);
}
