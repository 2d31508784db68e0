//! Rebuilds: verdicts, the place where states part, kills halfway.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;
use spacefold_event_core::{MemoryLog, MemoryStateStore, SpaceEvent, StateStore};
use spacefold_state::{
    SpaceState,
    testing::{events, fold, log_of, record},
};

use super::*;
use crate::{
    LiveStates,
    checkpoint::{BLOB_PREFIX, blob_key, encode_blob},
    testing::{CorruptLog, FailingStore, contents},
};

fn options(mode: RebuildMode, threads: usize) -> RebuildOptions<'static> {
    RebuildOptions { threads: NonZeroUsize::new(threads).unwrap(), ..RebuildOptions::new(mode) }
}

/// Of a log and a store, without projections but the states of the spaces.
fn over(
    log: &Arc<impl LogReader + 'static>,
    store: &Arc<impl StateStore + 'static>,
) -> Projections {
    Projections::new(log.clone(), store.clone())
}

fn run(
    log: &Arc<MemoryLog>,
    store: &Arc<impl StateStore + 'static>,
    mode: RebuildMode,
) -> RebuildOutcome {
    let mut outcomes = rebuild(&over(log, store), &[], &options(mode, 2)).unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

#[test]
fn a_check_writes_nothing_however_little_memory_it_has() {
    let log = log_of((0..60).map(|n| SpaceEvent::space_created(format!("s{n}"), "S")));
    let store = saved(&log);
    let before = contents(&*store);
    for memory_bytes in [0, 10_000, 1 << 30] {
        let failing = Arc::new(FailingStore::new(store.clone(), 0));
        let options = RebuildOptions { memory_bytes, ..options(RebuildMode::Check, 2) };
        let outcomes = rebuild(&over(&log, &failing), &[], &options).unwrap();
        assert_eq!((outcomes[0].verdict, outcomes[0].entries), (Verdict::Identical, 60));
        assert_eq!(contents(&*store), before);
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

fn saved(log: &Arc<MemoryLog>) -> Arc<MemoryStateStore> {
    let store = Arc::new(MemoryStateStore::new());
    let states = LiveStates::new(log.clone(), store.clone());
    states.catch_up().unwrap();
    states.save().unwrap();
    store
}

/// The store of a log whose state of `space_id` is this one.
fn tampered(log: &Arc<MemoryLog>, state: &SpaceState) -> Arc<MemoryStateStore> {
    let store = saved(log);
    store.put(&blob_key(1, state.space_id()), &encode_blob(state)).unwrap();
    store
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
    let store = Arc::new(MemoryStateStore::new());
    let names = ["space-state".to_owned(), "nonsense".to_owned()];
    let error = rebuild(&over(&log, &store), &names, &options(RebuildMode::Check, 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no projection \"nonsense\": expected one of space-state"
    );
    assert!(
        matches!(error, RebuildError::UnknownProjection { known, .. } if known == ["space-state"])
    );
    let names = ["space-state".to_owned(), "space-state".to_owned()];
    let outcomes = rebuild(&over(&log, &store), &names, &options(RebuildMode::Check, 1)).unwrap();
    assert_eq!(outcomes.len(), 1);
}

#[test]
fn created_when_nothing_was_persisted() {
    let log = log_of(sample());
    let store = Arc::new(MemoryStateStore::new());
    let checked = run(&log, &store, RebuildMode::Check);
    assert_eq!((checked.verdict, checked.old_hash), (Verdict::NothingToCompare, None));
    assert_eq!(contents(&*store), [], "a check changes nothing");
    let outcome = run(&log, &store, RebuildMode::Replace);
    assert_eq!((outcome.verdict, outcome.old_hash.as_deref()), (Verdict::Created, None));
    assert_eq!((outcome.events, outcome.entries, outcome.name), (7, 2, "space-state"));
    let again = run(&log, &store, RebuildMode::Replace);
    assert_eq!(again.verdict, Verdict::Identical);
    assert_eq!(again.old_hash.as_deref(), Some(outcome.new_hash.as_str()));
    let states = LiveStates::new(log.clone(), store);
    assert_eq!(states.checkpoints().unwrap()[0].position, Position::new(7));
    assert_eq!(**states.snapshot("s").unwrap().state(), fold(&log, "s", 7));
}

#[test]
fn identical_also_when_the_checkpoint_lies_behind() {
    let log = log_of(sample());
    let store = saved(&log);
    record(&log, [SpaceEvent::space_archived("s"), SpaceEvent::space_created("u", "U")]);
    let before = contents(&*store);
    for mode in [RebuildMode::Check, RebuildMode::Replace] {
        let outcome = run(&log, &store, mode);
        assert_eq!(outcome.verdict, Verdict::Identical);
        assert_eq!(outcome.old_hash, Some(outcome.new_hash));
        assert_eq!((outcome.events, outcome.entries), (9, 3));
    }
    assert_eq!(contents(&*store), before);
}

#[test]
fn an_empty_log_has_nothing_to_compare_until_it_is_created() {
    let log = Arc::new(MemoryLog::new());
    let store = Arc::new(MemoryStateStore::new());
    assert_eq!(run(&log, &store, RebuildMode::Check).verdict, Verdict::NothingToCompare);
    assert_eq!(run(&log, &store, RebuildMode::Replace).verdict, Verdict::Created);
    let outcome = run(&log, &store, RebuildMode::Replace);
    assert_eq!((outcome.verdict, outcome.events), (Verdict::Identical, 0));
}

#[test]
fn replaced_when_a_blob_was_tampered_with() {
    let log = log_of(sample());
    let wrong = state_with(|events| events[5] = SpaceEvent::variable_set("s", "v", 2));
    let store = tampered(&log, &wrong);
    let outcome = run(&log, &store, RebuildMode::Replace);
    assert_eq!((outcome.verdict, outcome.first_divergence), (Verdict::Replaced, None));
    assert_ne!(outcome.old_hash, Some(outcome.new_hash));
    assert_eq!(store.keys(BLOB_PREFIX).unwrap(), [blob_key(2, "s"), blob_key(2, "t")]);
    assert_eq!(run(&log, &store, RebuildMode::Check).verdict, Verdict::Identical);
    let states = LiveStates::new(log.clone(), store);
    assert_eq!(**states.snapshot("s").unwrap().state(), fold(&log, "s", 7));
}

#[track_caller]
fn diverges(log: &Arc<MemoryLog>, store: &Arc<MemoryStateStore>, space_id: &str, position: u64) {
    let before = contents(&**store);
    let outcome = run(log, store, RebuildMode::Check);
    assert_eq!(outcome.verdict, Verdict::Diverged);
    let expected = Divergence { space_id: space_id.to_owned(), position: Position::new(position) };
    assert_eq!(outcome.first_divergence, Some(expected));
    assert_eq!(contents(&**store), before, "a check changes nothing");
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
fn diverged_names_the_first_event_of_a_space_that_is_lost_or_damaged() {
    let log = log_of(sample());
    let store = saved(&log);
    store.remove(&blob_key(1, "t")).unwrap();
    diverges(&log, &store, "t", 2);
    store.put(&blob_key(1, "s"), b"noise").unwrap();
    diverges(&log, &store, "s", 1);
    let store = tampered(&log, &SpaceState::new("nobody"));
    diverges(&log, &store, "nobody", 0);
}

#[test]
fn a_kill_at_any_write_leaves_the_old_or_the_new() {
    let log = log_of(sample());
    let wrong = state_with(|events| events[5] = SpaceEvent::variable_set("s", "v", 2));
    let old_hash = run(&log, &tampered(&log, &wrong), RebuildMode::Check).old_hash;
    // Two blobs, the marker, and the two old blobs removed.
    for writes in 0..6 {
        let store = tampered(&log, &wrong);
        let failing = FailingStore::new(store.clone(), writes);
        let result =
            rebuild(&over(&log, &Arc::new(failing)), &[], &options(RebuildMode::Replace, 2));
        let swapped = writes >= 3;
        assert_eq!(result.is_ok(), swapped, "{writes}");
        let found = run(&log, &store, RebuildMode::Check);
        assert_eq!(found.old_hash == old_hash, !swapped, "{writes}");
        assert_eq!(found.verdict == Verdict::Identical, swapped, "{writes}");
        // The next one finishes the work, and leaves nothing of the one that was cut short once
        // it replaces again.
        let verdict = run(&log, &store, RebuildMode::Replace).verdict;
        assert_eq!(verdict == Verdict::Replaced, !swapped, "{writes}");
        let live = LiveStates::new(log.clone(), store.clone());
        assert_eq!(**live.snapshot("s").unwrap().state(), fold(&log, "s", 7));
        assert_eq!(live.snapshot_all().unwrap().len(), 2);
        assert_eq!(store.keys(BLOB_PREFIX).unwrap().len(), 2, "{writes}");
    }
}

#[test]
fn an_event_that_does_not_decode_is_named_and_nothing_is_changed() {
    let events = (0..100).map(|n| SpaceEvent::variable_set(format!("s{}", n % 9), "n", n));
    let log = log_of(events);
    for threads in 1..5 {
        for corrupt in [1, 50, 100].map(Position::new) {
            let inner = log.clone();
            let log = CorruptLog { inner, corrupt };
            let store = Arc::new(MemoryStateStore::new());
            let options = options(RebuildMode::Replace, threads);
            let error = rebuild(&over(&Arc::new(log), &store), &[], &options).unwrap_err();
            let expected = format!("position {corrupt} does not decode");
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert_eq!(contents(&*store), []);
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
    let outcomes = rebuild(&over(&log, &Arc::new(MemoryStateStore::new())), &[], &options).unwrap();
    assert_eq!((outcomes[0].events, outcomes[0].entries), (10_000, 7));
    assert_eq!(seen.load(Ordering::SeqCst), 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_many_threads_fold_they_fold_the_same(events in events(0..60), threads in 1_usize..5) {
        let log = log_of(events);
        let store = saved(&log);
        let outcomes =
            rebuild(&over(&log, &store), &[], &options(RebuildMode::Check, threads)).unwrap();
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
