//! Rebuilds of registered projections: verdicts, the first event that parts, interruptions.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use proptest::prelude::*;
use spacefold_disk::{
    MemoryDisk, SimDisk,
    sim::{Fault, Kept},
};
use spacefold_event_core::{MemoryLog, RecordedEventRef, SpaceEvent};
use spacefold_state::testing::{events, log_of, record};

use super::*;
use crate::{
    Activity, ApplyContext, ApplyError, Builtin, ContentIndex, OpenProblems, Projection,
    ProjectionHandle, Projections, RebuildOptions, RebuildOutcome, Resume, Table, Verdict, rebuild,
    testing::{effects_of, files, generations, projections_in, states_in},
};

/// Sums up positions by space; at some positions it does more than it is to do.
struct Sums {
    wrong: Arc<Mutex<BTreeSet<u64>>>,
    refused: Option<u64>,
}

impl Projection for Sums {
    fn name(&self) -> &'static str {
        "sums"
    }

    fn version(&self) -> u32 {
        1
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        _context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        let position = event.position.get();
        if self.refused == Some(position) {
            return Err(ApplyError::refused("no sum"));
        }
        let sum =
            table.get(event.space_id)?.map_or(0, |it| u64::from_le_bytes(it.try_into().unwrap()));
        let more = u64::from(self.wrong.lock().unwrap().contains(&position));
        table.put(event.space_id, (sum + position + more).to_le_bytes())?;
        table.put(format!("{position}"), vec![b'x'; 100])?;
        Ok(())
    }
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn sums(
    log: &Arc<MemoryLog>,
    disk: &MemoryDisk,
    wrong: &[u64],
) -> (Projections, ProjectionHandle<Sums>) {
    let projections = projections_in(log, disk.root());
    let wrong = Arc::new(Mutex::new(wrong.iter().copied().collect()));
    let handle = projections.register(Sums { wrong, refused: None }).unwrap();
    (projections, handle)
}

fn rows(handle: &ProjectionHandle<Sums>) -> Rows {
    handle.read(|view| view.scan(b"")?.collect()).unwrap()
}

/// The rows of a plain fold.
fn plain(log: &Arc<MemoryLog>) -> Rows {
    let (_, handle) = sums(log, &MemoryDisk::new(), &[]);
    handle.catch_up().unwrap();
    rows(&handle)
}

/// A disk with the rows of a fold that went wrong at these positions.
fn folded_wrong(log: &Arc<MemoryLog>, wrong: &[u64]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (projections, handle) = sums(log, &disk, wrong);
    handle.catch_up().unwrap();
    projections.save().unwrap();
    disk
}

fn run(projections: &Projections, mode: RebuildMode) -> Result<RebuildOutcome, RebuildError> {
    run_with(projections, &RebuildOptions::new(mode))
}

fn run_with(
    projections: &Projections,
    options: &RebuildOptions<'_>,
) -> Result<RebuildOutcome, RebuildError> {
    rebuild(projections, &["sums".to_owned()], options).map(|mut outcomes| outcomes.remove(0))
}

fn some_events(count: u64) -> impl Iterator<Item = SpaceEvent> {
    (0..count).map(|n| SpaceEvent::variable_set(format!("s{}", n % 3), "n", n))
}

#[test]
fn created_then_identical_also_when_events_came_since() {
    let log = log_of(some_events(100));
    let disk = MemoryDisk::new();
    let (projections, handle) = sums(&log, &disk, &[]);
    let checked = run(&projections, RebuildMode::Check).unwrap();
    assert_eq!((checked.verdict, checked.old_hash), (Verdict::NothingToCompare, None));
    assert!(files(&disk.root()).is_empty(), "a check changes nothing");
    let created = run(&projections, RebuildMode::Replace).unwrap();
    assert_eq!((created.verdict, created.old_hash.as_ref()), (Verdict::Created, None));
    assert_eq!((created.name, created.events, created.entries), ("sums", 100, 103));
    assert_eq!(rows(&handle), plain(&log));
    record(&log, some_events(50));
    let before = files(&disk.root());
    for mode in [RebuildMode::Check, RebuildMode::Replace] {
        let outcome = run(&projections, mode).unwrap();
        assert_eq!((outcome.verdict, outcome.events), (Verdict::Identical, 150));
        assert_eq!(outcome.old_hash, Some(outcome.new_hash));
        assert_eq!(files(&disk.root()), before);
    }
    assert_eq!(handle.position().get(), 100, "what is the same is left as it is");
    handle.catch_up().unwrap();
    assert_eq!(rows(&handle), plain(&log));
}

#[test]
fn the_first_event_that_did_something_else_is_found_exactly() {
    let log = log_of(some_events(9_000));
    for wrong in [&[1][..], &[2], &[4_095], &[4_096], &[4_097], &[8_191, 8_500], &[9_000]] {
        let disk = folded_wrong(&log, wrong);
        let (projections, handle) = sums(&log, &disk, &[]);
        let before = files(&disk.root());
        let outcome = run(&projections, RebuildMode::Check).unwrap();
        assert_eq!(outcome.verdict, Verdict::Diverged);
        let space_id = format!("s{}", (wrong[0] - 1) % 3);
        let position = Position::new(wrong[0]);
        assert_eq!(outcome.first_divergence, Some(Divergence { space_id, position }));
        assert_eq!(files(&disk.root()), before, "a check changes nothing");
        let outcome = run(&projections, RebuildMode::Replace).unwrap();
        assert_eq!((outcome.verdict, outcome.first_divergence), (Verdict::Replaced, None));
        assert_ne!(outcome.old_hash, Some(outcome.new_hash));
        assert_eq!(rows(&handle), plain(&log));
        assert_eq!(run(&projections, RebuildMode::Check).unwrap().verdict, Verdict::Identical);
        let (_, again) = sums(&log, &disk, &[]);
        assert_eq!((rows(&again), again.position().get()), (plain(&log), 9_000));
    }
}

#[test]
fn a_row_that_no_event_explains_names_the_event_that_made_it() {
    let log = log_of(some_events(100));
    let sum = |n: u64| n.to_le_bytes().to_vec();
    for (key, value, expected) in [
        ("7", Some(b"other".to_vec()), 7),
        ("s1", Some(sum(1)), 98),
        ("s1", None, 98),
        ("nobody", Some(sum(1)), 0),
    ] {
        let disk = folded_wrong(&log, &[]);
        let (projections, handle) = sums(&log, &disk, &[]);
        handle.slot_for_tests().tamper(key.as_bytes(), value.as_deref());
        let outcome = run(&projections, RebuildMode::Check).unwrap();
        assert_eq!(outcome.verdict, Verdict::Diverged, "{key}");
        let found = outcome.first_divergence.unwrap();
        assert_eq!(found.position.get(), expected, "{key}");
        assert_eq!(run(&projections, RebuildMode::Replace).unwrap().verdict, Verdict::Replaced);
        assert_eq!(rows(&handle), plain(&log));
    }
}

#[test]
fn an_event_that_is_refused_ends_it_and_leaves_what_is_there() {
    let log = log_of(some_events(50));
    let disk = folded_wrong(&log, &[30]);
    let projections = projections_in(&log, disk.root());
    let handle = projections.register(Sums { wrong: Arc::default(), refused: Some(40) }).unwrap();
    let before = rows(&handle);
    let error = run(&projections, RebuildMode::Replace).unwrap_err();
    assert_eq!(
        error.to_string(),
        "projection sums cannot be rebuilt: position 40 (refused): no sum"
    );
    assert_eq!(rows(&handle), before);
    // The next one goes on in front of it.
    let (projections, handle) = sums(&log, &disk, &[]);
    let outcome = run(&projections, RebuildMode::Replace).unwrap();
    assert_eq!(outcome.resumed_from.map(Position::get), Some(39));
    assert_eq!((outcome.verdict, rows(&handle)), (Verdict::Replaced, plain(&log)));
}

#[test]
fn one_that_was_cut_short_is_gone_on_with_or_begun_anew() {
    let log = log_of(some_events(20_000));
    let expected = plain(&log);
    for resume in [Resume::GoOn, Resume::Restart] {
        let disk = folded_wrong(&log, &[15_000]);
        let (projections, handle) = sums(&log, &disk, &[]);
        let old = rows(&handle);
        let cancel = AtomicBool::new(false);
        let progress = |events| cancel.store(events > 8_000, Ordering::Release);
        let mut options = RebuildOptions::new(RebuildMode::Replace);
        options.cancel = Some(&cancel);
        options.progress = &progress;
        let error = run_with(&projections, &options).unwrap_err();
        assert!(matches!(error, RebuildError::Cancelled));
        assert_eq!(rows(&handle), old, "the old one stays");
        // So is a check, which leaves nothing of its own.
        let before = generations(&disk.root(), "projections/sums.projection");
        options.mode = RebuildMode::Check;
        cancel.store(false, Ordering::Release);
        assert!(matches!(run_with(&projections, &options), Err(RebuildError::Cancelled)));
        assert_eq!(generations(&disk.root(), "projections/sums.projection"), before);
        // A check leaves it alone, and a restarted program finds it.
        assert!(run(&projections, RebuildMode::Check).unwrap().resumed_from.is_none());
        let (projections, handle) = sums(&log, &disk, &[]);
        let options = RebuildOptions { resume, ..RebuildOptions::new(RebuildMode::Replace) };
        let outcome = run_with(&projections, &options).unwrap();
        assert_eq!(outcome.verdict, Verdict::Replaced);
        assert_eq!(outcome.resumed_from.is_some(), resume == Resume::GoOn);
        assert!(outcome.resumed_from.is_none_or(|from| from.get() > 4_000));
        assert_eq!(rows(&handle), expected);
        let left = generations(&disk.root(), "projections/sums.projection");
        assert_eq!(left.len(), 1, "nothing of the others stays");
    }
}

#[test]
fn a_kill_at_any_write_leaves_the_old_or_the_new() {
    let log = log_of(some_events(120));
    let (new, old) = (plain(&log), {
        let (_, handle) = sums(&log, &folded_wrong(&log, &[60]), &[]);
        rows(&handle)
    });
    let mut seen = [0, 0];
    for call in 1..120 {
        let disk = SimDisk::default();
        let wrong = Arc::new(Mutex::new(BTreeSet::from([60])));
        let projections = projections_in(&log, disk.root());
        projections.register(Sums { wrong, refused: None }).unwrap().catch_up().unwrap();
        projections.save().unwrap();
        let projections = projections_in(&log, disk.root());
        projections.register(Sums { wrong: Arc::default(), refused: None }).unwrap();
        disk.fail_call(disk.calls() + call, Fault::PowerCut);
        let result = run(&projections, RebuildMode::Replace);
        let left = disk.after_power_cut(Kept::Subset, &mut fastrand::Rng::with_seed(call));
        let projections = projections_in(&log, left.root());
        let sums = Sums { wrong: Arc::default(), refused: None };
        let handle = projections.register(sums).unwrap();
        let found = rows(&handle);
        assert!(found == old || found == new, "{call}");
        assert!(result.is_err() || found == new, "{call}");
        seen[usize::from(found == new)] += 1;
        run(&projections, RebuildMode::Replace).unwrap();
        assert_eq!(rows(&handle), new, "{call}");
        assert_eq!(run(&projections, RebuildMode::Check).unwrap().verdict, Verdict::Identical);
    }
    assert!(seen[0] > 2 && seen[1] > 2, "{seen:?}");
}

#[test]
fn a_store_that_goes_on_meanwhile_is_not_held_up_nor_left_behind() {
    let log = log_of(some_events(2_000));
    let disk = folded_wrong(&log, &[500]);
    let (projections, handle) = sums(&log, &disk, &[]);
    // Appended and folded from within the rebuild, in front of its end.
    let progress = |events: u64| {
        if log.head().get() < 4_000 {
            record(&log, some_events(100));
            let before = handle.position();
            assert!(handle.catch_up().unwrap() > before);
        }
        assert!(events <= 2_000);
    };
    let options =
        RebuildOptions { progress: &progress, ..RebuildOptions::new(RebuildMode::Replace) };
    let outcome = run_with(&projections, &options).unwrap();
    assert_eq!((outcome.verdict, outcome.events), (Verdict::Replaced, 2_000));
    assert!(log.head().get() > 2_000);
    assert_eq!(handle.position(), log.head(), "it does not fall back");
    assert_eq!(rows(&handle), plain(&log));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn interrupted_resumed_and_parallel_rebuilds_equal_a_plain_fold(
        events in events(1..80),
        kills in prop::collection::vec(0..120_u64, 0..4),
        threads in 1..4_usize,
        memory_bytes in prop::sample::select(&[0, 2_000, 1 << 30][..]),
    ) {
        let log = log_of(events);
        let mut disk = SimDisk::default();
        let options = RebuildOptions {
            threads: NonZeroUsize::new(threads).unwrap(),
            memory_bytes,
            ..RebuildOptions::new(RebuildMode::Replace)
        };
        for call in kills {
            disk.fail_call(disk.calls() + call + 1, Fault::PowerCut);
            let projections = projections_in(&log, disk.root());
            if Builtin::register(&projections).is_ok() {
                let _ = rebuild(&projections, &[], &options);
            }
            disk = disk.after_power_cut(Kept::Subset, &mut fastrand::Rng::with_seed(call));
        }
        let projections = projections_in(&log, disk.root());
        let builtin = Builtin::register(&projections).unwrap();
        let outcomes = rebuild(&projections, &[], &options).unwrap();
        let names: Vec<_> = outcomes.iter().map(|outcome| outcome.name).collect();
        prop_assert_eq!(names, ["activity", "content-index", "open-problems", "space-state"]);

        let plainly = projections_in(&log, MemoryDisk::new().root());
        let others = (
            plainly.register(Activity).unwrap(),
            plainly.register(ContentIndex).unwrap(),
            plainly.register(OpenProblems).unwrap(),
        );
        let hashes = (|| Ok::<_, crate::CatchUpError>([
            (others.0.catch_up()?, others.0.state_hash()?, builtin.activity.state_hash()?),
            (others.1.catch_up()?, others.1.state_hash()?, builtin.content_index.state_hash()?),
            (others.2.catch_up()?, others.2.state_hash()?, builtin.open_problems.state_hash()?),
        ]))();
        for ((_, plain, rebuilt), outcome) in hashes.unwrap().iter().zip(&outcomes) {
            prop_assert_eq!(plain, rebuilt);
            prop_assert_eq!(&outcome.new_hash, &plain.to_string());
        }
        let states = states_in(&log, disk.root());
        let mut folded = spacefold_state::SpaceStates::new();
        for snapshot in states.snapshot_all().unwrap() {
            let space_id = snapshot.space_id().to_owned();
            let expected = spacefold_state::testing::fold(&log, &space_id, log.durable_head().get());
            prop_assert_eq!(&**snapshot.state(), &expected);
            folded.insert(expected.into());
        }
        let head = log.durable_head();
        prop_assert_eq!(states.effects(Position::START, head).unwrap(), effects_of(&*log));
        prop_assert_eq!(&outcomes[3].new_hash, &folded.hash().to_string());
        let again = rebuild(&projections, &[], &RebuildOptions::new(RebuildMode::Check)).unwrap();
        prop_assert!(again.iter().all(|outcome| outcome.verdict == Verdict::Identical));
    }
}
