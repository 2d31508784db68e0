//! Blame against the states before and after each event.

use proptest::prelude::*;
use spacefold_event_core::{LogReader as _, MemoryLog, ReadRequest, SpaceEvent};

use super::*;
use crate::testing::{events, fold, log_of, recorded};

fn blame(log: &MemoryLog, space_id: &str, position: Position) -> Option<Blame> {
    let mut fold = BlameFold::new(space_id);
    for page in log.pages(ReadRequest::from(Position::new(1)).to(position)) {
        for event in page.unwrap().events().map(Result::unwrap) {
            if event.space_id == space_id {
                fold.apply(&event);
            }
        }
    }
    fold.finish(position)
}

fn at(blamed: Option<&BlamedEvent>) -> Option<u64> {
    blamed.map(|event| event.position.get())
}

#[test]
fn each_part_has_the_event_that_gave_it_its_value() {
    let none = None::<String>;
    let log = log_of([
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::document_content_changed("s", "d", none.clone(), "h"),
        SpaceEvent::document_content_changed("s", "d", none.clone(), "h"),
        SpaceEvent::document_moved("s", "d", none.clone(), "/e"),
        SpaceEvent::variable_set("s", "v", 1),
        SpaceEvent::variable_set("s", "w", 1),
        SpaceEvent::variable_deleted("s", "w"),
        SpaceEvent::reference_added("s", "d", "/x", "cites"),
        SpaceEvent::reference_added("s", "d", "/x", "cites"),
        SpaceEvent::document_content_changed("s", "nobody", none, "h"),
    ]);
    let blame = blame(&log, "s", Position::new(11)).unwrap();
    let document = &blame.documents[0];
    assert_eq!(at(Some(&document.path)), Some(5));
    assert_eq!(at(document.content.as_ref()), Some(3));
    assert_eq!(document.attributes, None);
    assert_eq!(blame.documents.len(), 1);
    assert_eq!(blame.variables.len(), 1);
    assert_eq!(
        (blame.variables[0].name.as_str(), at(Some(&blame.variables[0].set))),
        ("v", Some(6))
    );
    assert_eq!(blame.references.len(), 1);
    assert_eq!(at(Some(&blame.references[0].added)), Some(9));
    let event = &recorded(&log)[4];
    assert_eq!(document.path.event_id, event.event.event_id);
    assert_eq!(document.path.recorded_at, event.recorded_at);
    assert!(super::tests::blame(&log, "t", Position::new(11)).is_none());
}

#[test]
fn a_part_says_who_gave_it_its_value_and_what_for() {
    let by = |event: SpaceEvent, source: &str| event.with_source(source).with_correlation_id("c");
    let log = log_of([
        SpaceEvent::space_created("s", "S"),
        by(SpaceEvent::document_added("s", "d", "/d"), "importer"),
        by(SpaceEvent::variable_set("s", "v", 1), "editor"),
        SpaceEvent::variable_set("s", "w", 1),
        by(SpaceEvent::reference_added("s", "d", "/x", "cites"), "linker"),
        by(SpaceEvent::document_content_changed("s", "d", None::<String>, "h"), "writer"),
        // Changes nothing, and is to blame for nothing.
        by(SpaceEvent::variable_set("s", "v", 1), "nobody"),
    ]);
    let blame = blame(&log, "s", Position::new(7)).unwrap();
    let said = |event: &BlamedEvent| (event.source.clone(), event.correlation_id.clone());
    let by = |source: &str| (Some(source.to_owned()), Some("c".to_owned()));
    assert_eq!(said(&blame.documents[0].path), by("importer"));
    assert_eq!(blame.documents[0].content.as_ref().map(said), Some(by("writer")));
    let [v, w] = &blame.variables[..] else { panic!("{:?}", blame.variables) };
    assert_eq!((said(&v.set), said(&w.set)), (by("editor"), (None, None)));
    assert_eq!(said(&blame.references[0].added), by("linker"));
    let json = serde_json::to_value(&blame).unwrap();
    assert_eq!(json["variables"][0]["set"]["source"], "editor");
    assert_eq!(json["variables"][1]["set"]["correlation_id"], serde_json::Value::Null);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn blame_is_where_a_part_last_became_what_it_is(events in events(1..40)) {
        let log = log_of(events);
        let head = log.durable_head().get();
        let states: Vec<SpaceState> = (0..=head).map(|n| fold(&log, "s", n)).collect();
        let last = &states[states.len() - 1];
        let Some(blame) = blame(&log, "s", Position::new(head)) else {
            prop_assert_eq!(last.revision(), Revision::NONE);
            return Ok(());
        };
        // The last position at which something differs from what it was just before.
        let since = |differs: &dyn Fn(&SpaceState, &SpaceState) -> bool| {
            (1..states.len()).rev().find(|n| differs(&states[n - 1], &states[*n]))
        };
        prop_assert_eq!(blame.documents.len(), last.document_count());
        for document in &blame.documents {
            let id = document.document_id.as_str();
            let path = since(&|a, b| {
                a.document(id).map(Document::path) != b.document(id).map(Document::path)
            });
            prop_assert_eq!(at(Some(&document.path)), path.map(|n| n as u64));
            let content = since(&|a, b| {
                a.document(id).and_then(Document::content_hash)
                    != b.document(id).and_then(Document::content_hash)
            });
            let has = last.document(id).is_some_and(|d| d.content_hash().is_some());
            prop_assert_eq!(at(document.content.as_ref()), content.filter(|_| has).map(|n| n as u64));
        }
        prop_assert_eq!(blame.variables.len(), last.variables().len());
        for variable in &blame.variables {
            let name = variable.name.as_str();
            let set = since(&|a, b| a.variable(name) != b.variable(name));
            prop_assert_eq!(at(Some(&variable.set)), set.map(|n| n as u64));
        }
        prop_assert_eq!(blame.references.len(), last.references().len());
        for reference in &blame.references {
            let has = |s: &SpaceState| {
                s.references_of(&reference.document_id).any(|r| *r == reference.reference)
            };
            let added = since(&|a, b| has(a) != has(b));
            prop_assert_eq!(at(Some(&reference.added)), added.map(|n| n as u64));
        }
    }
}
