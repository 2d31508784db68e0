//! Open problems against the states of the spaces after every event.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spacefold_event_core::{Payload, SpaceEvent};
use spacefold_state::{
    RenderStatus, SpaceState, SyncStatus,
    testing::{events, fold, log_of, misfits, recorded, recorded_at},
};

use super::*;
use crate::testing::folded;

type Key = (String, ProblemKind, Option<String>);

/// What a state has of problems, without what only the events say.
fn open_in(state: &SpaceState) -> BTreeMap<Key, (Option<Position>, ProblemDetail)> {
    let key = |kind, id: Option<&str>| (state.space_id().to_owned(), kind, id.map(str::to_owned));
    let mut open = BTreeMap::new();
    for (id, render) in state.renders() {
        let detail = match render.status() {
            RenderStatus::Failed => {
                ProblemDetail::FailedRender { error: render.error().map(str::to_owned) }
            }
            RenderStatus::Running => ProblemDetail::RunningRender,
            RenderStatus::Completed => continue,
        };
        open.insert(key(detail.kind(), id), (Some(render.position()), detail));
    }
    if state.sync().status == SyncStatus::Running {
        let detail = ProblemDetail::RunningSync { direction: None };
        open.insert(key(ProblemKind::RunningSync, None), (None, detail));
    }
    for (id, conflict) in state.conflicts() {
        let local_hash = conflict.local_hash().map(|hash| hash.to_string());
        let remote_hash = conflict.remote_hash().map(|hash| hash.to_string());
        let detail = ProblemDetail::SyncConflict { local_hash, remote_hash };
        open.insert(key(ProblemKind::SyncConflict, Some(id)), (Some(conflict.position()), detail));
    }
    for id in state.stale_documents() {
        let detail = ProblemDetail::StaleDocument { reason: None };
        open.insert(key(ProblemKind::StaleDocument, Some(id)), (None, detail));
    }
    open
}

fn model(events: &[SpaceEvent]) -> Vec<OpenProblem> {
    let log = log_of(events.to_vec());
    let mut found: BTreeMap<Key, OpenProblem> = BTreeMap::new();
    for event in recorded(&log) {
        let position = event.position;
        let open = open_in(&fold(&log, &event.event.space_id, position.get()));
        found.retain(|key, _| key.0 != event.event.space_id || open.contains_key(key));
        for (key, (reported, detail)) in open {
            let problem = found.entry(key.clone()).or_insert_with(|| OpenProblem {
                space_id: key.0,
                document_id: key.2.clone(),
                since: position,
                since_time: recorded_at(position.get()),
                reported: position,
                source: event.event.source.clone(),
                detail: detail.clone(),
            });
            let mut report = |detail| {
                problem.reported = position;
                problem.source = event.event.source.clone();
                problem.detail = detail;
            };
            match (reported, &event.event.payload) {
                (Some(reported), _) if reported == position => report(detail),
                (None, Payload::CacheInvalidated { document_ids, reason, .. })
                    if document_ids.iter().any(|id| Some(id) == key.2.as_ref()) =>
                {
                    let reason = reason.as_deref().map(str::to_owned);
                    report(ProblemDetail::StaleDocument { reason });
                }
                (None, Payload::SyncStarted { direction, .. })
                    if key.1 == ProblemKind::RunningSync =>
                {
                    let direction = direction.as_deref().map(str::to_owned);
                    report(ProblemDetail::RunningSync { direction });
                }
                _ => {}
            }
            // What runs is another one with every start.
            if matches!(key.1, ProblemKind::RunningRender | ProblemKind::RunningSync) {
                problem.since = problem.reported;
                problem.since_time = recorded_at(problem.since.get());
            }
        }
    }
    found.into_values().collect()
}

#[test]
fn problems_come_and_go() {
    let log = log_of([
        SpaceEvent::space_created("a", "A"),
        SpaceEvent::document_added("a", "d", "/d"),
        SpaceEvent::render_failed("a", None::<String>, "no template"),
        SpaceEvent::render_failed("a", "d", "no ink"),
        SpaceEvent::render_failed("a", "d", "no paper"),
        SpaceEvent::sync_conflict("b", "e", "l", "r"),
        SpaceEvent::cache_invalidated("a", vec!["d".to_owned(), "x".to_owned()], "moved"),
        SpaceEvent::render_started("a", None::<String>),
    ]);
    let problems = folded(&log, OpenProblems);
    let found = problems.problems(&ProblemFilter::default()).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|it| (&*it.space_id, it.kind(), it.since.get(), it.reported.get()))
        .collect();
    assert_eq!(
        shown,
        [
            ("a", ProblemKind::FailedRender, 4, 5),
            ("a", ProblemKind::StaleDocument, 7, 7),
            ("a", ProblemKind::RunningRender, 8, 8),
            ("b", ProblemKind::SyncConflict, 6, 6),
        ]
    );
    assert_eq!(found[0].detail, ProblemDetail::FailedRender { error: Some("no paper".into()) });
    let of_kind = ProblemFilter { kind: Some(ProblemKind::StaleDocument), space_id: None };
    assert_eq!(problems.problems(&of_kind).unwrap(), found[1..2]);
    let of_space = ProblemFilter { kind: None, space_id: Some("b".to_owned()) };
    assert_eq!(problems.problems(&of_space).unwrap(), found[3..]);
}

#[test]
fn what_runs_is_listed_with_who_started_it_until_it_ends() {
    let by = |event: SpaceEvent, source: &str| event.with_source(source);
    let mut events = vec![
        SpaceEvent::space_created("a", "A"),
        SpaceEvent::document_added("a", "d", "/d"),
        by(SpaceEvent::render_started("a", "d"), "host 1"),
        by(SpaceEvent::render_started("a", None), "host 2"),
        by(SpaceEvent::sync_started("a", "pull"), "host 3"),
    ];
    let listed = |events: &[SpaceEvent]| {
        let problems = folded(&log_of(events.to_vec()), OpenProblems);
        let found = problems.problems(&ProblemFilter::default()).unwrap();
        let shown = found.into_iter().map(|it| {
            assert_eq!(it.since_time, recorded_at(it.since.get()));
            (it.kind(), it.document_id, it.since.get(), it.source)
        });
        shown.collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    let (render, sync) = (ProblemKind::RunningRender, ProblemKind::RunningSync);
    assert_eq!(
        listed(&events),
        [
            (render, None, 4, some("host 2")),
            (render, some("d"), 3, some("host 1")),
            (sync, None, 5, some("host 3")),
        ]
    );
    // Another start is another render.
    events.push(by(SpaceEvent::render_started("a", "d"), "host 4"));
    assert_eq!(listed(&events)[1], (render, some("d"), 6, some("host 4")));
    events.push(SpaceEvent::render_completed("a", "d", None));
    events.push(by(SpaceEvent::render_failed("a", None, "no ink"), "host 2"));
    let failed = (ProblemKind::FailedRender, None, 8, some("host 2"));
    assert_eq!(listed(&events), [failed.clone(), (sync, None, 5, some("host 3"))]);
    events.push(SpaceEvent::sync_completed("a"));
    assert_eq!(listed(&events), [failed]);
    events.push(SpaceEvent::render_started("a", "d"));
    events.push(SpaceEvent::document_removed("a", "d", None));
    events.push(SpaceEvent::sync_started("a", None));
    events.push(SpaceEvent::space_deleted("a", None));
    assert_eq!(listed(&events), []);
}

/// That the problems are those of the states.
fn check(events: &[SpaceEvent]) {
    let problems = folded(&log_of(events.to_vec()), OpenProblems);
    let found = problems.problems(&ProblemFilter::default()).unwrap();
    assert_eq!(found, model(events));
}

#[test]
fn events_that_are_ignored_for_any_reason_open_and_close_nothing() {
    let events = misfits();
    for count in 0..=events.len() {
        check(&events[..count]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_problem_is_open_while_the_state_has_it(events in events(0..80)) {
        check(&events);
    }
}
