//! The rules of the fold, one by one.

mod application;
mod effects;
mod rendering;
mod sharing;

use proptest::prelude::*;
use spacefold_event_core::{
    ContentHash, EventType, LogReader, Object, Position, Presence, Revision, SpaceEvent, Value,
};

use crate::{
    AnomalyReason, MAX_KEPT_ANOMALIES, Reference, RenderStatus, Snapshot, SpaceState, SpaceStatus,
    SyncStatus,
    testing::{events, fold, full_space, log_of, object, recorded_at, state_of},
};

const ABSENT: Presence = Presence::Absent;

fn created() -> SpaceEvent {
    SpaceEvent::space_created("s", "S")
}

fn deleted() -> SpaceEvent {
    SpaceEvent::space_deleted("s", "S")
}

fn added(id: &str, path: &str) -> SpaceEvent {
    SpaceEvent::document_added("s", id, path)
}

fn stale(ids: &[&str]) -> SpaceEvent {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    SpaceEvent::cache_invalidated("s", ids, ABSENT)
}

fn at(position: u64) -> Position {
    Position::new(position)
}

/// That the anomalies are these and no others.
#[track_caller]
fn has_anomalies(state: &SpaceState, expected: &[(u64, EventType, &str)]) {
    let found: Vec<_> = state
        .anomalies()
        .first()
        .iter()
        .map(|a| (a.position.get(), a.event_type, a.reason.name()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(state.anomalies().count(), u64::try_from(expected.len()).unwrap());
}

#[track_caller]
fn fits(state: &SpaceState) {
    has_anomalies(state, &[]);
}

#[test]
fn space_created_gives_a_fresh_state_with_that_name() {
    let state = state_of([created()]);
    assert_eq!((state.name(), state.status()), (Some("S"), SpaceStatus::Created));
    assert_eq!(state.revision(), Revision::new(1));
    assert_eq!(state.created_at(), Some(recorded_at(1)));
    assert_eq!(state.updated_at(), recorded_at(1));
    fits(&state);
}

#[test]
fn space_updated_merges_metadata_and_a_string_name_renames() {
    let first = object([("a", Value::from(1)), ("b", Value::from(2)), ("name", Value::from("T"))]);
    let second = object([
        ("a", Value::from(object([("deep", Value::Null)]))),
        ("b", Value::Null),
        ("gone", Value::Null),
        ("name", Value::from(7)),
    ]);
    let state = state_of([created(), SpaceEvent::space_updated("s", first.clone())]);
    assert_eq!((state.name(), state.metadata()), (Some("T"), &first));
    let state = state_of([
        created(),
        SpaceEvent::space_updated("s", first),
        SpaceEvent::space_updated("s", second),
    ]);
    let expected =
        object([("a", Value::from(object([("deep", Value::Null)]))), ("name", Value::from(7))]);
    assert_eq!((state.name(), state.metadata()), (Some("T"), &expected));
    let null_name = object([("name", Value::Null)]);
    let state = state_of([created(), SpaceEvent::space_updated("s", null_name)]);
    assert_eq!((state.name(), state.metadata()), (Some("S"), &Object::new()));
    fits(&state);
}

#[test]
fn space_deleted_empties_the_space_and_keeps_what_it_was() {
    let mut events = full_space();
    events.push(deleted());
    let state = state_of(events);
    assert_eq!((state.name(), state.status()), (Some("S"), SpaceStatus::Deleted));
    assert_eq!(state.metadata(), &object([("k", Value::from(1))]));
    assert_eq!(state.created_at(), Some(recorded_at(1)));
    assert!(state.documents().is_empty() && state.variables().is_empty());
    assert!(state.references().is_empty() && state.renders().is_empty());
    assert!(state.conflicts().is_empty() && state.stale_documents().is_empty());
    assert!(!state.has_path("/d"));
    assert_eq!(state.sync().status, SyncStatus::Idle);
    assert_eq!(state.sync().last_completed, Some((at(9), recorded_at(9))));
    fits(&state);
}

#[test]
fn space_activated_and_archived_set_the_status_also_twice() {
    let activated = || SpaceEvent::space_activated("s");
    let archived = || SpaceEvent::space_archived("s");
    assert_eq!(state_of([created(), activated()]).status(), SpaceStatus::Active);
    let state = state_of([created(), activated(), archived(), archived()]);
    assert_eq!(state.status(), SpaceStatus::Archived);
    fits(&state);
}

#[test]
fn document_added_gives_a_document_without_content() {
    let state = state_of([created(), added("d", "/d")]);
    let document = state.document("d").unwrap();
    assert_eq!((document.path(), document.content_hash()), ("/d", None));
    assert!(document.attributes().is_empty());
    assert_eq!((document.added_position(), document.updated_position()), (at(2), at(2)));
    assert!(state.has_path("/d"));
    fits(&state);
}

#[test]
fn document_updated_merges_attributes() {
    let changes = |value| object([("a", value), ("b", Value::from(2))]);
    let state = state_of([
        created(),
        added("d", "/d"),
        SpaceEvent::document_updated("s", "d", changes(Value::from(1))),
        SpaceEvent::document_updated("s", "d", changes(Value::Null)),
    ]);
    let document = state.document("d").unwrap();
    assert_eq!(*document.attributes(), object([("b", Value::from(2))]));
    assert_eq!((document.added_position(), document.updated_position()), (at(2), at(4)));
    fits(&state);
}

#[test]
fn document_removed_takes_all_of_its_own_with_it() {
    let mut events = full_space();
    events.push(SpaceEvent::render_started("s", "d"));
    events.push(SpaceEvent::document_removed("s", "d", "/elsewhere"));
    let state = state_of(events);
    assert!(state.document("d").is_none() && !state.has_path("/d"));
    assert!(state.references().is_empty() && state.stale_documents().is_empty());
    assert!(state.conflicts().is_empty());
    assert_eq!(state.renders().len(), 1, "that of the space stays");
    assert!(state.document("e").is_some());
    fits(&state);
}

#[test]
fn document_moved_changes_the_path_whatever_the_old_one_is_said_to_be() {
    let state = state_of([
        created(),
        added("d", "/d"),
        SpaceEvent::document_moved("s", "d", "/wrong", "/new"),
    ]);
    assert_eq!(state.document("d").unwrap().path(), "/new");
    assert_eq!(state.document("d").unwrap().updated_position, at(3));
    assert!(state.has_path("/new") && !state.has_path("/d"));
    fits(&state);
}

#[test]
fn document_moved_onto_its_own_path_is_no_anomaly() {
    let state =
        state_of([created(), added("d", "/d"), SpaceEvent::document_moved("s", "d", "/d", "/d")]);
    assert_eq!(state.document("d").unwrap().updated_position, at(3));
    fits(&state);
}

#[test]
fn content_changed_sets_the_hash_and_closes_the_conflict() {
    let state = state_of([
        created(),
        added("d", "/d"),
        SpaceEvent::sync_conflict("s", "d", "l", "r"),
        SpaceEvent::sync_conflict("s", "e", "l", "r"),
        SpaceEvent::document_content_changed("s", "d", "wrong", "h2"),
    ]);
    let document = state.document("d").unwrap();
    assert_eq!(document.content_hash(), Some("h2".into()));
    assert_eq!(document.updated_position(), at(5));
    assert!(state.conflict("d").is_none() && state.conflict("e").is_some());
    fits(&state);
}

#[test]
fn content_is_known_by_its_hash_and_another_systems_is_shown() {
    let hash = ContentHash::of(b"# Hello");
    let state = state_of([
        created(),
        added("d", "/d"),
        added("e", "/e"),
        added("f", "/f"),
        SpaceEvent::document_content_changed("s", "d", None, hash),
        SpaceEvent::document_content_changed("s", "e", hash, "md5:9a03"),
    ]);
    let contents = ["d", "e", "f", "gone"].map(|id| state.content(id));
    assert_eq!(contents, [Some(hash), None, None, None]);
    let shown = state.document("e").unwrap().content_hash().unwrap();
    assert_eq!((shown.content_hash(), shown.as_str()), (None, "md5:9a03"));
    fits(&state);
}

#[test]
fn a_document_is_found_at_its_path() {
    let state = state_of([
        created(),
        added("b", "/one"),
        added("a", "/one"),
        added("c", "/two"),
        SpaceEvent::document_moved("s", "c", "/two", "/three"),
    ]);
    let at = |path| state.document_at(path).map(|(id, document)| (id, document.path()));
    assert_eq!(at("/one"), Some(("a", "/one")), "of several the first");
    assert_eq!((at("/two"), at("/three")), (None, Some(("c", "/three"))));
}

#[test]
fn references_are_found_by_their_target_and_by_its_absence() {
    let refers =
        |id: &str, target: &str, kind: Presence| SpaceEvent::reference_added("s", id, target, kind);
    let mut events = vec![created(), added("d", "/d"), added("e", "/e")];
    events.extend([
        refers("e", "d", Presence::Absent),
        refers("e", "/d", "cites".into()),
        refers("e", "/d", Presence::Absent),
        refers("d", "/d", "self".into()),
        refers("d", "/gone", Presence::Absent),
        refers("e", "https://example.org", "links".into()),
    ]);
    // More than are kept as a list.
    events.extend((0..40).map(|n| refers("e", &format!("/gone/{n:02}"), Presence::Absent)));
    let state = state_of(events);
    let shown = |found: Vec<(&str, &Reference)>| -> Vec<String> {
        let shown = |(id, it): (&str, &Reference)| format!("{id} {} {:?}", it.target, it.kind);
        found.into_iter().map(shown).collect()
    };
    let to = shown(state.references_to("/d"));
    assert_eq!(to, [r#"d /d Some("self")"#, "e /d None", r#"e /d Some("cites")"#]);
    assert_eq!(shown(state.references_to("d")), ["e d None"]);
    assert_eq!(shown(state.references_to("/nowhere")), [""; 0]);
    let dangling = shown(state.dangling_references());
    assert_eq!(dangling.len(), 42);
    assert_eq!(dangling[..2], ["d /gone None", "e /gone/00 None"]);
    assert_eq!(dangling[41], r#"e https://example.org Some("links")"#);
}

#[test]
fn variables_are_set_to_any_json_and_deleted() {
    let state = state_of([
        created(),
        SpaceEvent::variable_set("s", "v", 1),
        SpaceEvent::variable_set("s", "w", 2),
        SpaceEvent::variable_set("s", "v", Value::Null),
        SpaceEvent::variable_deleted("s", "w"),
        SpaceEvent::variable_deleted("s", "unknown"),
    ]);
    assert_eq!(state.variables(), [("v", &Value::Null)]);
    fits(&state);
}

#[test]
fn references_are_a_set_and_an_absent_kind_is_null() {
    let state = state_of([
        created(),
        added("d", "/d"),
        SpaceEvent::reference_added("s", "d", "t", ABSENT),
        SpaceEvent::reference_added("s", "d", "t", Presence::Null),
        SpaceEvent::reference_added("s", "d", "t", "cites"),
        SpaceEvent::reference_added("s", "d", "t", "cites"),
        SpaceEvent::reference_added("s", "d", "a", "z"),
    ]);
    let found: Vec<_> = state
        .references()
        .into_iter()
        .map(|(id, r)| (id, r.target.as_str(), r.kind.as_deref()))
        .collect();
    assert_eq!(found, [("d", "a", Some("z")), ("d", "t", None), ("d", "t", Some("cites"))]);
    fits(&state);
}

#[test]
fn reference_cleared_concerns_one_document_or_all() {
    let base = || {
        vec![
            created(),
            added("d", "/d"),
            added("e", "/e"),
            SpaceEvent::reference_added("s", "d", "t", ABSENT),
            SpaceEvent::reference_added("s", "e", "t", ABSENT),
        ]
    };
    let cleared = |document_id: Presence| {
        let mut events = base();
        events.push(SpaceEvent::reference_cleared("s", document_id));
        events.push(SpaceEvent::reference_cleared("s", "d"));
        let state = state_of(events);
        fits(&state);
        state.references().len()
    };
    assert_eq!(cleared("d".into()), 1);
    assert_eq!(cleared(Presence::Null), 0);
    assert_eq!(cleared(Presence::Absent), 0);
}

#[test]
fn render_events_set_one_field_and_null_the_others() {
    let render = |events: Vec<SpaceEvent>, id: Option<&str>| {
        let mut all = vec![created(), added("d", "/d")];
        all.extend(events);
        let state = state_of(all);
        fits(&state);
        state.render(id).cloned().unwrap()
    };
    let started = || SpaceEvent::render_started("s", "d");
    let running = render(vec![started()], Some("d"));
    assert_eq!((running.status, running.position), (RenderStatus::Running, at(3)));
    let failed = render(vec![started(), SpaceEvent::render_failed("s", "d", "boom")], Some("d"));
    assert_eq!(failed.status, RenderStatus::Failed);
    assert_eq!((failed.error(), failed.output_hash()), (Some("boom"), None));
    let completed = render(
        vec![
            SpaceEvent::render_failed("s", Presence::Null, "boom"),
            SpaceEvent::render_completed("s", Presence::Absent, "out"),
        ],
        None,
    );
    assert_eq!(completed.status, RenderStatus::Completed);
    assert_eq!((completed.output_hash(), completed.error()), (Some("out"), None));
}

#[test]
fn render_completed_takes_off_the_stale_set_its_document_or_all() {
    let base = || vec![created(), added("d", "/d"), added("e", "/e"), stale(&["d", "e"])];
    let after = |event| {
        let mut events = base();
        events.push(event);
        let state = state_of(events);
        fits(&state);
        state.stale_documents().join(",")
    };
    assert_eq!(after(SpaceEvent::render_started("s", "d")), "d,e");
    assert_eq!(after(SpaceEvent::render_failed("s", ABSENT, ABSENT)), "d,e");
    assert_eq!(after(SpaceEvent::render_completed("s", "d", ABSENT)), "e");
    assert_eq!(after(SpaceEvent::render_completed("s", ABSENT, ABSENT)), "");
    assert_eq!(after(SpaceEvent::render_completed("s", Presence::Null, ABSENT)), "");
}

#[test]
fn sync_runs_and_completes_and_a_start_clears_conflicts() {
    let state = state_of([
        created(),
        SpaceEvent::sync_conflict("s", "d", "l", "r"),
        SpaceEvent::sync_started("s", "pull"),
    ]);
    assert_eq!((state.sync().status, state.sync().last_completed), (SyncStatus::Running, None));
    assert!(state.conflicts().is_empty());
    let state = state_of([
        created(),
        SpaceEvent::sync_conflict("s", "d", "l", "r"),
        SpaceEvent::sync_completed("s"),
    ]);
    assert_eq!(state.sync().status, SyncStatus::Idle);
    assert_eq!(state.sync().last_completed, Some((at(3), recorded_at(3))));
    assert_eq!(state.conflicts().len(), 1, "a completed one leaves them open");
    fits(&state);
}

#[test]
fn a_later_conflict_replaces_the_earlier_one_and_may_be_of_an_unknown_document() {
    let state = state_of([
        created(),
        SpaceEvent::sync_conflict("s", "x", "l1", "r1"),
        SpaceEvent::sync_conflict("s", "x", "l2", ABSENT),
    ]);
    let conflict = state.conflict("x").unwrap();
    assert_eq!((conflict.local_hash(), conflict.remote_hash()), (Some("l2".into()), None));
    assert_eq!(conflict.position, at(3));
    fits(&state);
}

#[test]
fn cache_invalidated_marks_the_known_and_an_empty_list_marks_nothing() {
    let state = state_of([created(), added("d", "/d"), stale(&[]), stale(&["d", "d"])]);
    assert_eq!(state.stale_documents(), ["d"]);
    fits(&state);
    let state = state_of([created(), added("d", "/d"), stale(&["x", "d", "y"])]);
    assert_eq!(state.stale_documents(), ["d"]);
    has_anomalies(&state, &[(3, EventType::CacheInvalidated, "unknown_document")]);
}

#[test]
fn anomaly_space_not_created_counts_the_first_event_only() {
    let state = state_of([added("d", "/d"), added("e", "/e")]);
    assert_eq!((state.name(), state.status()), (None, SpaceStatus::Unknown));
    assert_eq!(state.documents().len(), 2);
    assert_eq!(state.created_at(), Some(recorded_at(1)));
    has_anomalies(&state, &[(1, EventType::DocumentAdded, "space_not_created")]);
}

#[test]
fn anomaly_space_not_created_comes_before_every_other_reason() {
    let state = state_of([SpaceEvent::document_removed("s", "d", ABSENT)]);
    has_anomalies(&state, &[(1, EventType::DocumentRemoved, "space_not_created")]);
    let state = state_of([deleted()]);
    assert_eq!(state.status(), SpaceStatus::Deleted);
    has_anomalies(&state, &[(1, EventType::SpaceDeleted, "space_not_created")]);
}

#[test]
fn anomaly_space_exists_sets_the_name_only() {
    let mut events = full_space();
    events.push(SpaceEvent::space_activated("s"));
    events.push(SpaceEvent::space_created("s", "Other"));
    let state = state_of(events);
    assert_eq!((state.name(), state.status()), (Some("Other"), SpaceStatus::Active));
    assert_eq!((state.documents().len(), state.created_at()), (2, Some(recorded_at(1))));
    has_anomalies(&state, &[(14, EventType::SpaceCreated, "space_exists")]);
}

#[test]
fn anomaly_space_exists_on_unknown_sets_name_and_status() {
    let state = state_of([added("d", "/d"), created()]);
    assert_eq!((state.name(), state.status()), (Some("S"), SpaceStatus::Created));
    assert_eq!((state.documents().len(), state.created_at()), (1, Some(recorded_at(1))));
    has_anomalies(
        &state,
        &[
            (1, EventType::DocumentAdded, "space_not_created"),
            (2, EventType::SpaceCreated, "space_exists"),
        ],
    );
}

#[test]
fn anomaly_space_deleted_ignores_all_but_the_passing_of_time() {
    let state = state_of([
        created(),
        deleted(),
        added("d", "/d"),
        deleted(),
        SpaceEvent::sync_conflict("s", "d", "l", "r"),
    ]);
    assert_eq!(state.status(), SpaceStatus::Deleted);
    assert!(state.documents().is_empty() && state.conflicts().is_empty());
    assert_eq!((state.revision(), state.updated_at()), (Revision::new(5), recorded_at(5)));
    has_anomalies(
        &state,
        &[
            (3, EventType::DocumentAdded, "space_deleted"),
            (4, EventType::SpaceDeleted, "space_deleted"),
            (5, EventType::SyncConflict, "space_deleted"),
        ],
    );
}

#[test]
fn space_created_after_deletion_is_fresh_and_revision_and_anomalies_go_on() {
    let mut events = full_space();
    events.extend([deleted(), added("x", "/x"), SpaceEvent::space_created("s", "Again")]);
    let state = state_of(events);
    assert_eq!((state.name(), state.status()), (Some("Again"), SpaceStatus::Created));
    assert_eq!((state.revision(), state.created_at()), (Revision::new(15), Some(recorded_at(15))));
    assert!(state.metadata().is_empty() && state.documents().is_empty());
    assert_eq!(state.sync().last_completed, None);
    has_anomalies(&state, &[(14, EventType::DocumentAdded, "space_deleted")]);
}

#[test]
fn anomaly_unknown_document_ignores_each_event_that_names_one() {
    let cases = [
        SpaceEvent::document_updated("s", "x", object([("a", Value::from(1))])),
        SpaceEvent::document_removed("s", "x", ABSENT),
        SpaceEvent::document_moved("s", "x", ABSENT, "/d"),
        SpaceEvent::document_content_changed("s", "x", ABSENT, "h"),
        SpaceEvent::reference_added("s", "x", "t", ABSENT),
        SpaceEvent::reference_cleared("s", "x"),
        SpaceEvent::render_started("s", "x"),
        SpaceEvent::render_completed("s", "x", "o"),
        SpaceEvent::render_failed("s", "x", "e"),
        stale(&["x"]),
    ];
    for event in cases {
        let event_type = event.event_type();
        let base = [created(), added("d", "/d"), SpaceEvent::sync_conflict("s", "x", "l", "r")];
        let state = state_of(base.into_iter().chain([event]));
        has_anomalies(&state, &[(4, event_type, "unknown_document")]);
        assert_eq!(state.documents().len(), 1, "{event_type}");
        assert!(state.references().is_empty() && state.renders().is_empty(), "{event_type}");
        assert!(state.stale_documents().is_empty(), "{event_type}");
        assert_eq!(state.conflicts().len(), 1, "{event_type}");
        assert_eq!(state.revision(), Revision::new(4));
    }
}

#[test]
fn anomaly_document_exists_replaces_the_path_and_keeps_the_rest() {
    let state = state_of([
        created(),
        added("d", "/d"),
        added("e", "/e"),
        SpaceEvent::document_content_changed("s", "d", ABSENT, "h"),
        SpaceEvent::document_updated("s", "d", object([("a", Value::from(1))])),
        // Onto a path that is taken: this reason is the first that applies.
        added("d", "/e"),
    ]);
    let document = state.document("d").unwrap();
    assert_eq!((document.path(), document.content_hash()), ("/e", Some("h".into())));
    assert_eq!(*document.attributes(), object([("a", Value::from(1))]));
    assert_eq!((document.added_position(), document.updated_position()), (at(2), at(6)));
    assert!(!state.has_path("/d"));
    has_anomalies(&state, &[(6, EventType::DocumentAdded, "document_exists")]);
}

#[test]
fn anomaly_path_taken_lets_both_keep_the_path() {
    let state = state_of([
        created(),
        added("d", "/p"),
        added("e", "/p"),
        added("f", "/f"),
        SpaceEvent::document_moved("s", "f", ABSENT, "/p"),
    ]);
    let paths: Vec<_> = state.documents().into_iter().map(|(id, d)| (id, d.path())).collect();
    assert_eq!(paths, [("d", "/p"), ("e", "/p"), ("f", "/p")]);
    has_anomalies(
        &state,
        &[(3, EventType::DocumentAdded, "path_taken"), (5, EventType::DocumentMoved, "path_taken")],
    );
}

#[test]
fn a_path_is_free_once_every_document_has_left_it() {
    let remove = |id: &str| SpaceEvent::document_removed("s", id, ABSENT);
    let state =
        state_of([created(), added("d", "/p"), added("e", "/p"), remove("d"), added("f", "/p")]);
    assert_eq!(state.anomalies().count(), 2);
    let state = state_of([created(), added("d", "/p"), remove("d"), added("f", "/p")]);
    fits(&state);
}

#[test]
fn only_the_first_anomalies_are_kept_and_all_are_counted() {
    let kept = u64::try_from(MAX_KEPT_ANOMALIES).unwrap();
    let many = (0..kept + 8).map(|_| created());
    let state = state_of(std::iter::once(created()).chain(many));
    assert_eq!(state.anomalies().count(), kept + 8);
    assert_eq!(state.anomalies().first().len(), MAX_KEPT_ANOMALIES);
    assert_eq!(state.anomalies().first()[0].position, at(2));
    assert_eq!(state.anomalies().first()[0].reason, AnomalyReason::SpaceExists);
    assert_eq!(SpaceState::decode(state.encode()), Ok(state));
}

#[test]
fn a_snapshot_prints_every_key_in_the_order_of_the_contract() {
    let log = log_of(full_space());
    let state = fold(&log, "s", 12);
    let hash = state.state_hash();
    let json = Snapshot::new(state.into(), at(40)).to_json();
    let expected = format!(
        concat!(
            r#"{{"space_id":"s","name":"S","status":"created","position":40,"revision":12,"#,
            r#""created_at":"2001-01-01T00:00:01+00:00","updated_at":"2001-01-01T00:00:12+00:00","#,
            r#""metadata":{{"k":1}},"#,
            r#""documents":[{{"document_id":"d","path":"/d","content_hash":"h","attributes":{{}},"#,
            r#""added_position":3,"updated_position":5}},"#,
            r#"{{"document_id":"e","path":"/e","content_hash":null,"attributes":{{}},"#,
            r#""added_position":4,"updated_position":4}}],"#,
            r#""variables":{{"v":null}},"#,
            r#""references":[{{"document_id":"d","target":"/e","kind":"cites"}}],"#,
            r#""renders":[{{"document_id":null,"status":"running","output_hash":null,"error":null,"#,
            r#""position":8}}],"#,
            r#""sync":{{"status":"running","last_completed_position":9,"#,
            r#""last_completed_at":"2001-01-01T00:00:09+00:00","#,
            r#""conflicts":[{{"document_id":"d","local_hash":"l","remote_hash":"r","position":11}}]}},"#,
            r#""stale_documents":["d"],"anomalies":{{"count":0,"first":[]}},"#,
            r#""state_hash":"{}"}}"#
        ),
        hash
    );
    assert_eq!(json, expected);
    let json = Snapshot::new(state_of([stale(&["x"])]).into(), at(1)).to_json();
    let anomaly = r#"{"position":1,"event_type":"cache.invalidated","reason":"space_not_created"}"#;
    assert!(json.contains(r#""name":null,"status":"unknown""#), "{json}");
    assert!(json.contains(&format!(r#""anomalies":{{"count":1,"first":[{anomaly}]}}"#)), "{json}");
    assert!(json.contains(r#""last_completed_position":null,"last_completed_at":null"#), "{json}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_a_document_has_is_of_a_document_that_is_there(events in events(0..60)) {
        let log = log_of(events);
        let state = fold(&log, "s", log.head().get());
        for (id, _) in state.references() {
            prop_assert!(state.document(id).is_some());
        }
        for id in state.stale_documents() {
            prop_assert!(state.document(id).is_some());
        }
        for id in state.renders().into_iter().filter_map(|(id, _)| id) {
            prop_assert!(state.document(id).is_some());
        }
        for (_, document) in state.documents() {
            prop_assert!(state.has_path(document.path()));
        }
        let dangles = |target: &str| {
            !state.has_path(target) && state.document(target).is_none()
        };
        let all = state.references().into_iter();
        let (dangling, known): (Vec<_>, Vec<_>) = all.partition(|(_, it)| dangles(&it.target));
        prop_assert_eq!(state.dangling_references(), dangling);
        for (id, reference) in known {
            prop_assert!(state.references_to(&reference.target).contains(&(id, reference)));
        }
        let paths: std::collections::BTreeSet<_> =
            state.documents().into_iter().map(|(_, d)| d.path().to_owned()).collect();
        prop_assert_eq!(paths.len(), state.paths.of(&state.documents).len());
    }
}
