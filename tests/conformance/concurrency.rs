//! Many threads on one log.

use std::sync::{
    Barrier,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use spacefold_event_core::{
    AppendCondition, AppendError, FailedCondition, Position, ReadRequest, Receipt, Revision,
    SpaceEvent,
};

use crate::{LogFactory, append, append_on, events_of, set, whole_log};

const THREADS: u64 = 8;
const REVISIONS: u64 = 40;

/// Of all writers that expect the same revision one wins; the others are told the current one.
pub fn lets_one_writer_win_each_revision(factory: &impl LogFactory) {
    let log = factory.open();
    let barrier = Barrier::new(THREADS as usize);
    let race = |thread: u64| {
        barrier.wait();
        let mut won = Vec::new();
        for revision in 0..REVISIONS {
            let event = set("a", &format!("thread-{thread}"), revision);
            let condition = AppendCondition::exact("a", Revision::new(revision));
            match append_on(&*log, &[event], condition) {
                Ok(receipt) => {
                    assert_eq!(receipt.revision(), Revision::new(revision + 1));
                    won.push(receipt);
                }
                Err(AppendError::ConditionFailed { failed }) => {
                    let [FailedCondition::Revision { current, .. }] = failed[..] else {
                        panic!("another part failed: {failed:?}");
                    };
                    assert!(current > Revision::new(revision));
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        won
    };
    let mut won = in_threads(race);
    won.sort_by_key(Receipt::last_position);
    let positions: Vec<u64> = won.iter().map(|receipt| receipt.last_position().get()).collect();
    assert_eq!(positions, (1..=REVISIONS).collect::<Vec<_>>());
    assert_eq!(whole_log(&*log).len() as u64, REVISIONS);
}

/// Appends from many threads never mix, and leave no gap.
pub fn keeps_parallel_appends_dense_and_whole(factory: &impl LogFactory) {
    let log = factory.open();
    let write = |thread: u64| {
        let write = |number: u64| {
            let events: Vec<SpaceEvent> = (0..=(thread + number) % 5)
                .map(|n| set(["shared", &format!("own-{thread}")][n as usize % 2], "n", n))
                .collect();
            let receipt = append(&*log, &events);
            (receipt, events)
        };
        (0..REVISIONS).map(write).collect::<Vec<_>>()
    };
    let mut appends = in_threads(write);
    appends.sort_by_key(|(receipt, _)| receipt.last_position());
    let all = whole_log(&*log);
    let mut next = Position::new(1);
    let mut rest = &all[..];
    for (receipt, events) in appends {
        assert_eq!(receipt.first_position(), next);
        assert_eq!(receipt.count(), events.len() as u64);
        assert!(receipt.is_durable());
        let (here, later) = rest.split_at(events.len());
        assert!(here.iter().map(|event| &event.event).eq(&events));
        assert_eq!(here.last().map(|event| event.revision), Some(receipt.revision()));
        next = receipt.last_position().next();
        rest = later;
    }
    assert!(rest.is_empty());
}

/// Whoever reads during appends sees them from the first event on, without gaps, whole ones only.
pub fn shows_readers_whole_appends_only(factory: &impl LogFactory) {
    const EVENTS: u64 = 3;
    const LOOKS: u64 = 300;
    let log = factory.open();
    let looks = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let look = || {
        let durable = log.durable_head();
        assert_eq!(durable.get() % EVENTS, 0, "half an append is durable");
        assert!(log.head() >= durable);
        let newest = Position::new(durable.get().saturating_sub(50));
        let page = log.read(&ReadRequest::from(newest)).unwrap();
        let events = events_of(&page);
        for (event, position) in events.iter().zip(newest.get().max(1)..) {
            assert_eq!(event.position, Position::new(position));
        }
        let revision = log.revision("a").unwrap();
        assert_eq!(revision.get() % EVENTS, 0, "half an append is counted");
        assert!(revision.get() >= durable.get());
        looks.fetch_add(1, Ordering::AcqRel);
    };
    std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    look();
                }
            })
        });
        // Appends until enough was looked at, or a reader has failed.
        let enough =
            || looks.load(Ordering::Acquire) >= LOOKS || readers.iter().any(|r| r.is_finished());
        let mut n = 0;
        while n < REVISIONS || !enough() {
            append(&*log, &[0, 1, 2].map(|m| set("a", "n", EVENTS * n + m)));
            n += 1;
        }
        done.store(true, Ordering::Release);
    });
    assert!(whole_log(&*log).len() as u64 >= EVENTS * REVISIONS);
}

/// Runs the work on every thread and gathers what they answer.
fn in_threads<T: Send>(work: impl Fn(u64) -> Vec<T> + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
