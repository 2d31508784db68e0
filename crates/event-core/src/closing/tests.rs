use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Barrier, mpsc},
};

use super::*;

#[test]
fn whoever_comes_later_waits_and_is_answered_the_same() {
    let once = CloseOnce::default();
    let (begun, has_begun) = mpsc::channel();
    let (end, ends) = mpsc::channel();
    let (barrier, once) = (&Barrier::new(4), &once);
    thread::scope(|scope| {
        let first_ends = ends;
        let first = scope.spawn(move || {
            once.run(|| {
                begun.send(()).unwrap();
                first_ends.recv().unwrap();
                7
            })
        });
        has_begun.recv().unwrap();
        let later = [0; 3].map(|_| {
            scope.spawn(move || {
                barrier.wait();
                once.run(|| unreachable!("closed twice"))
            })
        });
        barrier.wait();
        assert!(later.iter().all(|later| !later.is_finished()));
        end.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Some(7));
        for later in later {
            assert_eq!(later.join().unwrap(), Some(7));
        }
    });
    assert_eq!(once.run(|| unreachable!("closed twice")), Some(7));
}

#[test]
fn closing_within_closing_does_not_wait_for_itself() {
    let once = CloseOnce::default();
    let outcome = once.run(|| {
        assert_eq!(once.run(|| unreachable!("closed twice")), None);
        1
    });
    assert_eq!(outcome, Some(1));
}

#[test]
fn after_a_panic_the_next_one_closes() {
    let once = CloseOnce::default();
    let panicked = catch_unwind(AssertUnwindSafe(|| once.run(|| panic!("in the middle"))));
    assert!(panicked.is_err());
    assert_eq!(once.run(|| 2), Some(2));
}

#[test]
fn closing_waits_for_what_runs_until_that_is_closing_itself() {
    let callbacks = Arc::new(Callbacks::default());
    assert_eq!(callbacks.wait(), Waited::AllEnded);
    let running = callbacks.enter();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| callbacks.wait());
        drop(running);
        assert_eq!(waiting.join().unwrap(), Waited::AllEnded);
    });
    let running = callbacks.enter();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| callbacks.wait());
        // In a callback, this thread waits for none, and nobody does any more.
        let within = InCallback::begin();
        assert!(is_in_callback());
        assert_eq!(callbacks.wait(), Waited::SomeRuns);
        assert_eq!(waiting.join().unwrap(), Waited::SomeRuns);
        drop(within);
        assert!(!is_in_callback());
        assert_eq!(callbacks.wait(), Waited::SomeRuns);
    });
    drop(running);
    assert_eq!(callbacks.wait(), Waited::AllEnded);
}
