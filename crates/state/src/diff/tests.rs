//! The law of diffs: applied to the first state they give the second.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use spacefold_event_core::{LogReader, Object, Presence, SpaceEvent, Value};

use super::*;
use crate::{
    Reference, SpaceStatus, SyncStatus,
    testing::{events, fold, log_of, object},
};

/// What the law is about.
#[derive(Clone, Debug, PartialEq)]
struct View {
    name: Option<String>,
    status: SpaceStatus,
    metadata: Object,
    documents: BTreeMap<String, DocumentContent>,
    variables: BTreeMap<String, Value>,
    references: BTreeSet<(String, Reference)>,
    renders: BTreeMap<Option<String>, RenderOutcome>,
    sync: SyncStatus,
    conflicts: BTreeMap<String, ConflictHashes>,
    stale: BTreeSet<String>,
}

impl View {
    fn of(state: &SpaceState) -> Self {
        Self {
            name: state.name().map(str::to_owned),
            status: state.status(),
            metadata: state.metadata().clone(),
            documents: state
                .documents()
                .into_iter()
                .map(|(id, document)| (id.to_owned(), content(document)))
                .collect(),
            variables: state
                .variables()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
            references: state
                .references()
                .into_iter()
                .map(|(id, reference)| (id.to_owned(), reference.clone()))
                .collect(),
            renders: state
                .renders()
                .into_iter()
                .map(|(id, r)| {
                    let outcome = RenderOutcome {
                        status: r.status(),
                        output_hash: r.output_hash().map(str::to_owned),
                        error: r.error().map(str::to_owned),
                    };
                    (id.map(str::to_owned), outcome)
                })
                .collect(),
            sync: state.sync().status,
            conflicts: state
                .conflicts()
                .into_iter()
                .map(|(id, c)| {
                    let hashes = ConflictHashes {
                        local_hash: c.local_hash().map(|hash| hash.to_owned_hash()),
                        remote_hash: c.remote_hash().map(|hash| hash.to_owned_hash()),
                    };
                    (id.to_owned(), hashes)
                })
                .collect(),
            stale: state.stale_documents().into_iter().map(str::to_owned).collect(),
        }
    }

    fn begin(header: SpaceHeader) -> Self {
        Self {
            name: header.name,
            status: header.status,
            metadata: header.metadata,
            ..Self::of(&SpaceState::new(""))
        }
    }
}

/// Applies changes, asserting that each finds what it says was there before.
fn apply_changes(view: Option<View>, changes: &[Change]) -> Option<View> {
    let mut view = view;
    for change in changes.iter().cloned() {
        match change {
            Change::SpaceCreated { after } => {
                assert!(view.is_none());
                view = Some(View::begin(after));
            }
            Change::SpaceDeleted { before } => {
                let old = view.take().unwrap();
                assert_eq!((old.name, old.status), (before.name, before.status));
                assert_eq!(old.metadata, before.metadata);
            }
            change => apply_change(view.as_mut().unwrap(), change),
        }
    }
    view
}

fn apply_change(view: &mut View, change: Change) {
    match change {
        Change::StatusChanged { before, after } => {
            assert_eq!(std::mem::replace(&mut view.status, after), before);
        }
        Change::Renamed { before, after } => {
            assert_eq!(std::mem::replace(&mut view.name, after), before);
        }
        Change::MetadataChanged { before, after } => {
            assert_eq!(std::mem::replace(&mut view.metadata, after), before);
        }
        Change::DocumentAdded { document_id, after } => {
            assert_eq!(view.documents.insert(document_id, after), None);
        }
        Change::DocumentRemoved { document_id, before } => {
            assert_eq!(view.documents.remove(&document_id), Some(before));
        }
        Change::DocumentMoved { document_id, before, after } => {
            let document = view.documents.get_mut(&document_id).unwrap();
            assert_eq!(std::mem::replace(&mut document.path, after), before);
        }
        Change::ContentChanged { document_id, before, after } => {
            let document = view.documents.get_mut(&document_id).unwrap();
            assert_eq!(std::mem::replace(&mut document.content_hash, after), before);
        }
        Change::AttributesChanged { document_id, before, after } => {
            let document = view.documents.get_mut(&document_id).unwrap();
            assert_eq!(std::mem::replace(&mut document.attributes, after), before);
        }
        Change::VariableSet { name, before, after } => {
            assert_eq!(view.variables.insert(name, after), before);
        }
        Change::VariableDeleted { name, before } => {
            assert_eq!(view.variables.remove(&name), Some(before));
        }
        Change::ReferenceAdded { document_id, reference } => {
            assert!(view.references.insert((document_id, reference)));
        }
        Change::ReferenceRemoved { document_id, reference } => {
            assert!(view.references.remove(&(document_id, reference)));
        }
        Change::RenderChanged { document_id, before, after } => {
            let old = match after {
                Some(after) => view.renders.insert(document_id, after),
                None => view.renders.remove(&document_id),
            };
            assert_eq!(old, before);
        }
        Change::SyncChanged { before, after } => {
            assert_eq!(std::mem::replace(&mut view.sync, after), before);
        }
        Change::ConflictOpened { document_id, before, after } => {
            assert_eq!(view.conflicts.insert(document_id, after), before);
        }
        Change::ConflictClosed { document_id, before } => {
            assert_eq!(view.conflicts.remove(&document_id), Some(before));
        }
        Change::MarkedStale { document_id } => assert!(view.stale.insert(document_id)),
        Change::UnmarkedStale { document_id } => assert!(view.stale.remove(&document_id)),
        Change::SpaceCreated { .. } | Change::SpaceDeleted { .. } => unreachable!(),
    }
}

const KINDS: [&str; 20] = [
    "space_created",
    "space_deleted",
    "status_changed",
    "renamed",
    "metadata_changed",
    "document_added",
    "document_removed",
    "document_moved",
    "content_changed",
    "attributes_changed",
    "variable_set",
    "variable_deleted",
    "reference_added",
    "reference_removed",
    "render_changed",
    "sync_changed",
    "conflict_opened",
    "conflict_closed",
    "marked_stale",
    "unmarked_stale",
];

/// Kind and key of a change, in the order that changes are sorted by.
fn rank(change: &Change) -> (usize, Vec<Option<String>>) {
    let kind = KINDS.iter().position(|kind| *kind == change.kind()).unwrap();
    let key = match change {
        Change::RenderChanged { document_id, .. } => vec![document_id.clone()],
        Change::VariableSet { name, .. } | Change::VariableDeleted { name, .. } => {
            vec![Some(name.clone())]
        }
        Change::ReferenceAdded { document_id, reference }
        | Change::ReferenceRemoved { document_id, reference } => {
            vec![Some(document_id.clone()), Some(reference.target.clone()), reference.kind.clone()]
        }
        Change::DocumentAdded { document_id, .. }
        | Change::DocumentRemoved { document_id, .. }
        | Change::DocumentMoved { document_id, .. }
        | Change::ContentChanged { document_id, .. }
        | Change::AttributesChanged { document_id, .. }
        | Change::ConflictOpened { document_id, .. }
        | Change::ConflictClosed { document_id, .. }
        | Change::MarkedStale { document_id }
        | Change::UnmarkedStale { document_id } => vec![Some(document_id.clone())],
        _ => Vec::new(),
    };
    (kind, key)
}

fn check(before: Option<&SpaceState>, after: Option<&SpaceState>) {
    let changes = diff(before, after);
    let applied = apply_changes(before.map(View::of), &changes);
    assert_eq!(applied, after.map(View::of), "{changes:#?}");
    // Strictly ascending: sorted, and no two changes of one thing.
    let ranks: Vec<_> = changes.iter().map(rank).collect();
    assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    // None of them could be left out.
    for left_out in 0..changes.len() {
        let mut fewer = changes.clone();
        fewer.remove(left_out);
        let needs_the_space = before.is_none() && left_out == 0;
        if !needs_the_space {
            assert_ne!(apply_changes(before.map(View::of), &fewer), after.map(View::of));
        }
    }
}

fn state(events: impl IntoIterator<Item = SpaceEvent>) -> SpaceState {
    crate::testing::state_of(events)
}

#[test]
fn a_space_that_comes_to_be_or_is_gone() {
    let some = state([
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::sync_started("s", Presence::Absent),
    ]);
    let json = |changes: Vec<Change>| changes.iter().map(Change::to_json).collect::<Vec<_>>();
    assert_eq!(
        json(diff(None, Some(&some))),
        [
            r#"{"kind":"space_created","before":null,"after":{"metadata":{},"name":"S","status":"created"}}"#,
            r#"{"kind":"document_added","document_id":"d","before":null,"after":{"attributes":{},"content_hash":null,"path":"/d"}}"#,
            r#"{"kind":"sync_changed","before":"idle","after":"running"}"#,
        ]
    );
    assert_eq!(
        json(diff(Some(&some), None)),
        [
            r#"{"kind":"space_deleted","before":{"metadata":{},"name":"S","status":"created"},"after":null}"#
        ]
    );
    assert_eq!(diff(None, None), []);
    assert_eq!(diff(Some(&some), Some(&some)), []);
}

#[test]
fn every_other_kind_prints_its_key_and_both_sides() {
    let base = || {
        vec![
            SpaceEvent::space_created("s", "S"),
            SpaceEvent::document_added("s", "a", "/a"),
            SpaceEvent::document_added("s", "b", "/b"),
            SpaceEvent::variable_set("s", "v", 1),
            SpaceEvent::reference_added("s", "b", "t", Presence::Null),
            SpaceEvent::sync_conflict("s", "x", "l", "r"),
            SpaceEvent::cache_invalidated("s", vec!["b".to_owned()], Presence::Absent),
        ]
    };
    let mut events = base();
    events.extend([
        SpaceEvent::space_activated("s"),
        SpaceEvent::space_updated("s", object([("name", Value::from("T"))])),
        SpaceEvent::document_removed("s", "a", Presence::Absent),
        SpaceEvent::document_moved("s", "b", Presence::Absent, "/c"),
        SpaceEvent::document_content_changed("s", "b", Presence::Null, "h"),
        SpaceEvent::document_updated("s", "b", object([("k", Value::from(1))])),
        SpaceEvent::variable_deleted("s", "v"),
        SpaceEvent::variable_set("s", "w", true),
        SpaceEvent::reference_cleared("s", Presence::Absent),
        SpaceEvent::reference_added("s", "b", "u", "cites"),
        SpaceEvent::sync_started("s", Presence::Absent),
        SpaceEvent::sync_conflict("s", "y", "l", Presence::Absent),
        SpaceEvent::render_completed("s", Presence::Absent, "o"),
        SpaceEvent::render_failed("s", "b", "e"),
    ]);
    let changes = diff(Some(&state(base())), Some(&state(events)));
    let json: Vec<_> = changes.iter().map(Change::to_json).collect();
    assert_eq!(
        json,
        [
            r#"{"kind":"status_changed","before":"created","after":"active"}"#,
            r#"{"kind":"renamed","before":"S","after":"T"}"#,
            r#"{"kind":"metadata_changed","before":{},"after":{"name":"T"}}"#,
            r#"{"kind":"document_removed","document_id":"a","before":{"attributes":{},"content_hash":null,"path":"/a"},"after":null}"#,
            r#"{"kind":"document_moved","document_id":"b","before":"/b","after":"/c"}"#,
            r#"{"kind":"content_changed","document_id":"b","before":null,"after":"h"}"#,
            r#"{"kind":"attributes_changed","document_id":"b","before":{},"after":{"k":1}}"#,
            r#"{"kind":"variable_set","name":"w","before":null,"after":true}"#,
            r#"{"kind":"variable_deleted","name":"v","before":1,"after":null}"#,
            r#"{"kind":"reference_added","document_id":"b","target":"u","reference_kind":"cites","before":null,"after":{"kind":"cites","target":"u"}}"#,
            r#"{"kind":"reference_removed","document_id":"b","target":"t","reference_kind":null,"before":{"kind":null,"target":"t"},"after":null}"#,
            r#"{"kind":"render_changed","document_id":null,"before":null,"after":{"error":null,"output_hash":"o","status":"completed"}}"#,
            r#"{"kind":"render_changed","document_id":"b","before":null,"after":{"error":"e","output_hash":null,"status":"failed"}}"#,
            r#"{"kind":"sync_changed","before":"idle","after":"running"}"#,
            r#"{"kind":"conflict_opened","document_id":"y","before":null,"after":{"local_hash":"l","remote_hash":null}}"#,
            r#"{"kind":"conflict_closed","document_id":"x","before":{"local_hash":"l","remote_hash":"r"},"after":null}"#,
            r#"{"kind":"unmarked_stale","document_id":"b","before":true,"after":false}"#,
        ]
    );
}

#[test]
fn positions_alone_are_no_change() {
    let once =
        state([SpaceEvent::space_created("s", "S"), SpaceEvent::document_added("s", "d", "/d")]);
    let again = state([
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::document_moved("s", "d", Presence::Absent, "/d"),
    ]);
    assert_ne!(once, again);
    assert_eq!(diff(Some(&once), Some(&again)), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn applied_to_the_first_state_it_gives_the_second(events in events(0..40), at in 0_usize..40) {
        let log = log_of(events);
        let head = log.head().get();
        let before = fold(&log, "s", head.min(u64::try_from(at).unwrap()));
        let after = fold(&log, "s", head);
        check(Some(&before), Some(&after));
        check(Some(&after), Some(&before));
        check(None, Some(&after));
        check(Some(&before), None);
        prop_assert_eq!(diff(Some(&after), Some(&after)), []);
    }
}
