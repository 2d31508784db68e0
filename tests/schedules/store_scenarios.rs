//! Threads that wait for one another, as those of an open store do. A lost wake-up is a deadlock,
//! which the model checker reports; everything else is asserted.
//!
//! Compiled once for each model checker, which brings `crate::sync` and `crate::thread`.

#![allow(clippy::unwrap_used, reason = "a panic is how a scenario fails")]

use std::{sync::Arc, time::Duration};

use spacefold_event_core::Position;

use crate::{
    budget::ByteBudget,
    progress::{Progress, StoreFailure, WaitError},
    sync::Mutex,
    thread,
};

/// More than the tail may hold.
const TOO_MUCH: usize = 65 << 20;
const FOREVER: Duration = Duration::from_secs(1_000_000);

/// When the writer of a scenario says that something is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announces {
    AfterSync,
    /// The planted fault.
    BeforeSync,
}

/// Two callers wait for different positions while a writer syncs one after the other: both are
/// woken, and nothing is durable before it was synced.
pub(crate) fn durable_head(announces: Announces) {
    let progress = Arc::new(Progress::new(Position::START, 0));
    let disk = Arc::new(Mutex::new(Position::START));
    let waiters: Vec<_> = [1, 2]
        .map(|position| {
            let (progress, disk) = (Arc::clone(&progress), Arc::clone(&disk));
            thread::spawn(move || {
                let position = Position::new(position);
                let durable_head = progress.wait_durable(position, FOREVER).unwrap();
                assert!(durable_head >= position);
                assert!(*disk.lock().unwrap() >= position, "acknowledged before it was synced");
            })
        })
        .into();
    for position in [1, 2].map(Position::new) {
        let sync = || *disk.lock().unwrap() = position;
        let announce = || {
            progress.update(|state| {
                state.head = state.head.max(position);
                state.durable_head = state.durable_head.max(position);
            });
        };
        match announces {
            Announces::AfterSync => {
                sync();
                announce();
            }
            Announces::BeforeSync => {
                announce();
                sync();
            }
        }
    }
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert_eq!(progress.durable_head(), Position::new(2));
    assert_eq!(progress.head(), Position::new(2));
}

/// A failure and a close wake whoever waits for what will not happen.
pub(crate) fn failure_and_close() {
    let progress = Arc::new(Progress::new(Position::START, TOO_MUCH));
    let durable = {
        let progress = Arc::clone(&progress);
        thread::spawn(move || {
            let waited = progress.wait_durable(Position::new(1), FOREVER).unwrap_err();
            assert!(matches!(waited, WaitError::Failed(_) | WaitError::Closed), "{waited:?}");
        })
    };
    let room = {
        let progress = Arc::clone(&progress);
        thread::spawn(move || {
            assert_eq!(progress.wait_for_room(true), Err(StoreFailure::new("broken")))
        })
    };
    progress.fail(StoreFailure::new("broken"));
    progress.fail(StoreFailure::new("broken again"));
    progress.close();
    durable.join().unwrap();
    room.join().unwrap();
    assert_eq!(progress.failure(), Some(StoreFailure::new("broken")));
}

/// Where a thread looks at the tail when it says how long that is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LooksAtTail {
    UnderTheLock,
    /// The planted fault.
    Before,
}

/// A writer whose tail has become too long waits for the sealer, which shortens it and goes.
pub(crate) fn room_in_the_tail(looks: LooksAtTail) {
    let progress = Arc::new(Progress::new(Position::START, 0));
    let tail = Arc::new(Mutex::new(0));
    let announce = move |progress: &Progress, tail: &Mutex<usize>| match looks {
        LooksAtTail::UnderTheLock => {
            progress.update(|state| state.tail_bytes = *tail.lock().unwrap());
        }
        LooksAtTail::Before => {
            let bytes = *tail.lock().unwrap();
            progress.update(|state| state.tail_bytes = bytes);
        }
    };
    let writer = {
        let (progress, tail) = (Arc::clone(&progress), Arc::clone(&tail));
        thread::spawn(move || {
            *tail.lock().unwrap() += TOO_MUCH;
            announce(&progress, &tail);
            progress.wait_for_room(false).unwrap();
        })
    };
    let sealer = {
        let (progress, tail) = (Arc::clone(&progress), Arc::clone(&tail));
        thread::spawn(move || {
            // It is woken once there is something to seal.
            while *tail.lock().unwrap() == 0 {
                thread::yield_now();
            }
            *tail.lock().unwrap() = 0;
            announce(&progress, &tail);
        })
    };
    writer.join().unwrap();
    sealer.join().unwrap();
}

/// A writer without a journal file to go on in waits until the sealer has given one up.
pub(crate) fn room_in_the_journal() {
    let progress = Arc::new(Progress::new(Position::START, 0));
    progress.update(|state| state.files_are_full = true);
    let writer = {
        let progress = Arc::clone(&progress);
        thread::spawn(move || {
            progress.wait_for_room(false).unwrap();
            progress.wait_for_room(true).unwrap();
        })
    };
    let other = {
        let progress = Arc::clone(&progress);
        thread::spawn(move || progress.update(|state| state.head = Position::new(1)))
    };
    progress.update(|state| state.files_are_full = false);
    writer.join().unwrap();
    other.join().unwrap();
}

/// The sealer begins to file one time after the other, each once what it archived before is done; a
/// thread that makes sled's copy anew waits for that too.
pub(crate) fn archiving() {
    let progress = Arc::new(Progress::new(Position::START, 0));
    let under_way = Arc::new(Mutex::new(0));
    let rebuild = {
        let progress = Arc::clone(&progress);
        thread::spawn(move || progress.wait_until_archived())
    };
    let mut filers = Vec::new();
    for _ in 0..2 {
        progress.wait_until_archived();
        progress.update(|state| state.is_archiving = true);
        assert!(progress.is_archiving());
        let (progress, under_way) = (Arc::clone(&progress), Arc::clone(&under_way));
        filers.push(thread::spawn(move || {
            *under_way.lock().unwrap() += 1;
            assert_eq!(*under_way.lock().unwrap(), 1, "archived twice at once");
            *under_way.lock().unwrap() -= 1;
            progress.update(|state| state.is_archiving = false);
        }));
    }
    progress.wait_until_archived();
    assert_eq!(*under_way.lock().unwrap(), 0);
    filers.into_iter().for_each(|filer| filer.join().unwrap());
    rebuild.join().unwrap();
}

/// Callers with appends of all sizes get through, never with more bytes under way than allowed,
/// unless it is one append alone.
pub(crate) fn byte_budget(sizes: [usize; 3]) {
    const LIMIT: usize = 10;
    let budget = Arc::new(ByteBudget::new(LIMIT));
    let under_way = Arc::new(Mutex::new(Vec::new()));
    let callers: Vec<_> = sizes
        .map(|bytes| {
            let (budget, under_way) = (Arc::clone(&budget), Arc::clone(&under_way));
            thread::spawn(move || {
                let permit = budget.take(bytes);
                {
                    let mut under_way = under_way.lock().unwrap();
                    under_way.push(bytes);
                    let sum: usize = under_way.iter().sum();
                    assert!(sum <= LIMIT || under_way.len() == 1, "{under_way:?}");
                }
                under_way.lock().unwrap().retain(|other| *other != bytes);
                drop(permit);
            })
        })
        .into();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}
