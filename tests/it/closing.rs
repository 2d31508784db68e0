//! Closing a store: from anywhere, by anyone, twice, and by many at once.

mod places;
mod waiting;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Barrier, mpsc},
    thread,
};

use spacefold::{
    AppendError, Position, ReadError, SpaceEvent, Spacefold,
    log::{LogReader, ReadRequest},
};
use tempfile::TempDir;

use self::places::{OWN_THREAD, PLACES, Place};
use crate::bus::LONG;

/// A store, and where it is.
struct Store {
    _folder: TempDir,
    path: PathBuf,
    spaces: Spacefold,
}

impl Store {
    /// With one event, whose space is `first`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let spaces = Spacefold::open(&path).unwrap();
        spaces.append([SpaceEvent::space_created("first", "F")]).unwrap();
        Self { _folder: folder, path, spaces }
    }
}

/// Runs a scenario in a thread of its own; one that does not end fails.
#[track_caller]
fn ends<T: Send + 'static>(what: &str, scenario: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    let running = thread::spawn(move || done.send(scenario()).unwrap());
    match is_done.recv_timeout(LONG) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it does not end"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match running.join() {
            Ok(()) => unreachable!("it has said nothing"),
            Err(panic) => std::panic::resume_unwind(panic),
        },
    }
}

/// Nothing goes through any handle.
#[track_caller]
fn is_closed(spaces: &Spacefold, what: &str) {
    let appended = spaces.append([SpaceEvent::space_activated("late")]);
    assert!(matches!(appended, Err(AppendError::Closed)), "{what}: {appended:?}");
    let read = spaces.log().read(&ReadRequest::from(Position::new(1)));
    assert!(matches!(read, Err(ReadError::Closed)), "{what}: {read:?}");
    let index = spaces.projections().content_index();
    assert!(index.is_err(), "{what}: a projection is folded");
}

/// Another one opens it, and finds every event.
#[track_caller]
fn opens_again(path: &Path, what: &str, head: Position) {
    let again = Spacefold::open_existing(path);
    let again = again.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(again.durable_head(), head, "{what}");
    again.close().unwrap();
}

/// Has each of these places close the store, all of them in the middle of their code, and as many
/// threads more from outside.
fn close_from(places: &[Place], others: usize) {
    let what = places.iter().map(|place| place.name).collect::<Vec<_>>().join(" + ");
    let said = what.clone();
    let (path, head, _folder) = ends(&what, move || {
        let store = Store::new();
        let all = Arc::new(Barrier::new(places_and(others, &said)));
        let (closed, has_closed) = mpsc::channel();
        let close = |name: &'static str| {
            let (own, all, closed) = (store.spaces.clone(), Arc::clone(&all), closed.clone());
            move || {
                all.wait();
                own.close().unwrap();
                is_closed(&own, name);
                own.close().unwrap();
                closed.send(name).unwrap();
            }
        };
        let names: Vec<&str> = said.split(" + ").collect();
        let chosen = PLACES.iter().filter(|place| names.contains(&place.name));
        let mut kept = Vec::new();
        for place in chosen {
            kept.push((place.close_in)(&store.spaces, Box::new(close(place.name))));
        }
        let outside: Vec<_> = (0..others).map(|_| thread::spawn(close("outside"))).collect();
        for _ in 0..names.len() + others {
            has_closed.recv_timeout(LONG).expect("somebody does not come back from closing");
        }
        outside.into_iter().for_each(|thread| thread.join().unwrap());
        store.spaces.close().unwrap();
        is_closed(&store.spaces, &said);
        let head = store.spaces.durable_head();
        (store.path, head, (store._folder, kept))
    });
    opens_again(&path, &what, head);
}

fn places_and(others: usize, names: &str) -> usize {
    names.split(" + ").count() + others
}

#[test]
fn a_store_is_closed_from_anywhere() {
    for place in PLACES {
        close_from(&[*place], 0);
    }
}

#[test]
fn a_store_is_closed_from_anywhere_and_by_others_at_once() {
    for place in PLACES {
        close_from(&[*place], 2);
    }
}

#[test]
fn a_store_is_closed_from_two_places_at_once() {
    for (n, one) in OWN_THREAD.iter().enumerate() {
        for other in OWN_THREAD.iter().skip(n + 1) {
            let of = |name: &str| PLACES.iter().copied().find(|place| place.name == name).unwrap();
            close_from(&[of(one), of(other)], 0);
        }
    }
}

#[test]
fn a_store_is_closed_from_everywhere_at_once() {
    let places: Vec<Place> =
        PLACES.iter().copied().filter(|place| OWN_THREAD.contains(&place.name)).collect();
    for others in [0, 3] {
        close_from(&places, others);
    }
}

#[test]
fn many_close_at_once_and_each_is_answered_when_it_is_closed() {
    for _ in 0..20 {
        let (path, head, _folder) = ends("many", || {
            let store = Store::new();
            let all = Barrier::new(8);
            thread::scope(|scope| {
                for _ in 0..8 {
                    let own = store.spaces.clone();
                    let all = &all;
                    scope.spawn(move || {
                        all.wait();
                        own.close().unwrap();
                        is_closed(&own, "many");
                    });
                }
            });
            (store.path, store.spaces.durable_head(), store._folder)
        });
        opens_again(&path, "many", head);
    }
}
