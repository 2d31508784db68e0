//! Rebuilds: verdicts, the place where states part, kills halfway.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use proptest::prelude::*;
use spacefold_disk::{
    MemoryDisk, SimDisk,
    sim::{Fault, Kept},
};
use spacefold_event_core::{MemoryLog, SpaceEvent};
use spacefold_state::{
    AnomalyReason, Effect, Effects, SpaceState,
    testing::{events, fold, log_of, record},
};

use super::*;
use crate::{
    ContentIndex,
    testing::{
        CorruptLog, disk_of, files, generations, persisted_spaces, persisted_states,
        projections_in, states_in, tamper,
    },
};

fn options(mode: RebuildMode, threads: usize) -> RebuildOptions<'static> {
    RebuildOptions { threads: NonZeroUsize::new(threads).unwrap(), ..RebuildOptions::new(mode) }
}

/// Of a log and a disk, without projections but the states of the spaces.
fn over(log: &Arc<impl LogReader + 'static>, disk: &MemoryDisk) -> Projections {
    projections_in(log, disk.root())
}

fn run(log: &Arc<MemoryLog>, disk: &MemoryDisk, mode: RebuildMode) -> RebuildOutcome {
    let mut outcomes = rebuild(&over(log, disk), &[], &options(mode, 2)).unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

#[test]
fn a_check_writes_nothing_however_little_memory_it_has() {
    let log = log_of((0..60).map(|n| SpaceEvent::space_created(format!("s{n}"), "S")));
    let disk = saved(&log);
    let before = files(&disk.root());
    for memory_bytes in [0, 10_000, 1 << 30] {
        let options = RebuildOptions { memory_bytes, ..options(RebuildMode::Check, 2) };
        let outcomes = rebuild(&over(&log, &disk), &[], &options).unwrap();
        assert_eq!((outcomes[0].verdict, outcomes[0].entries), (Verdict::Identical, 60));
        assert_eq!(files(&disk.root()), before);
    }
}

fn sample() -> Vec<SpaceEvent> {
    vec![
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::space_created("t", "T"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::document_content_changed("s", "d", None::<String>, "h"),
        SpaceEvent::space_activated("t"),
        SpaceEvent::variable_set("s", "v", 1),
        SpaceEvent::variable_set("s", "w", 1),
    ]
}

fn saved(log: &Arc<MemoryLog>) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let states = states_in(log, disk.root());
    states.catch_up().unwrap();
    states.save().unwrap();
    disk
}

/// The disk of a log whose state of a space is this one.
fn tampered(log: &Arc<MemoryLog>, state: &SpaceState) -> MemoryDisk {
    let disk = saved(log);
    tamper(&disk.root(), state);
    disk
}

/// A state of `s` that differs from the fold of the sample as if some of its events had been
/// others, at the same revision.
fn state_with(other: impl Fn(&mut Vec<SpaceEvent>)) -> SpaceState {
    let mut events = sample();
    other(&mut events);
    let log = log_of(events);
    fold(&log, "s", log.head().get())
}

#[test]
fn unknown_names_list_the_known_ones() {
    let log = log_of(sample());
    let disk = MemoryDisk::new();
    let names = ["space-state".to_owned(), "nonsense".to_owned()];
    let error = rebuild(&over(&log, &disk), &names, &options(RebuildMode::Check, 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no projection \"nonsense\": expected one of space-state"
    );
    assert!(
        matches!(error, RebuildError::UnknownProjection { known, .. } if known == ["space-state"])
    );
    let names = ["space-state".to_owned(), "space-state".to_owned()];
    let outcomes = rebuild(&over(&log, &disk), &names, &options(RebuildMode::Check, 1)).unwrap();
    assert_eq!(outcomes.len(), 1);
}

#[test]
fn created_when_nothing_was_persisted() {
    let log = log_of(sample());
    let disk = MemoryDisk::new();
    let checked = run(&log, &disk, RebuildMode::Check);
    assert_eq!((checked.verdict, checked.old_hash), (Verdict::NothingToCompare, None));
    assert!(files(&disk.root()).is_empty(), "a check changes nothing");
    let outcome = run(&log, &disk, RebuildMode::Replace);
    assert_eq!((outcome.verdict, outcome.old_hash.as_deref()), (Verdict::Created, None));
    assert_eq!((outcome.events, outcome.entries, outcome.name), (7, 2, "space-state"));
    let again = run(&log, &disk, RebuildMode::Replace);
    assert_eq!(again.verdict, Verdict::Identical);
    assert_eq!(again.old_hash.as_deref(), Some(outcome.new_hash.as_str()));
    let states = states_in(&log, disk.root());
    assert_eq!(states.checkpoints().unwrap()[0].position, Position::new(7));
    assert_eq!(**states.snapshot("s").unwrap().state(), fold(&log, "s", 7));
}

#[test]
fn identical_also_when_the_checkpoint_lies_behind() {
    let log = log_of(sample());
    let disk = saved(&log);
    record(&log, [SpaceEvent::space_archived("s"), SpaceEvent::space_created("u", "U")]);
    let before = files(&disk.root());
    for mode in [RebuildMode::Check, RebuildMode::Replace] {
        let outcome = run(&log, &disk, mode);
        assert_eq!(outcome.verdict, Verdict::Identical);
        assert_eq!(outcome.old_hash, Some(outcome.new_hash));
        assert_eq!((outcome.events, outcome.entries), (9, 3));
    }
    assert_eq!(files(&disk.root()), before);
}

#[test]
fn an_empty_log_has_nothing_to_compare_until_it_is_created() {
    let log = Arc::new(MemoryLog::new());
    let disk = MemoryDisk::new();
    assert_eq!(run(&log, &disk, RebuildMode::Check).verdict, Verdict::NothingToCompare);
    assert_eq!(run(&log, &disk, RebuildMode::Replace).verdict, Verdict::Created);
    let outcome = run(&log, &disk, RebuildMode::Replace);
    assert_eq!((outcome.verdict, outcome.events), (Verdict::Identical, 0));
}

#[test]
fn replaced_when_a_blob_was_tampered_with() {
    let log = log_of(sample());
    let wrong = state_with(|events| events[5] = SpaceEvent::variable_set("s", "v", 2));
    let disk = tampered(&log, &wrong);
    let outcome = run(&log, &disk, RebuildMode::Replace);
    assert_eq!((outcome.verdict, outcome.first_divergence), (Verdict::Replaced, None));
    assert_ne!(outcome.old_hash, Some(outcome.new_hash));
    assert_eq!(persisted_spaces(&disk.root()), ["s", "t"]);
    assert_eq!(generations(&disk.root(), "space-state"), ["2"]);
    assert_eq!(run(&log, &disk, RebuildMode::Check).verdict, Verdict::Identical);
    let states = states_in(&log, disk.root());
    assert_eq!(**states.snapshot("s").unwrap().state(), fold(&log, "s", 7));
}

#[track_caller]
fn diverges(log: &Arc<MemoryLog>, disk: &MemoryDisk, space_id: &str, position: u64) {
    let before = files(&disk.root());
    let outcome = run(log, disk, RebuildMode::Check);
    assert_eq!(outcome.verdict, Verdict::Diverged);
    let expected = Divergence { space_id: space_id.to_owned(), position: Position::new(position) };
    assert_eq!(outcome.first_divergence, Some(expected));
    assert_eq!(files(&disk.root()), before, "a check changes nothing");
}

#[test]
fn diverged_names_the_event_that_gave_the_part_its_value() {
    let log = log_of(sample());
    let hash = |hash: &str| SpaceEvent::document_content_changed("s", "d", None::<String>, hash);
    let wrong_hash = state_with(|events| events[3] = hash("x"));
    diverges(&log, &tampered(&log, &wrong_hash), "s", 4);
    let wrong_variable = state_with(|events| events[6] = SpaceEvent::variable_set("s", "w", 9));
    diverges(&log, &tampered(&log, &wrong_variable), "s", 7);
    let both = state_with(|events| {
        events[3] = hash("x");
        events[6] = SpaceEvent::variable_set("s", "w", 9);
    });
    diverges(&log, &tampered(&log, &both), "s", 4);
    let wrong_name = state_with(|events| events[0] = SpaceEvent::space_created("s", "X"));
    diverges(&log, &tampered(&log, &wrong_name), "s", 1);
}

#[test]
fn diverged_names_the_next_event_of_a_state_that_stopped() {
    let log = log_of(sample());
    // Folded up to position 3: the next event of `s` stands at 4.
    diverges(&log, &tampered(&log, &fold(&log, "s", 3)), "s", 4);
    diverges(&log, &tampered(&log, &fold(&log, "s", 6)), "s", 7);
    diverges(&log, &tampered(&log, &fold(&log, "t", 4)), "t", 5);
}

#[test]
fn diverged_names_the_first_event_of_a_space_that_is_lost_or_not_there() {
    let log = log_of(sample());
    diverges(&log, &tampered(&log, &SpaceState::new("t")), "t", 2);
    diverges(&log, &tampered(&log, &SpaceState::new("nobody")), "nobody", 0);
    let disk = saved(&log);
    let damaged: BTreeMap<_, _> = files(&disk.root())
        .into_iter()
        .map(|(path, mut bytes)| {
            // In the state, which is in the first page.
            if !path.ends_with("MANIFEST") && !path.ends_with("ROOT") {
                bytes[40] ^= 1;
            }
            (path, bytes)
        })
        .collect();
    diverges(&log, &disk_of(&damaged), "s", 1);
}

#[test]
fn effects_that_are_not_those_of_the_events_part_as_states_do() {
    let log = log_of(sample());
    let content = Position::new(4);
    let disk = saved(&log);
    let (mut kept, marker) = persisted_states(&disk.root());
    let mut wrong = Effects::new(Position::START, log.durable_head());
    wrong.push(content, Effect::Ignored(AnomalyReason::UnknownDocument));
    kept.write([], &wrong, &marker.encode()).unwrap();

    // A projection that went by them, too.
    let run = |mode| {
        let projections = over(&log, &disk);
        let index = projections.register(ContentIndex).unwrap();
        index.catch_up().unwrap();
        projections.save().unwrap();
        let outcomes = rebuild(&projections, &[], &options(mode, 2)).unwrap();
        (outcomes, index.occurrences("h").unwrap().len())
    };
    let (checked, found) = run(RebuildMode::Check);
    assert_eq!(found, 0, "it does not go by the effects");
    for outcome in checked {
        assert_eq!(outcome.verdict, Verdict::Diverged, "{outcome:?}");
        let space_id = "s".to_owned();
        let expected = Divergence { space_id, position: content };
        assert_eq!(outcome.first_divergence, Some(expected), "{}", outcome.name);
    }
    let (replaced, found) = run(RebuildMode::Replace);
    assert_eq!(found, 1);
    assert!(replaced.iter().all(|outcome| outcome.verdict == Verdict::Replaced), "{replaced:?}");
    let (checked, found) = run(RebuildMode::Check);
    assert_eq!(found, 1);
    assert!(checked.iter().all(|outcome| outcome.verdict == Verdict::Identical), "{checked:?}");
}

#[test]
fn a_kill_at_any_call_leaves_the_old_or_the_new() {
    let log = log_of(sample());
    let wrong = state_with(|events| events[5] = SpaceEvent::variable_set("s", "v", 2));
    let old_hash = run(&log, &tampered(&log, &wrong), RebuildMode::Check).old_hash;
    let mut seen = [0, 0];
    for call in 1..80 {
        let disk = SimDisk::default();
        let states = states_in(&log, disk.root());
        states.catch_up().unwrap();
        states.save().unwrap();
        tamper(&disk.root(), &wrong);
        disk.fail_call(disk.calls() + call, Fault::PowerCut);
        let projections = projections_in(&log, disk.root());
        let result = rebuild(&projections, &[], &options(RebuildMode::Replace, 2));
        let mut rng = fastrand::Rng::with_seed(call);
        let left = disk.after_power_cut(Kept::Subset, &mut rng);
        let run = |mode| {
            let projections = projections_in(&log, left.root());
            rebuild(&projections, &[], &options(mode, 2)).unwrap().remove(0)
        };
        let found = run(RebuildMode::Check);
        let is_new = found.verdict == Verdict::Identical;
        assert!(is_new || found.old_hash == old_hash, "{call}: {found:?}");
        assert!(result.is_err() || is_new, "{call}");
        seen[usize::from(is_new)] += 1;
        // The next one finishes the work.
        let verdict = run(RebuildMode::Replace).verdict;
        assert_eq!(verdict == Verdict::Identical, is_new, "{call}");
        let live = states_in(&log, left.root());
        assert_eq!(**live.snapshot("s").unwrap().state(), fold(&log, "s", 7));
        assert_eq!(live.snapshot_all().unwrap().len(), 2);
        live.save().unwrap();
        assert_eq!(generations(&left.root(), "space-state").len(), 1, "{call}");
    }
    assert!(seen[0] > 2 && seen[1] > 2, "{seen:?}");
}

#[test]
fn an_event_that_does_not_decode_is_named_and_nothing_is_changed() {
    let events = (0..100).map(|n| SpaceEvent::variable_set(format!("s{}", n % 9), "n", n));
    let log = log_of(events);
    for threads in 1..5 {
        for corrupt in [1, 50, 100].map(Position::new) {
            let inner = log.clone();
            let log = CorruptLog { inner, corrupt };
            let disk = MemoryDisk::new();
            let options = options(RebuildMode::Replace, threads);
            let error = rebuild(&over(&Arc::new(log), &disk), &[], &options).unwrap_err();
            let expected = format!("position {corrupt} does not decode");
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert!(files(&disk.root()).is_empty());
        }
    }
}

#[test]
fn progress_rises_to_the_head() {
    let log = log_of((0..10_000).map(|n| SpaceEvent::variable_set(format!("s{}", n % 7), "n", n)));
    let seen = AtomicU64::new(0);
    let progress = |events: u64| {
        seen.fetch_max(events, Ordering::SeqCst);
    };
    let options = RebuildOptions { progress: &progress, ..options(RebuildMode::Check, 3) };
    let outcomes = rebuild(&over(&log, &MemoryDisk::new()), &[], &options).unwrap();
    assert_eq!((outcomes[0].events, outcomes[0].entries), (10_000, 7));
    assert_eq!(seen.load(Ordering::SeqCst), 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_many_threads_fold_they_fold_the_same(events in events(0..60), threads in 1_usize..5) {
        let log = log_of(events);
        let disk = saved(&log);
        let outcomes =
            rebuild(&over(&log, &disk), &[], &options(RebuildMode::Check, threads)).unwrap();
        prop_assert_eq!(outcomes[0].first_divergence.as_ref(), None);
        let is_empty = log.durable_head() == Position::START;
        let expected = if is_empty { Verdict::NothingToCompare } else { Verdict::Identical };
        prop_assert_eq!(outcomes[0].verdict, expected);
    }

    #[test]
    fn a_divergence_is_found_where_the_histories_part(events in events(2..30), at in any::<prop::sample::Index>()) {
        let log = log_of(events);
        let head = log.durable_head().get();
        let cut = u64::try_from(at.index(usize::try_from(head).unwrap())).unwrap();
        let event = spacefold_state::testing::recorded(&log).into_iter().find(|event| {
            event.position.get() > cut && event.revision.get() > 1
        });
        // The state of that event's space without that event and all that follow.
        prop_assume!(event.is_some());
        let event = event.unwrap();
        let old = fold(&log, &event.event.space_id, event.position.get() - 1);
        let outcome = run(&log, &tampered(&log, &old), RebuildMode::Check);
        let expected = Divergence { space_id: event.event.space_id, position: event.position };
        prop_assert_eq!(outcome.first_divergence, Some(expected));
    }
}
