//! The index against the states of the spaces after every event.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spacefold_disk::MemoryDisk;
use spacefold_event_core::{LogReader, SpaceEvent};
use spacefold_state::testing::{events, fold, log_of, misfits, recorded};

use super::*;
use crate::testing::{projections_in, registered};

/// By hash: what the states of the spaces say after each event.
fn model(events: &[SpaceEvent]) -> BTreeMap<String, Vec<Occurrence>> {
    let log = log_of(events.to_vec());
    let mut open: BTreeMap<(String, String), (String, Position)> = BTreeMap::new();
    let mut found: BTreeMap<String, Vec<Occurrence>> = BTreeMap::new();
    for event in recorded(&log) {
        let space_id = event.event.space_id;
        let state = fold(&log, &space_id, event.position.get());
        let hash_of =
            |id: &str| state.document(id).and_then(|it| it.content_hash()).map(|it| it.into_text());
        let keys: Vec<(String, String)> =
            open.keys().filter(|(space, _)| *space == space_id).cloned().collect();
        for key in keys {
            let (hash, from) = open[&key].clone();
            if hash_of(&key.1) != Some(hash.as_str()) {
                open.remove(&key);
                let (space_id, document_id) = key;
                let until = Some(event.position);
                let occurrence = Occurrence { space_id, document_id, from, until };
                found.entry(hash).or_default().push(occurrence);
            }
        }
        for (id, document) in state.documents() {
            if let Some(hash) = document.content_hash() {
                open.entry((space_id.clone(), id.to_owned()))
                    .or_insert((hash.to_string(), event.position));
            }
        }
    }
    for ((space_id, document_id), (hash, from)) in open {
        let occurrence = Occurrence { space_id, document_id, from, until: None };
        found.entry(hash).or_default().push(occurrence);
    }
    for occurrences in found.values_mut() {
        occurrences.sort_by_key(|occurrence| occurrence.from);
    }
    found
}

#[test]
fn a_content_is_found_across_spaces_and_time() {
    let hash = |space: &str, document: &str, hash: &str| {
        SpaceEvent::document_content_changed(space, document, None::<String>, hash)
    };
    let log = log_of([
        SpaceEvent::space_created("a", "A"),
        SpaceEvent::document_added("a", "d", "/d"),
        hash("a", "d", "h"),
        hash("a", "d", "h"),
        SpaceEvent::document_added("b", "e", "/e"),
        hash("b", "e", "h"),
        hash("a", "d", "i"),
        hash("a", "unknown", "h"),
        SpaceEvent::space_deleted("b", None::<String>),
        hash("b", "e", "h"),
    ]);
    let (projections, index) = registered(&log, ContentIndex);
    let found = index.occurrences("h").unwrap();
    let places: Vec<_> = found
        .iter()
        .map(|at| (&*at.space_id, &*at.document_id, at.from.get(), at.until.map(Position::get)))
        .collect();
    assert_eq!(places, [("a", "d", 3, Some(7)), ("b", "e", 6, Some(9))]);
    assert!(found[0].is_at(Position::new(3)) && found[0].is_at(Position::new(6)));
    assert!(!found[0].is_at(Position::new(2)) && !found[0].is_at(Position::new(7)));
    assert_eq!(index.occurrences("i").unwrap()[0].until, None);
    for hash in ["h", "i", ""] {
        let in_log = ContentIndex::occurrences_in(&projections, hash).unwrap();
        assert_eq!(in_log, index.occurrences(hash).unwrap(), "{hash:?}");
    }
    assert_eq!(index.occurrences("").unwrap(), []);
    assert_eq!(index.position(), log.durable_head());
    let cold = projections_in(&log, MemoryDisk::new().root());
    assert_eq!(ContentIndex::occurrences_in(&cold, "h").unwrap(), found);
    let folded = cold.states().checkpoints().unwrap()[0].position;
    assert_eq!(folded, Position::START, "states were folded for it");
}

/// That the index, and the log itself, say what the states say.
fn check(events: &[SpaceEvent]) {
    let log = log_of(events.to_vec());
    let (projections, index) = registered(&log, ContentIndex);
    let model = model(events);
    for hash in ["h", "h1", "h2"] {
        let expected = model.get(hash).cloned().unwrap_or_default();
        let in_log = ContentIndex::occurrences_in(&projections, hash).unwrap();
        assert_eq!(index.occurrences(hash).unwrap(), expected, "{hash}");
        assert_eq!(in_log, expected, "{hash} in the log");
    }
}

#[test]
fn events_that_are_ignored_for_any_reason_give_and_take_no_content() {
    let events = misfits();
    for count in 0..=events.len() {
        check(&events[..count]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_says_what_the_states_say_after_every_event(events in events(0..60)) {
        check(&events);
    }
}
