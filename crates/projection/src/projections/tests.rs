//! Registered projections: checkpoints, pauses, versions.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use proptest::prelude::*;
use spacefold_disk::{
    MemoryDisk, SimDisk,
    sim::{Fault, Kept},
};
use spacefold_event_core::{
    EventType, EventTypes, LogReader, MemoryLog, RecordedEventRef, SpaceEvent,
};
use spacefold_state::testing::{events, log_of, record};

use super::*;
use crate::{
    ApplyContext, ApplyError, Table, TableError,
    testing::{CorruptLog, disk_of, files, generations, projections_in},
};

/// What a [`Probe`] is told to do, and tells.
#[derive(Default)]
struct Wires {
    refuse: Mutex<BTreeSet<u64>>,
    panic: Mutex<BTreeSet<u64>>,
}

/// Counts events by space, and keeps a row for each.
struct Probe {
    name: &'static str,
    version: u32,
    wires: Arc<Wires>,
}

impl Probe {
    fn new(wires: &Arc<Wires>) -> Self {
        Self { name: "probe", version: 1, wires: Arc::clone(wires) }
    }
}

impl Projection for Probe {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn event_types(&self) -> EventTypes {
        EventTypes::ALL.iter().filter(|it| *it != EventType::SpaceArchived).collect()
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        _context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        let position = event.position.get();
        let count = table.get(event.space_id)?.map_or(0, |value| value[0]);
        table.put(event.space_id, [count.wrapping_add(1), u8::try_from(self.version).unwrap()])?;
        if self.wires.refuse.lock().unwrap().contains(&position) {
            return Err(ApplyError::refused("not today"));
        }
        assert!(!self.wires.panic.lock().unwrap().contains(&position), "as told");
        table.put(format!("event {position}"), vec![b'x'; 300])?;
        Ok(())
    }
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn rows<P>(handle: &ProjectionHandle<P>) -> (Rows, u64) {
    let read = handle.read(|view| {
        let rows = view.scan(b"")?.collect::<Result<Rows, _>>()?;
        Ok((rows, view.position().get()))
    });
    read.unwrap()
}

/// What a probe has after the first events of a log, some of which it leaves out.
fn expected(log: &MemoryLog, up_to: u64, version: u8, skipped: &[u64]) -> Rows {
    let mut rows = Rows::new();
    for event in spacefold_state::testing::recorded(log) {
        let position = event.position.get();
        let concerns = event.event.event_type() != EventType::SpaceArchived;
        if position > up_to || !concerns || skipped.contains(&position) {
            continue;
        }
        let row = rows.entry(event.event.space_id.into_bytes());
        let count = &mut row.or_insert_with(|| vec![0, version])[0];
        *count = count.wrapping_add(1);
        rows.insert(format!("event {position}").into_bytes(), vec![b'x'; 300]);
    }
    rows
}

fn some_events(count: u64) -> impl Iterator<Item = SpaceEvent> {
    (0..count).map(|n| {
        let space = format!("s{}", n % 3);
        match n % 5 {
            4 => SpaceEvent::space_archived(space),
            _ => SpaceEvent::variable_set(space, "n", n),
        }
    })
}

fn over(log: &Arc<MemoryLog>, disk: &MemoryDisk) -> Projections {
    projections_in(log, disk.root())
}

#[test]
fn names_are_checked_and_taken_once() {
    let log = log_of([]);
    let projections = over(&log, &MemoryDisk::new());
    let wires = Arc::default();
    for name in ["", "a/b", "space-state", "a b", "\u{e9}"] {
        let refused = projections.register(Probe { name, ..Probe::new(&wires) });
        assert!(matches!(refused, Err(RegisterError::InvalidName { .. })), "{name}");
    }
    let longest: &'static str = "n".repeat(MAX_PROJECTION_NAME_BYTES).leak();
    let too_long: &'static str = "n".repeat(MAX_PROJECTION_NAME_BYTES + 1).leak();
    projections.register(Probe { name: longest, ..Probe::new(&wires) }).unwrap();
    assert!(projections.register(Probe { name: too_long, ..Probe::new(&wires) }).is_err());
    projections.register(Probe::new(&wires)).unwrap();
    let again = projections.register(Probe::new(&wires));
    assert!(matches!(again, Err(RegisterError::NameTaken { name: "probe" })));
    let unknown = projections.catch_up("nobody").unwrap_err();
    assert!(unknown.to_string().contains("expected one of nnn"), "{unknown}");
}

#[test]
fn nothing_is_written_before_something_is_folded() {
    let log = log_of(some_events(5));
    let disk = MemoryDisk::new();
    let projections = over(&log, &disk);
    let handle = projections.register(Probe::new(&Arc::default())).unwrap();
    projections.save().unwrap();
    assert!(disk.root().names().unwrap().is_empty());
    assert!(!handle.is_persisted());
    let info = handle.info();
    assert_eq!((info.position, info.lag), (Position::START, 5));
}

#[test]
fn it_goes_on_from_its_checkpoint() {
    let log = log_of(some_events(40));
    let disk = MemoryDisk::new();
    for events in [40, 47, 47, 90] {
        record(&log, some_events(events - log.head().get()));
        let projections = over(&log, &disk);
        let handle = projections.register(Probe::new(&Arc::default())).unwrap();
        assert_eq!(handle.catch_up().unwrap().get(), events);
        assert_eq!(rows(&handle), (expected(&log, events, 1, &[]), events));
        projections.save().unwrap();
        let again = over(&log, &disk).register(Probe::new(&Arc::default())).unwrap();
        assert_eq!(rows(&again), (expected(&log, events, 1, &[]), events));
    }
}

#[test]
fn rows_and_position_are_persisted_in_one_step_whichever_write_is_the_last() {
    let log = log_of(some_events(60));
    let mut failed = 0;
    for calls in 1..400 {
        let disk = SimDisk::default();
        disk.fail_call(calls, Fault::PowerCut);
        let projections = projections_in(&log, disk.root());
        let Ok(handle) = projections.register(Probe::new(&Arc::default())) else { continue };
        // Several checkpoints, with more rows than one has room for.
        let mut saved = 0;
        for n in 1..=6 {
            let skipped = handle.slot_for_tests().catch_up_to(Position::new(n * 10));
            if skipped.is_ok() && projections.save().is_ok() {
                saved = n * 10;
            }
        }
        failed += u64::from(saved < 60);
        let left = disk.after_power_cut(Kept::Subset, &mut fastrand::Rng::with_seed(calls));
        let again =
            projections_in(&log, left.root()).register(Probe::new(&Arc::default())).unwrap();
        let (found, position) = rows(&again);
        assert_eq!(found, expected(&log, position, 1, &[]), "{calls}");
        assert!(position == saved || position == saved + 10, "{calls}: {position} {saved}");
        assert_eq!(again.catch_up().unwrap().get(), 60);
        assert_eq!(rows(&again).0, expected(&log, 60, 1, &[]));
        again.slot_for_tests().save_last().unwrap();
        drop(projections_in(&log, left.root()).register(Probe::new(&Arc::default())).unwrap());
        let left = generations(&left.root(), "projections/probe.projection");
        assert_eq!(left.len(), 1, "{calls}: {left:?}");
    }
    assert!(failed > 10, "no write failed in the middle");
}

#[test]
fn an_event_that_is_refused_pauses_that_projection_alone() {
    let log = log_of(some_events(20));
    let disk = MemoryDisk::new();
    let projections = over(&log, &disk);
    let wires: Arc<Wires> = Arc::default();
    wires.refuse.lock().unwrap().extend([7, 12]);
    let handle = projections.register(Probe::new(&wires)).unwrap();
    let other =
        projections.register(Probe { name: "other", ..Probe::new(&Arc::default()) }).unwrap();
    let paused = Paused {
        position: Position::new(7),
        kind: PauseKind::Refused,
        reason: "not today".to_owned(),
    };
    for _ in 0..2 {
        let error = handle.catch_up().unwrap_err();
        assert!(matches!(error, CatchUpError::Paused(found) if found == paused));
    }
    assert_eq!(rows(&handle), (expected(&log, 6, 1, &[]), 6), "nothing of it counts");
    assert_eq!(other.catch_up().unwrap().get(), 20);
    assert_eq!(projections.infos()[1].paused.as_ref(), Some(&paused));
    let waited = handle.wait(Position::new(8), Duration::from_secs(100));
    assert!(matches!(waited, Err(CatchUpError::Paused(_))));

    // It is still paused after a restart, until it is resumed.
    let projections = over(&log, &disk);
    let handle = projections.register(Probe::new(&wires)).unwrap();
    assert_eq!(handle.info().paused.as_ref(), Some(&paused));
    assert!(matches!(projections.resume("probe"), Err(CatchUpError::Paused(_))));
    wires.refuse.lock().unwrap().remove(&7);
    assert!(matches!(handle.catch_up(), Err(CatchUpError::Paused(_))), "not by itself");
    let error = projections.resume("probe").unwrap_err();
    assert!(error.to_string().contains("position 12 (refused): not today"), "{error}");
    assert_eq!(projections.skip("probe").unwrap().get(), 20);
    assert_eq!(rows(&handle), (expected(&log, 20, 1, &[12]), 20));
    assert_eq!(handle.info().skipped, [Position::new(12)]);
    projections.save().unwrap();
    let again = over(&log, &disk).register(Probe::new(&wires)).unwrap();
    assert_eq!(again.info().skipped, [Position::new(12)]);
    assert_eq!(rows(&again), (expected(&log, 20, 1, &[12]), 20));
}

#[test]
fn a_panic_pauses_and_takes_nothing_with_it() {
    let log = log_of(some_events(20));
    let projections = over(&log, &MemoryDisk::new());
    let wires: Arc<Wires> = Arc::default();
    wires.panic.lock().unwrap().insert(8);
    let handle = projections.register(Probe::new(&wires)).unwrap();
    let error = handle.catch_up().unwrap_err();
    let CatchUpError::Paused(paused) = error else { panic!("{error}") };
    assert_eq!((paused.position.get(), paused.kind), (8, PauseKind::Panicked));
    assert_eq!(paused.reason, "as told");
    assert_eq!(rows(&handle), (expected(&log, 7, 1, &[]), 7));
    wires.panic.lock().unwrap().clear();
    assert_eq!(projections.resume("probe").unwrap().get(), 20);
    assert_eq!(rows(&handle).0, expected(&log, 20, 1, &[]));
}

#[test]
fn an_event_that_does_not_decode_is_quarantined_and_can_be_skipped() {
    let inner = log_of(some_events(20));
    for corrupt in [1, 9, 20] {
        let log = CorruptLog { inner: inner.clone(), corrupt: Position::new(corrupt) };
        let projections = projections_in(&Arc::new(log), MemoryDisk::new().root());
        let handle = projections.register(Probe::new(&Arc::default())).unwrap();
        let error = handle.catch_up().unwrap_err();
        let CatchUpError::Paused(paused) = error else { panic!("{error}") };
        assert_eq!((paused.position.get(), paused.kind), (corrupt, PauseKind::Undecodable));
        assert!(paused.reason.contains("does not decode"), "{}", paused.reason);
        assert_eq!(rows(&handle), (expected(&inner, corrupt - 1, 1, &[]), corrupt - 1));
        assert_eq!(projections.skip("probe").unwrap().get(), 20);
        assert_eq!(rows(&handle), (expected(&inner, 20, 1, &[corrupt]), 20));
    }
}

#[test]
fn no_more_events_are_skipped_than_may_be() {
    let count = u64::try_from(MAX_SKIPPED_EVENTS).unwrap() + 1;
    let log = log_of((0..count).map(|n| SpaceEvent::variable_set("s", "n", n)));
    let projections = over(&log, &MemoryDisk::new());
    let wires: Arc<Wires> = Arc::default();
    wires.refuse.lock().unwrap().extend(1..=count);
    let handle = projections.register(Probe::new(&wires)).unwrap();
    for skipped in 1..count {
        let next = projections.skip("probe").unwrap_err();
        assert!(matches!(next, CatchUpError::Paused(at) if at.position.get() == skipped));
    }
    assert!(matches!(projections.skip("probe"), Err(CatchUpError::Paused(_))));
    assert!(matches!(projections.skip("probe"), Err(CatchUpError::TooManySkipped)));
    assert_eq!(handle.info().skipped.len(), MAX_SKIPPED_EVENTS);
    assert_eq!(handle.info().paused.unwrap().position.get(), count);
}

#[test]
fn a_new_version_is_built_beside_the_old_one_and_swapped_in() {
    let log = log_of(some_events(2_000));
    let disk = MemoryDisk::new();
    let projections = over(&log, &disk);
    projections.register(Probe::new(&Arc::default())).unwrap().catch_up().unwrap();
    projections.save().unwrap();

    let wires: Arc<Wires> = Arc::default();
    wires.refuse.lock().unwrap().insert(1_502);
    let projections = over(&log, &disk);
    let newer = Probe { version: 2, ..Probe::new(&wires) };
    let handle = projections.register(newer).unwrap();
    let old = expected(&log, 2_000, 1, &[]);
    assert!(handle.catch_up().is_err());
    assert_eq!(rows(&handle), (old.clone(), 2_000), "the old one is read");
    let info = handle.info();
    assert_eq!((info.version, info.position.get()), (1, 2_000));
    let building = Building { version: 2, position: Position::new(1_501) };
    assert_eq!(info.building, Some(building));
    assert_eq!(info.paused.unwrap().position.get(), 1_502);

    // After a restart it goes on where it was, and readers see the one or the other.
    wires.refuse.lock().unwrap().clear();
    let projections = over(&log, &disk);
    let handle = projections.register(Probe { version: 2, ..Probe::new(&wires) }).unwrap();
    assert_eq!(handle.info().building, Some(building));
    let new = expected(&log, 2_000, 2, &[]);
    thread::scope(|scope| {
        let (begun, has_begun) = mpsc::channel();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (handle, begun, old, new) = (handle.clone(), begun.clone(), &old, &new);
                scope.spawn(move || {
                    let mut versions = BTreeSet::new();
                    loop {
                        let (found, version) = handle
                            .read(|view| {
                                Ok((view.scan(b"")?.collect::<Result<Rows, _>>()?, view.version()))
                            })
                            .unwrap();
                        assert!(found == *if version == 1 { old } else { new });
                        versions.insert(version);
                        let _ = begun.send(());
                        if version == 2 {
                            return versions;
                        }
                    }
                })
            })
            .collect();
        has_begun.recv().unwrap();
        has_begun.recv().unwrap();
        projections.resume("probe").unwrap();
        for reader in readers {
            assert!(reader.join().unwrap().contains(&2));
        }
    });
    let info = handle.info();
    assert_eq!((info.version, info.building, info.paused), (2, None, None));
    let files = files(&disk.root());
    let of_old = |path: &&PathBuf| path.starts_with("projections/probe.projection/1");
    assert_eq!(files.keys().filter(of_old).count(), 0, "the old rows are removed");
    // An older program finds the newer state, and builds its own beside it.
    let older = over(&log, &disk).register(Probe::new(&Arc::default())).unwrap();
    assert_eq!((older.info().version, older.info().position.get()), (2, 2_000));
    older.catch_up().unwrap();
    assert_eq!(rows(&older).0, old);
}

#[test]
fn rows_that_are_damaged_or_of_another_log_are_folded_anew() {
    let log = log_of(some_events(200));
    let disk = MemoryDisk::new();
    let projections = over(&log, &disk);
    projections.register(Probe::new(&Arc::default())).unwrap().catch_up().unwrap();
    projections.save().unwrap();
    let expected = expected(&log, 200, 1, &[]);
    let whole = files(&disk.root());
    assert!(whole.len() > 2, "{whole:?}");
    for (damaged, bytes) in &whole {
        for lost in [true, false] {
            let mut files = whole.clone();
            let mut noise = bytes.clone();
            noise[bytes.len() / 2] ^= 1;
            match lost {
                true => files.remove(damaged),
                false => files.insert(damaged.clone(), noise),
            };
            let disk = disk_of(&files);
            let projections = over(&log, &disk);
            let handle = projections.register(Probe::new(&Arc::default())).unwrap();
            // A page that is damaged is found when it is read.
            record(&log, []);
            let read = handle.read(|view| view.scan(b"")?.collect::<Result<Rows, _>>());
            match read {
                Ok(rows) if handle.position().get() == 200 => assert_eq!(rows, expected),
                Ok(_) => {}
                Err(error) => {
                    assert!(matches!(error, CatchUpError::Table(TableError::Damaged { .. })));
                    handle.slot_for_tests().begin_anew().unwrap();
                }
            }
            handle.catch_up().unwrap();
            assert_eq!(rows(&handle), (expected.clone(), 200));
        }
    }
    let other = log_of(some_events(250));
    let handle = over(&other, &disk).register(Probe::new(&Arc::default())).unwrap();
    assert_eq!(handle.position(), Position::START, "of another log");
    let shorter = log_of(some_events(10));
    let handle = over(&shorter, &disk).register(Probe::new(&Arc::default())).unwrap();
    assert_eq!(handle.position(), Position::START, "ahead of the log");
}

#[test]
fn who_waits_is_woken_when_it_is_there() {
    let log = log_of(some_events(10));
    let projections = over(&log, &MemoryDisk::new());
    let handle = projections.register(Probe::new(&Arc::default())).unwrap();
    assert_eq!(handle.wait(Position::new(1), Duration::ZERO).unwrap(), Position::START);
    thread::scope(|scope| {
        let waiter =
            scope.spawn(|| handle.wait(Position::new(10), Duration::from_secs(600)).unwrap());
        handle.catch_up().unwrap();
        assert_eq!(waiter.join().unwrap().get(), 10);
        let waiter = scope.spawn(|| handle.wait(Position::new(11), Duration::from_secs(600)));
        projections.stop();
        assert!(matches!(waiter.join().unwrap(), Err(CatchUpError::Read(_))));
    });
    record(&log, some_events(1));
    assert!(matches!(handle.catch_up(), Err(CatchUpError::Read(_))), "it is stopped");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_it_is_interrupted_it_folds_the_same(
        events in events(1..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let log = log_of(events);
        let head = log.durable_head().get();
        let disk = MemoryDisk::new();
        let mut cuts: Vec<u64> =
            cuts.iter().map(|cut| cut.index(usize::try_from(head).unwrap()) as u64 + 1).collect();
        cuts.sort_unstable();
        for (round, cut) in cuts.into_iter().chain([head]).enumerate() {
            let projections = over(&log, &disk);
            let handle = projections.register(Probe::new(&Arc::default())).unwrap();
            let position = handle.slot_for_tests().catch_up_to(Position::new(cut)).unwrap();
            prop_assert_eq!(rows(&handle), (expected(&log, position.get(), 1, &[]), position.get()));
            // Every other one ends without a checkpoint, as a kill does.
            if round % 2 == 0 {
                projections.save().unwrap();
            }
        }
    }
}
