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
use spacefold_disk::{
    MemoryDisk, SimDisk,
    sim::{Fault, Kept},
};
use spacefold_event_core::{
    AppendRequest, EventLog, LogReader, LogWriter, MemoryLog, Page, Position, ReadError,
    ReadRequest, Revision, SpaceEvent, Timestamp, lock::Lock, testing,
};
use spacefold_state::{
    SpaceState,
    testing::{events, fold, log_of, record, recorded_at},
};

use super::*;
use crate::{
    RebuildMode, RebuildOptions, TimeTravel, replay,
    testing::{
        CorruptLog, disk_of, effects_of, files, generations, persisted_spaces, persisted_states,
        sample, states_in, tamper,
    },
};

const SPACES: [&str; 3] = ["s", "s2", "t"];

fn at(position: u64) -> Position {
    Position::new(position)
}

fn over(log: &Arc<MemoryLog>, disk: &MemoryDisk) -> LiveStates {
    states_in(log, disk.root())
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
    let effects = states.effects(Position::START, head).unwrap();
    assert_eq!(effects, effects_of(log));
    let middle = Position::new(head.get() / 2);
    assert_eq!(states.effects(middle, head).unwrap(), effects.between(middle, head));
}

#[test]
fn reads_nothing_before_the_first_use_and_shares_states() {
    let log = log_of(sample());
    let states = over(&log, &MemoryDisk::new());
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
fn waits_for_a_position() {
    let log = log_of(sample());
    let states = over(&log, &MemoryDisk::new());
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
fn goes_on_from_what_was_saved_and_writes_only_what_changed() {
    let log = log_of(sample());
    let disk = MemoryDisk::new();
    let states = over(&log, &disk);
    states.save().unwrap();
    assert!(files(&disk.root()).is_empty(), "nothing was folded");
    states.catch_up().unwrap();
    states.save().unwrap();
    let saved = files(&disk.root());
    assert_eq!(persisted_spaces(&disk.root()), ["s", "t"]);
    states.save().unwrap();
    assert_eq!(files(&disk.root()), saved);

    record(&log, [SpaceEvent::space_archived("t")]);
    let again = over(&log, &disk);
    assert_eq!(again.checkpoints().unwrap()[0].position, at(5));
    agree(&again, &log);
    again.save().unwrap();
    // The manifest, and a run that has one state.
    let now = files(&disk.root());
    let changed: Vec<_> = now.iter().filter(|file| saved.get(file.0) != Some(file.1)).collect();
    let rows: Vec<&[u8]> = changed.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(changed.len(), 2);
    assert!(!rows.concat().windows(2).any(|bytes| bytes == b"/d"), "the state of s is there again");
    agree(&over(&log, &disk), &log);
}

#[test]
fn refolds_what_is_lost_damaged_or_too_old() {
    let log = log_of(sample());
    let disk = MemoryDisk::new();
    let states = over(&log, &disk);
    states.catch_up().unwrap();
    states.save().unwrap();
    let early = files(&disk.root());
    record(&log, [SpaceEvent::space_archived("s"), SpaceEvent::space_archived("t")]);
    states.catch_up().unwrap();
    states.save().unwrap();
    let saved = files(&disk.root());
    assert!(saved.len() > 3, "{:?}", saved.keys());
    for (lost, bytes) in &saved {
        let with = |bytes: Option<&Vec<u8>>| {
            let mut files = saved.clone();
            files.remove(lost);
            files.extend(bytes.map(|bytes| (lost.clone(), bytes.clone())));
            disk_of(&files)
        };
        let agrees = |disk: &MemoryDisk| {
            let states = over(&log, disk);
            agree(&states, &log);
            states.save().unwrap();
            agree(&over(&log, disk), &log);
        };
        agrees(&with(None));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            agrees(&with(Some(&damaged)));
            if at % 8 == 0 {
                agrees(&with(Some(&bytes[..at].to_vec())));
            }
        }
        record(&log, [SpaceEvent::space_activated("s")]);
        agrees(&with(early.get(lost)));
    }
    agree(&over(&log, &disk_of(&early)), &log);
}

#[test]
fn a_state_on_a_damaged_page_is_folded_anew_and_everything_when_pages_are_merged() {
    // Of as many runs as are merged the next time, with a page of one of them damaged.
    let log = log_of(sample());
    let disk = MemoryDisk::new();
    for n in 0..7 {
        record(
            &log,
            [SpaceEvent::variable_set("s", "v", n), SpaceEvent::variable_set("t", "v", n)],
        );
        let states = over(&log, &disk);
        states.catch_up().unwrap();
        states.save().unwrap();
    }
    let saved = files(&disk.root());
    let runs: Vec<_> = saved.keys().filter(|path| !path.ends_with("MANIFEST")).collect();
    assert!(runs.len() > 7, "{runs:?}");
    for run in runs {
        for at in (0..saved[run].len()).step_by(29) {
            let mut damaged = saved.clone();
            damaged.get_mut(run).unwrap()[at] ^= 1;
            let disk = disk_of(&damaged);
            let states = over(&log, &disk);
            agree(&states, &log);
            let position = log.head();
            record(&log, [SpaceEvent::variable_set("s", "w", position.get())]);
            agree(&states, &log);
            states.save().unwrap();
            agree(&states, &log);
            states.save().unwrap();
            agree(&over(&log, &disk), &log);
        }
    }
}

#[test]
fn a_save_that_is_cut_short_harms_nothing() {
    let log = log_of(sample());
    let mut disk = SimDisk::default();
    let mut failed = 0;
    for seed in 0..300 {
        record(&log, [SpaceEvent::space_archived("s"), SpaceEvent::space_archived("t")]);
        let mut rng = fastrand::Rng::with_seed(seed);
        disk.fail_call(disk.calls() + rng.u64(1..40), Fault::PowerCut);
        let states = states_in(&log, disk.root());
        if states.catch_up().is_ok() {
            failed += u64::from(states.save().is_err());
        }
        disk = disk.after_power_cut(Kept::Subset, &mut rng);
        agree(&states_in(&log, disk.root()), &log);
        assert!(generations(&disk.root(), "space-state").len() <= 1, "{seed}");
    }
    assert!(failed > 30, "no save failed in the middle: {failed}");
}

#[test]
fn states_of_another_log_are_not_taken() {
    let disk = MemoryDisk::new();
    let other = log_of(sample());
    let states = over(&other, &disk);
    states.catch_up().unwrap();
    states.save().unwrap();
    // Shorter, as long, longer: all with other events.
    for count in [2, 5, 9] {
        let log = log_of((0..count).map(|n| SpaceEvent::variable_set("s", "n", i64::from(n))));
        agree(&over(&log, &disk), &log);
    }
    let log = log_of((0..7).map(|n| SpaceEvent::variable_set("s", "n", i64::from(n))));
    let states = over(&log, &disk);
    states.catch_up().unwrap();
    states.save().unwrap();
    assert_eq!(persisted_spaces(&disk.root()), ["s"]);
    assert_eq!(generations(&disk.root(), "space-state"), ["2"], "the others were swept");
    agree(&over(&log, &disk), &log);
}

#[test]
fn states_of_a_log_with_the_same_events_at_other_times_are_not_taken() {
    // As an import makes it: the ids of the events stay.
    let disk = MemoryDisk::new();
    let events = sample();
    let states = over(&log_of(events.clone()), &disk);
    states.catch_up().unwrap();
    states.save().unwrap();
    let log = Arc::new(MemoryLog::new());
    let times: Vec<Timestamp> = (0..).map(recorded_at).take(events.len()).collect();
    let append = AppendRequest::new(&events).recorded_at(&times);
    log.append(&append).unwrap();
    agree(&over(&log, &disk), &log);
}

#[test]
fn a_rebuild_beside_it_is_taken_over() {
    let log = log_of(sample());
    let disk = MemoryDisk::new();
    over(&log, &disk).catch_up().unwrap();
    let states = over(&log, &disk);
    states.catch_up().unwrap();
    states.save().unwrap();
    tamper(&disk.root(), &SpaceState::new("t"));
    let states = Arc::new(over(&log, &disk));
    let projections = crate::Projections::new(Arc::clone(&states));
    let options = RebuildOptions::new(RebuildMode::Replace);
    assert_eq!(states.snapshot("s").unwrap().position(), at(5));
    let outcomes = crate::rebuild(&projections, &[], &options).unwrap();
    assert_eq!(outcomes[0].verdict, crate::Verdict::Replaced);
    let rebuilt = files(&disk.root());
    record(&log, [SpaceEvent::space_archived("s")]);
    agree(&states, &log);
    assert_eq!(files(&disk.root()), rebuilt);
    states.save().unwrap();
    assert_ne!(files(&disk.root()), rebuilt);
    agree(&over(&log, &disk), &log);
}

#[test]
fn an_event_that_does_not_decode_is_named_and_stops_only_what_needs_it() {
    let log = Arc::new(CorruptLog { inner: log_of(sample()), corrupt: at(4) });
    let states = states_in(&log, MemoryDisk::new().root());
    for _ in 0..2 {
        let error = states.snapshot("s").unwrap_err();
        assert!(error.to_string().starts_with("position 4 does not decode"), "{error}");
    }
    assert_eq!(states.checkpoints().unwrap()[0].position, at(2));
    let past = TimeTravel::new(Arc::new(states));
    assert_eq!(past.snapshot_at("s", at(3)).unwrap().revision(), Revision::new(2));
    assert_eq!(past.snapshot_all_at(at(2)).unwrap().len(), 2);
    assert!(matches!(past.snapshot_all_at(at(4)), Err(SnapshotError::Read(_))));
}

#[test]
fn readers_and_a_writer_share_it() {
    let log = log_of(sample());
    let disk = MemoryDisk::new();
    let states = over(&log, &disk);
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

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
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
    let states = states_in(&log, MemoryDisk::new().root());
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
    let states = over(&log, &MemoryDisk::new());
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
        let disk = MemoryDisk::new();
        let states = states_in(&log, disk.root());
        states.catch_up().unwrap();
        states.save().unwrap();
        record(&log.inner, (0..9).map(|n| SpaceEvent::variable_set("s", format!("v{n}"), n)));
        log.panics.store(reads, Ordering::SeqCst);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| states.catch_up()));
        assert!(panicked.is_err(), "{reads}");
        agree(&states, &log.inner);
        states.save().unwrap();
        agree(&over(&log.inner, &disk), &log.inner);
    }
}

#[test]
fn every_snapshot_is_the_fold_at_its_position_while_writers_write() {
    const EVENTS: u64 = 1_000;
    let log = log_of(sample());
    let states = over(&log, &MemoryDisk::new());
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
    let page = log.read(&ReadRequest::from(at(1)).limit(usize::MAX)).unwrap();
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
        let disk = MemoryDisk::new();
        let mut states = over(&log, &disk);
        for (index, event) in events.into_iter().enumerate() {
            record(&log, [event]);
            match (cuts >> ((index % 16) * 2)) & 3 {
                0 => {}
                1 => agree(&states, &log),
                2 => {
                    states.catch_up().unwrap();
                    states.save().unwrap();
                }
                _ => states = over(&log, &disk),
            }
        }
        agree(&states, &log);
        let past = TimeTravel::new(Arc::new(states));
        let head = log.head().get();
        for position in 0..=head {
            let mut existing = 0;
            for space_id in SPACES {
                let expected = fold(&log, space_id, position);
                match past.snapshot_at(space_id, at(position)) {
                    Ok(snapshot) => {
                        existing += 1;
                        prop_assert_eq!(&**snapshot.state(), &expected);
                        prop_assert_eq!(snapshot.state_hash(), expected.state_hash());
                    }
                    Err(_) => prop_assert_eq!(expected.revision(), Revision::NONE),
                }
            }
            prop_assert_eq!(past.snapshot_all_at(at(position)).unwrap().len(), existing);
        }
    }
}
