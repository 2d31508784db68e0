//! One winner per expected revision.
//!
//! `SPACEFOLD_RACE_ATTEMPTS` sets how many attempts there are.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use damage::stores::scratch;
use spacefold::{
    AppendCondition, AppendError, Position, Revision, SpaceEvent,
    log::{AppendRequest, EventLog, FailedCondition, MemoryLog, ReadRequest},
};
use spacefold_store::{Durability, EmbeddedLog, StoreOptions};

const THREADS: u64 = 8;

fn attempts(usual: u64) -> u64 {
    let set = std::env::var("SPACEFOLD_RACE_ATTEMPTS").ok();
    set.map_or(usual, |attempts| attempts.parse().expect("SPACEFOLD_RACE_ATTEMPTS is a number"))
}

/// Every thread goes for the revision that it believes to be next; who loses is told the current
/// one and goes for that.
fn race(log: &dyn EventLog, attempts: u64) {
    let left = AtomicU64::new(attempts);
    let barrier = Barrier::new(THREADS as usize);
    let run = |thread: u64| {
        barrier.wait();
        let (mut won, mut lost) = (Vec::new(), 0_u64);
        let mut expected = 0;
        let take = |left: u64| left.checked_sub(1);
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            let events = [SpaceEvent::variable_set("a", format!("thread-{thread}"), expected)];
            let condition = AppendCondition::exact("a", Revision::new(expected));
            match log.append(&AppendRequest::new(&events).on(condition)) {
                Ok(receipt) => {
                    assert_eq!(receipt.revision().get(), expected + 1);
                    assert_eq!(receipt.last_position().get(), expected + 1);
                    expected += 1;
                    won.push((expected, events[0].event_id));
                }
                Err(AppendError::ConditionFailed { failed }) => {
                    let [FailedCondition::Revision { current, .. }] = failed[..] else {
                        panic!("another part failed: {failed:?}");
                    };
                    assert!(current.get() > expected, "{current} is what was expected");
                    expected = current.get();
                    lost += 1;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        (won, lost)
    };
    let run = &run;
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let lost: u64 = outcomes.iter().map(|(_, lost)| lost).sum();
    let mut won: Vec<_> = outcomes.into_iter().flat_map(|(won, _)| won).collect();
    won.sort_unstable_by_key(|(revision, _)| *revision);
    let winners = won.len() as u64;
    assert_eq!(winners + lost, attempts);
    assert_eq!(log.head().get(), winners);
    let durable = log.wait_durable(log.head(), Duration::from_secs(60)).unwrap();
    assert_eq!(durable.get(), winners);
    let mut expected = won.iter().zip(1..);
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        for event in page.unwrap().envelopes() {
            let ((revision, id), number) = expected.next().unwrap();
            assert_eq!((*revision, *id), (number, event.event_id));
            assert_eq!(event.revision.get(), number);
        }
    }
    assert!(expected.next().is_none(), "a winner whose event is not there");
    println!("{attempts} attempts of {THREADS} threads: {winners} won, {lost} lost");
}

#[test]
fn one_wins_each_revision_in_memory() {
    race(&MemoryLog::new(), attempts(200_000));
}

#[test]
fn one_wins_each_revision_of_a_store() {
    let folder = scratch();
    let options = StoreOptions::default().durability(Durability::Os);
    let log = EmbeddedLog::open_with(folder.path().join("store"), &options).unwrap();
    race(&log, attempts(50_000));
}
