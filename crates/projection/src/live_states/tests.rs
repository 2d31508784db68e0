//! One fold, whichever way it is cut, saved, loaded and asked.

mod kept;
mod many;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use proptest::prelude::*;
use spacefold_event_core::{
    Append, EventLog, LogReader, LogWriter, MemoryLog, MemoryStateStore, Page, Position, Read,
    ReadError, SpaceEvent, StateStore, Timestamp, lock::Lock, testing,
};
use spacefold_state::testing::{events, fold, log_of, record, recorded_at};

use super::*;
use crate::{
    RebuildMode, RebuildOptions,
    checkpoint::{BLOB_PREFIX, blob_key},
    testing::{CorruptLog, FailingStore, contents},
};

const SPACES: [&str; 3] = ["s", "s2", "t"];

fn at(position: u64) -> Position {
    Position::new(position)
}

fn over(log: &Arc<MemoryLog>, store: &Arc<impl StateStore + 'static>) -> LiveStates {
    LiveStates::new(log.clone(), store.clone())
}

fn sample() -> Vec<SpaceEvent> {
    vec![
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::space_created("t", "T"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::space_activated("t"),
        SpaceEvent::variable_set("s", "v", 1),
    ]
}

/// That the states answer for every space, now, what folding the log anew gives.
#[track_caller]
fn agree(states: &LiveStates, log: &MemoryLog) {
    let head = log.head();
    let mut existing = 0;
    for space_id in SPACES {
        let expected = fold(log, space_id, head.get());
        if expected.revision() == Revision::NONE {
            let error = states.snapshot(space_id).unwrap_err();
            assert!(matches!(error, SnapshotError::UnknownSpace { .. }), "{error}");
        } else {
            existing += 1;
            let snapshot = states.snapshot(space_id).unwrap();
            assert_eq!((&**snapshot.state(), snapshot.position()), (&expected, head));
        }
    }
    let all = states.snapshot_all().unwrap();
    assert_eq!(all.len(), existing);
    assert!(all.is_sorted_by(|a, b| a.space_id() < b.space_id()));
    for snapshot in all {
        assert_eq!(**snapshot.state(), fold(log, snapshot.space_id(), head.get()));
    }
}

#[test]
fn reads_nothing_before_the_first_use_and_shares_states() {
    let log = log_of(sample());
    let states = over(&log, &Arc::new(MemoryStateStore::new()));
    assert_eq!(states.checkpoints().unwrap()[0].position, Position::START);
    assert_eq!(states.catch_up().unwrap(), at(5));
    let one = states.snapshot("s").unwrap();
    assert!(Arc::ptr_eq(one.state(), states.snapshot("s").unwrap().state()));
    record(&log, [SpaceEvent::space_archived("s")]);
    assert_eq!(states.snapshot("s").unwrap().status().name(), "archived");
    assert_eq!(one.status().name(), "created", "a snapshot never changes");
    assert_eq!(states.checkpoints().unwrap()[0].position, at(6));
}

#[test]
fn travels_to_positions_and_times() {
    let log = log_of(sample());
    let states = over(&log, &Arc::new(MemoryStateStore::new()));
    let snapshot = states.snapshot_at("s", at(4)).unwrap();
    assert_eq!((snapshot.position(), snapshot.revision()), (at(4), Revision::new(2)));
    let unknown = |result: Result<Snapshot, SnapshotError>| matches!(result, Err(SnapshotError::UnknownSpace { space_id }) if space_id == "t");
    assert!(unknown(states.snapshot_at("t", at(1))));
    assert!(unknown(states.snapshot_at("t", Position::START)));
    assert!(states.snapshot_at("t", at(2)).is_ok());
    let beyond = states.snapshot_at("t", at(6)).unwrap_err();
    assert_eq!(beyond.to_string(), "position 6 lies beyond the head, which is 5");
    assert!(matches!(
        states.snapshot_all_at(at(6)),
        Err(SnapshotError::BeyondHead { asked, head }) if (asked, head) == (at(6), at(5))
    ));
    assert_eq!(states.snapshot_all_at(Position::START).unwrap(), []);
    assert_eq!(states.snapshot_all_at(at(1)).unwrap().len(), 1);
    assert_eq!(states.snapshot_all_at(at(5)).unwrap(), states.snapshot_all().unwrap());

    let snapshot = states.snapshot_as_of("s", recorded_at(4)).unwrap();
    assert_eq!(snapshot.position(), at(4));
    assert!(unknown(states.snapshot_as_of("t", recorded_at(1))));
    assert_eq!(states.position_as_of(Timestamp::MIN).unwrap(), Position::START);
    assert_eq!(states.position_as_of(Timestamp::MAX).unwrap(), at(5));
}

#[test]
fn waits_for_a_position() {
    let log = log_of(sample());
    let states = over(&log, &Arc::new(MemoryStateStore::new()));
    assert_eq!(states.snapshot_after("s", at(5), Duration::ZERO).unwrap().position(), at(5));
    let error = states.snapshot_after("s", at(6), Duration::from_millis(1)).unwrap_err();
    assert!(matches!(
        error,
        SnapshotError::TimedOut { position, durable_head } if (position, durable_head) == (at(6), at(5))
    ));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| states.snapshot_after("s", at(6), Duration::from_secs(30)));
        record(&log, [SpaceEvent::space_archived("s")]);
        assert_eq!(late.join().unwrap().unwrap().status().name(), "archived");
    });
}

#[test]
fn diffs_between_positions_in_either_order() {
    let log = log_of(sample());
    let states = over(&log, &Arc::new(MemoryStateStore::new()));
    let kinds = |a: u64, b: u64| -> Vec<&str> {
        let changes = states.diff("s", at(a), at(b)).unwrap();
        changes.iter().map(Change::kind).collect()
    };
    assert_eq!(kinds(1, 5), ["document_added", "variable_set"]);
    assert_eq!(kinds(5, 1), ["document_removed", "variable_deleted"]);
    assert_eq!(kinds(0, 1), ["space_created"]);
    assert_eq!(kinds(4, 0), ["space_deleted"]);
    assert_eq!(kinds(3, 4), [""; 0]);
    assert!(matches!(states.diff("x", at(0), at(1)), Err(SnapshotError::UnknownSpace { .. })));
    assert!(matches!(states.diff("s", at(0), at(6)), Err(SnapshotError::BeyondHead { .. })));
}

#[test]
fn goes_on_from_what_was_saved_and_writes_only_what_changed() {
    let log = log_of(sample());
    let store = Arc::new(MemoryStateStore::new());
    let states = over(&log, &store);
    states.save().unwrap();
    assert_eq!(contents(&*store), [], "nothing was folded");
    states.catch_up().unwrap();
    states.save().unwrap();
    let saved = contents(&*store);
    assert_eq!(saved.len(), 3);
    states.save().unwrap();
    assert_eq!(contents(&*store), saved);

    record(&log, [SpaceEvent::space_archived("t")]);
    let again = over(&log, &store);
    assert_eq!(again.checkpoints().unwrap()[0].position, at(5));
    agree(&again, &log);
    // One blob and the marker.
    let counting = Arc::new(FailingStore::new(store.clone(), 2));
    let third = over(&log, &counting);
    third.catch_up().unwrap();
    third.save().unwrap();
    let changed = contents(&*store).into_iter().filter(|entry| !saved.contains(entry));
    assert_eq!(changed.count(), 2);
    agree(&over(&log, &store), &log);
}

#[test]
fn refolds_what_is_lost_damaged_or_too_old() {
    let log = log_of(sample());
    let store = Arc::new(MemoryStateStore::new());
    let states = over(&log, &store);
    states.catch_up().unwrap();
    states.save().unwrap();
    let early = contents(&*store);
    record(&log, [SpaceEvent::space_archived("s"), SpaceEvent::space_archived("t")]);
    states.catch_up().unwrap();
    states.save().unwrap();
    let saved = contents(&*store);
    let restore = |entries: &[(Vec<u8>, Vec<u8>)]| {
        let store = Arc::new(MemoryStateStore::new());
        for (key, value) in entries {
            store.put(key, value).unwrap();
        }
        store
    };
    for lost in 0..saved.len() {
        let mut entries = saved.clone();
        entries.remove(lost);
        agree(&over(&log, &restore(&entries)), &log);
        for byte in 0..saved[lost].1.len() {
            let mut entries = saved.clone();
            entries[lost].1[byte] ^= 0x10;
            let store = restore(&entries);
            let states = over(&log, &store);
            agree(&states, &log);
            states.save().unwrap();
            agree(&over(&log, &store), &log);
        }
        let mut entries = saved.clone();
        entries[lost] = early[lost].clone();
        let store = restore(&entries);
        record(&log, [SpaceEvent::space_activated("s")]);
        agree(&over(&log, &store), &log);
    }
}

#[test]
fn a_save_that_is_cut_short_harms_nothing() {
    let log = log_of(sample());
    let store = Arc::new(MemoryStateStore::new());
    for round in 0..6 {
        for writes in 0..4 {
            record(&log, [SpaceEvent::space_archived("s"), SpaceEvent::space_archived("t")]);
            let failing = Arc::new(FailingStore::new(store.clone(), writes));
            let states = over(&log, &failing);
            agree(&states, &log);
            assert_eq!(states.save().is_err(), writes < 3, "{round} {writes}");
            agree(&states, &log);
            agree(&over(&log, &store), &log);
        }
    }
}

#[test]
fn states_of_another_log_are_not_taken() {
    let store = Arc::new(MemoryStateStore::new());
    let other = log_of(sample());
    let states = over(&other, &store);
    states.catch_up().unwrap();
    states.save().unwrap();
    // Shorter, as long, longer: all with other events.
    for count in [2, 5, 9] {
        let log = log_of((0..count).map(|n| SpaceEvent::variable_set("s", "n", i64::from(n))));
        agree(&over(&log, &store), &log);
    }
    let log = log_of((0..7).map(|n| SpaceEvent::variable_set("s", "n", i64::from(n))));
    let states = over(&log, &store);
    states.catch_up().unwrap();
    states.save().unwrap();
    assert_eq!(store.keys(BLOB_PREFIX).unwrap(), [blob_key(2, "s")], "the others were swept");
    agree(&over(&log, &store), &log);
}

#[test]
fn states_of_a_log_with_the_same_events_at_other_times_are_not_taken() {
    // As an import makes it: the ids of the events stay.
    let store = Arc::new(MemoryStateStore::new());
    let events = sample();
    let states = over(&log_of(events.clone()), &store);
    states.catch_up().unwrap();
    states.save().unwrap();
    let log = Arc::new(MemoryLog::new());
    let times: Vec<Timestamp> = (0..).map(recorded_at).take(events.len()).collect();
    let append = Append::new(&events).recorded_at(&times);
    log.append(&append).unwrap();
    agree(&over(&log, &store), &log);
}

#[test]
fn a_rebuild_beside_it_is_taken_over() {
    let log = log_of(sample());
    let store = Arc::new(MemoryStateStore::new());
    let states = over(&log, &store);
    states.catch_up().unwrap();
    states.save().unwrap();
    let blob = store.get(&blob_key(1, "s")).unwrap().unwrap();
    store.put(&blob_key(1, "t"), &blob).unwrap();
    let projections = crate::Projections::new(log.clone(), store.clone());
    let options = RebuildOptions::new(RebuildMode::Replace);
    crate::rebuild(&projections, &[], &options).unwrap();
    let rebuilt = contents(&*store);
    record(&log, [SpaceEvent::space_archived("s")]);
    agree(&states, &log);
    states.save().unwrap();
    assert_eq!(contents(&*store), rebuilt, "it does not write over what was rebuilt");
    agree(&states, &log);
    states.save().unwrap();
    assert_ne!(contents(&*store), rebuilt);
    states.forget();
    agree(&states, &log);
}

#[test]
fn an_event_that_does_not_decode_is_named_and_stops_only_what_needs_it() {
    let log = Arc::new(CorruptLog { inner: log_of(sample()), corrupt: at(4) });
    let states = LiveStates::new(log, Arc::new(MemoryStateStore::new()));
    for _ in 0..2 {
        let error = states.snapshot("s").unwrap_err();
        assert!(error.to_string().starts_with("position 4 does not decode"), "{error}");
    }
    assert_eq!(states.checkpoints().unwrap()[0].position, at(2));
    assert_eq!(states.snapshot_at("s", at(3)).unwrap().revision(), Revision::new(2));
    assert_eq!(states.snapshot_all_at(at(2)).unwrap().len(), 2);
    assert!(matches!(states.snapshot_all_at(at(4)), Err(SnapshotError::Read(_))));
}

#[test]
fn readers_and_a_writer_share_it() {
    let log = log_of(sample());
    let store = Arc::new(MemoryStateStore::new());
    let states = over(&log, &store);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = Revision::NONE;
                while last < Revision::new(203) {
                    let snapshot = states.snapshot("s").unwrap();
                    assert!(snapshot.revision() >= last);
                    last = snapshot.revision();
                    states.save().unwrap();
                }
            });
        }
        record(&log, (0..200).map(|n| SpaceEvent::variable_set("s", "n", n)));
    });
    agree(&states, &log);
}

/// A log that reads only when it is let: a fold can be stopped in the middle.
struct GatedLog {
    inner: Arc<MemoryLog>,
    /// Held by who lets nobody read.
    gate: Lock<()>,
    panics: AtomicUsize,
    reading: AtomicUsize,
}

impl GatedLog {
    fn over(inner: Arc<MemoryLog>) -> Arc<Self> {
        let (panics, reading) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { inner, gate: Lock::new(()), panics, reading })
    }
}

impl testing::LogWrapper for GatedLog {
    fn inner(&self) -> &dyn EventLog {
        &*self.inner
    }

    fn read(&self, read: &Read) -> Result<Page, ReadError> {
        self.reading.fetch_add(1, Ordering::SeqCst);
        let passing = self.gate.lock();
        drop(passing);
        let page = self.inner.read(&read.clone().limit(2))?;
        let panics =
            self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        assert_ne!(panics, Ok(1), "a read that panics");
        Ok(page)
    }
}

#[test]
fn readers_do_not_wait_for_a_fold_under_way_unless_they_must() {
    let log = GatedLog::over(log_of(sample()));
    let states = LiveStates::new(log.clone(), Arc::new(MemoryStateStore::new()));
    states.catch_up().unwrap();
    record(&log.inner, [SpaceEvent::space_archived("s"), SpaceEvent::space_archived("t")]);
    thread::scope(|scope| {
        let closed = log.gate.lock();
        let reads = log.reading.load(Ordering::SeqCst);
        let folding = scope.spawn(|| states.catch_up().unwrap());
        while log.reading.load(Ordering::SeqCst) == reads {
            thread::yield_now();
        }
        // The fold stands in its first read, and holds its lock.
        let snapshot = states.snapshot("s").unwrap();
        assert_eq!((snapshot.position(), snapshot.status().name()), (at(5), "created"));
        assert!(states.snapshot_all().unwrap().iter().all(|s| s.position() == at(5)));
        let own = scope.spawn(|| states.snapshot_from("s", at(6)).unwrap());
        let waited = scope.spawn(|| states.snapshot_after("t", at(7), Duration::ZERO).unwrap());
        drop(closed);
        assert_eq!(folding.join().unwrap(), at(7));
        assert_eq!(own.join().unwrap().status().name(), "archived");
        assert_eq!(waited.join().unwrap().status().name(), "archived");
    });
}

#[test]
fn while_they_are_followed_snapshots_answer_what_is_in_place() {
    let log = log_of(sample());
    let states = over(&log, &Arc::new(MemoryStateStore::new()));
    let followed = states.followed();
    assert_eq!(states.snapshot("s").unwrap().position(), at(5), "nothing was in place yet");
    record(&log, [SpaceEvent::space_archived("s")]);
    assert_eq!(states.snapshot("s").unwrap().position(), at(5));
    assert_eq!(states.snapshot_from("s", at(6)).unwrap().position(), at(6));
    record(&log, [SpaceEvent::space_activated("s")]);
    drop(followed);
    assert_eq!(states.snapshot("s").unwrap().position(), at(7));
}

#[test]
fn a_panic_in_a_fold_leaves_states_that_are_whole() {
    for reads in 1..6 {
        let log = GatedLog::over(log_of(sample()));
        let store = Arc::new(MemoryStateStore::new());
        let states = LiveStates::new(log.clone(), store.clone());
        states.catch_up().unwrap();
        states.save().unwrap();
        record(&log.inner, (0..9).map(|n| SpaceEvent::variable_set("s", format!("v{n}"), n)));
        log.panics.store(reads, Ordering::SeqCst);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| states.catch_up()));
        assert!(panicked.is_err(), "{reads}");
        agree(&states, &log.inner);
        states.save().unwrap();
        agree(&over(&log.inner, &store), &log.inner);
    }
}

#[test]
fn every_snapshot_is_the_fold_at_its_position_while_writers_write() {
    const EVENTS: u64 = 1_000;
    let log = log_of(sample());
    let states = over(&log, &Arc::new(MemoryStateStore::new()));
    let done = AtomicBool::new(false);
    let mut seen: Vec<Snapshot> = thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let (states, done) = (&states, &done);
                scope.spawn(move || {
                    let mut seen: Vec<Snapshot> = Vec::new();
                    while !done.load(Ordering::SeqCst) {
                        thread::yield_now();
                        let snapshot = states.snapshot("s").unwrap();
                        let last = seen.last().map_or(Position::START, Snapshot::position);
                        assert!(last <= snapshot.position(), "it went back");
                        if last == snapshot.position() {
                            continue;
                        }
                        seen.push(snapshot);
                        if reader == 0 {
                            let all = states.snapshot_all().unwrap();
                            assert!(all.iter().all(|s| s.position() == all[0].position()));
                            seen.extend(all);
                        }
                    }
                    seen
                })
            })
            .collect();
        let follower = scope.spawn(|| {
            let followed = states.followed();
            while !done.load(Ordering::SeqCst) {
                states.catch_up().unwrap();
            }
            drop(followed);
        });
        for n in 0..EVENTS {
            let event = match n % 4 {
                0 => SpaceEvent::variable_set("t", format!("v{}", n % 50), n),
                1 => SpaceEvent::document_added("s", format!("d{n}"), format!("/{n}")),
                _ => SpaceEvent::variable_set("s", format!("v{}", n % 300), n),
            };
            record(&log, [event]);
        }
        done.store(true, Ordering::SeqCst);
        follower.join().unwrap();
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    seen.sort_by_key(Snapshot::position);
    let mut expected = [SpaceState::new("s"), SpaceState::new("t")];
    let page = log.read(&Read::from(at(1)).limit(usize::MAX)).unwrap();
    let mut events = page.events().map(Result::unwrap).peekable();
    for snapshot in seen {
        while let Some(event) = events.next_if(|event| event.position <= snapshot.position()) {
            expected[usize::from(event.space_id == "t")].apply(&event);
        }
        assert_eq!(**snapshot.state(), expected[usize::from(snapshot.space_id() == "t")]);
    }
}

#[test]
fn the_hash_of_all_makes_anew_only_the_hashes_of_what_changed() {
    let log = log_of(sample());
    let mut states = SpaceStates::new();
    replay::fold_log(&*log, Position::START, log.head(), |event| {
        states.apply(event);
        Ok::<(), ReadError>(())
    })
    .unwrap();
    let kept = states.clone();
    let before = states.hash();
    record(&log, [SpaceEvent::space_archived("t")]);
    replay::fold_log(&*log, at(5), log.head(), |event| {
        states.apply(event);
        Ok::<(), ReadError>(())
    })
    .unwrap();
    assert!(Arc::ptr_eq(kept.get("s").unwrap(), states.get("s").unwrap()));
    assert_ne!(states.hash(), before);
    assert_eq!(kept.hash(), before);
    let anew: SpaceState = fold(&log, "t", 6);
    assert_eq!(states.get("t").unwrap().state_hash(), anew.state_hash());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_way_to_a_state_gives_the_same(events in events(0..30), cuts in any::<u32>()) {
        let log = Arc::new(MemoryLog::new());
        let store = Arc::new(MemoryStateStore::new());
        let mut states = over(&log, &store);
        for (index, event) in events.into_iter().enumerate() {
            record(&log, [event]);
            match (cuts >> ((index % 16) * 2)) & 3 {
                0 => {}
                1 => agree(&states, &log),
                2 => {
                    states.catch_up().unwrap();
                    states.save().unwrap();
                }
                _ => states = over(&log, &store),
            }
        }
        agree(&states, &log);
        let head = log.head().get();
        for position in 0..=head {
            let mut existing = 0;
            for space_id in SPACES {
                let expected = fold(&log, space_id, position);
                match states.snapshot_at(space_id, at(position)) {
                    Ok(snapshot) => {
                        existing += 1;
                        prop_assert_eq!(&**snapshot.state(), &expected);
                        prop_assert_eq!(snapshot.state_hash(), expected.state_hash());
                    }
                    Err(_) => prop_assert_eq!(expected.revision(), Revision::NONE),
                }
            }
            prop_assert_eq!(states.snapshot_all_at(at(position)).unwrap().len(), existing);
        }
    }
}
