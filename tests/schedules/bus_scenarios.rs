//! Subscribers that wait for the durable head, a watcher that moves it, and closing from either
//! side. A lost wake-up is a deadlock, which the model checker reports; everything else is
//! asserted.
//!
//! Compiled once for each model checker, which brings `crate::sync` and `crate::thread`.

#![allow(clippy::unwrap_used, reason = "a panic is how a scenario fails")]

use std::{
    sync::Arc,
    task::{Poll, Waker},
};

use spacefold_event_core::{Position, ReadError};

use crate::{
    head_watch::{HeadWatch, MemberId, Turn},
    signal::Signal,
    thread,
};

/// The positions of the events that a subscriber is interested in.
type Interest = &'static [u64];
type Watch = HeadWatch<Interest>;

/// Which events the watcher looks at before it moves the head over them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LooksAt {
    All,
    /// The planted fault.
    TheLast,
}

/// A watcher moves the head over three events in two steps; of two subscribers one wants the
/// first event only, the other every event. Both get what they want.
pub(crate) fn every_event_arrives(looks_at: LooksAt) {
    let watch = Arc::new(Watch::new());
    let subscribers: Vec<_> = [&[1_u64][..], &[1, 2, 3]]
        .map(|interest| {
            let watch = Arc::clone(&watch);
            let (member, _) = watch.join(interest);
            thread::spawn(move || receive_all(&watch, member, interest))
        })
        .into();
    let mut before = 0;
    for head in [2, 3] {
        let first = if looks_at == LooksAt::All { before + 1 } else { head };
        watch.advance(Position::new(head), |interest| {
            interest.iter().any(|position| (first..=head).contains(position))
        });
        before = head;
    }
    subscribers.into_iter().for_each(|subscriber| subscriber.join().unwrap());
}

/// Receives until the last event of interest has come.
fn receive_all(watch: &Watch, member: MemberId, interest: Interest) {
    let signal = Arc::new(Signal::new());
    let waker = Waker::from(Arc::clone(&signal));
    let mut seen = 0;
    for wanted in interest {
        while seen < *wanted {
            match watch.poll(member, Position::new(seen), None, &waker) {
                Poll::Pending => assert!(signal.sleep_until(None)),
                Poll::Ready(Turn::Head { passed }) => {
                    assert!(passed.get() < *wanted, "passed over an event that is wanted");
                    seen = watch.head().get();
                }
                Poll::Ready(other) => panic!("{other:?}"),
            }
            assert!(watch.passed(member).get() < *wanted, "passed over an event that is wanted");
        }
    }
    watch.leave(member);
}

/// Waits for ever, unless it is closed.
fn wait_to_be_closed(watch: &Watch, member: MemberId) {
    let signal = Arc::new(Signal::new());
    let waker = Waker::from(Arc::clone(&signal));
    loop {
        match watch.poll(member, Position::START, None, &waker) {
            Poll::Pending => assert!(signal.sleep_until(None)),
            Poll::Ready(Turn::Closed) => break,
            Poll::Ready(other) => panic!("{other:?}"),
        }
    }
}

/// Of two subscribers that wait, one is closed from its own side, then both from the log's.
pub(crate) fn closing_from_either_side() {
    let watch = Arc::new(Watch::new());
    let [own, other] = [&[], &[]].map(|interest| {
        let watch = Arc::clone(&watch);
        let (member, _) = watch.join(interest);
        (member, thread::spawn(move || wait_to_be_closed(&watch, member)))
    });
    watch.close_member(own.0);
    own.1.join().unwrap();
    watch.close();
    other.1.join().unwrap();
    assert!(!watch.is_still_watched());
}

/// A subscriber that waits for ever is closed from its own side and from the log's at once.
pub(crate) fn closing_from_both_sides() {
    let watch = Arc::new(Watch::new());
    let (member, _) = watch.join(&[]);
    let subscriber = {
        let watch = Arc::clone(&watch);
        thread::spawn(move || wait_to_be_closed(&watch, member))
    };
    let closer = {
        let watch = Arc::clone(&watch);
        thread::spawn(move || watch.close_member(member))
    };
    watch.close();
    closer.join().unwrap();
    subscriber.join().unwrap();
    assert!(!watch.is_still_watched());
}

/// One subscriber closes, and is dropped, while the watcher moves the head for another.
pub(crate) fn closing_beside_others() {
    let watch = Arc::new(Watch::new());
    let (closing, _) = watch.join(&[1]);
    let (staying, _) = watch.join(&[1]);
    let closer = {
        let watch = Arc::clone(&watch);
        thread::spawn(move || {
            watch.close_member(closing);
            watch.leave(closing);
        })
    };
    let subscriber = {
        let watch = Arc::clone(&watch);
        thread::spawn(move || receive_all(&watch, staying, &[1]))
    };
    watch.advance(Position::new(1), |_| true);
    closer.join().unwrap();
    subscriber.join().unwrap();
}

/// A failure to follow the log is told to those who wait, once, and does not end their waiting.
pub(crate) fn a_failure_between_events() {
    let watch = Arc::new(Watch::new());
    let (member, _) = watch.join(&[1]);
    let subscriber = {
        let watch = Arc::clone(&watch);
        thread::spawn(move || {
            let signal = Arc::new(Signal::new());
            let waker = Waker::from(Arc::clone(&signal));
            let mut failures = 0;
            loop {
                match watch.poll(member, Position::START, None, &waker) {
                    Poll::Pending => assert!(signal.sleep_until(None)),
                    Poll::Ready(Turn::Failed(_)) => failures += 1,
                    Poll::Ready(Turn::Head { .. }) => break,
                    Poll::Ready(Turn::Closed) => panic!("closed"),
                }
            }
            assert!(failures <= 1);
        })
    };
    watch.fail(&ReadError::Closed);
    watch.advance(Position::new(1), |_| true);
    subscriber.join().unwrap();
}

/// The last subscriber leaves while another one joins: either the watcher goes on, or the new one
/// is told that there is none.
pub(crate) fn a_watcher_that_is_relieved() {
    let watch = Arc::new(Watch::new());
    let (first, _) = watch.join(&[]);
    let watcher = {
        let watch = Arc::clone(&watch);
        thread::spawn(move || watch.is_still_watched())
    };
    let leaver = {
        let watch = Arc::clone(&watch);
        thread::spawn(move || watch.leave(first))
    };
    let (_, watched) = watch.join(&[]);
    let goes_on = watcher.join().unwrap();
    leaver.join().unwrap();
    let is_told = watched == crate::head_watch::Watched::NotYet;
    assert!(goes_on != is_told, "{goes_on} {is_told}");
}
