//! One fold, whichever way it is cut, saved, loaded and asked.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use spacefold_event_core::{
    Append, EventLog, MemoryLog, MemoryStateStore, Position, SpaceEvent, StateStore, Timestamp,
};

use super::*;
use crate::{
    RebuildMode, RebuildOptions,
    checkpoint::{BLOB_PREFIX, blob_key},
    testing::{CorruptLog, FailingStore, contents, events, fold, log_of, record, recorded_at},
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
