//! Documents that take each other's paths in one batch.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use spacefold_event_core::SpaceEvent;

use super::created;
use crate::{Batch, Command, Outcome, Refusal, SpaceService, testing::given};

/// A space with a document at each of these paths, which is its id too, without the slash.
fn at(paths: &[&str]) -> Vec<SpaceEvent> {
    let added = paths.iter().map(|path| SpaceEvent::document_added("s", &path[1..], *path));
    std::iter::once(created()).chain(added).collect()
}

fn moved(id: &str, from: &str, to: &str) -> SpaceEvent {
    SpaceEvent::document_moved("s", id, from, to)
}

/// Moves, each a document and its new path.
fn moves(batch: Batch, moves: &[(&str, &str)]) -> Batch {
    moves.iter().fold(batch, |batch, (id, path)| batch.move_document(*id, *path))
}

/// What a batch of moves comes to in the space with documents at these paths.
#[track_caller]
fn emits(paths: &[&str], commands: &[(&str, &str)], expected: &[SpaceEvent]) {
    given(at(paths))
        .when(|s| moves(s.batch("s"), commands).commit())
        .then(expected.to_vec())
        .then_state("s", |state| {
            assert_eq!(state.anomalies().count(), 0);
            for (id, path) in commands {
                assert_eq!(state.document(id).unwrap().path(), *path);
            }
        });
}

#[test]
fn two_documents_swap_their_paths() {
    emits(
        &["/a", "/b"],
        &[("a", "/b"), ("b", "/a")],
        &[moved("a", "/a", "/a~"), moved("b", "/b", "/a"), moved("a", "/a~", "/b")],
    );
}

#[test]
fn whoever_is_in_the_way_moves_on_first() {
    emits(
        &["/a", "/b", "/c"],
        &[("a", "/b"), ("b", "/c"), ("c", "/d")],
        &[moved("c", "/c", "/d"), moved("b", "/b", "/c"), moved("a", "/a", "/b")],
    );
    // What fits as it is said is left as it is.
    emits(
        &["/a", "/b", "/c"],
        &[("c", "/d"), ("a", "/e"), ("b", "/c")],
        &[moved("c", "/c", "/d"), moved("a", "/a", "/e"), moved("b", "/b", "/c")],
    );
}

#[test]
fn a_ring_takes_one_event_more_than_it_has_documents() {
    emits(
        &["/a", "/b", "/c"],
        &[("a", "/b"), ("b", "/c"), ("c", "/a")],
        &[
            moved("a", "/a", "/a~"),
            moved("c", "/c", "/a"),
            moved("b", "/b", "/c"),
            moved("a", "/a~", "/b"),
        ],
    );
}

#[test]
fn nobody_steps_aside_to_where_another_one_is_or_goes() {
    given(at(&["/a", "/b", "/a~"]))
        .when(|s| {
            let batch = moves(s.batch("s"), &[("a", "/b"), ("b", "/a")]);
            batch.add_document("new", "/a~~").commit()
        })
        .then([
            moved("a", "/a", "/a~~~"),
            moved("b", "/b", "/a"),
            moved("a", "/a~~~", "/b"),
            SpaceEvent::document_added("s", "new", "/a~~"),
        ]);
}

#[test]
fn other_commands_may_stand_between() {
    given(at(&["/a", "/b"]))
        .when(|s| {
            let batch = s.batch("s").move_document("a", "/b").set_content_hash("b", "h");
            batch.move_document("b", "/a").commit()
        })
        .then([
            moved("b", "/b", "/b~"),
            moved("a", "/a", "/b"),
            SpaceEvent::document_content_changed("s", "b", None, "h"),
            moved("b", "/b~", "/a"),
        ]);
    given(at(&["/a", "/b"]))
        .when(|s| s.batch("s").move_document("a", "/b").remove_document("b").commit())
        .then([
            moved("b", "/b", "/b~"),
            moved("a", "/a", "/b"),
            SpaceEvent::document_removed("s", "b", "/b~"),
        ]);
    given(at(&["/a"]))
        .when(|s| s.batch("s").add_document("new", "/a").move_document("a", "/b").commit())
        .then([
            moved("a", "/a", "/a~"),
            SpaceEvent::document_added("s", "new", "/a"),
            moved("a", "/a~", "/b"),
        ]);
    // It is the new one that goes on.
    given(at(&["/a"]))
        .when(|s| s.batch("s").add_document("new", "/a").move_document("new", "/b").commit())
        .then([SpaceEvent::document_added("s", "new", "/a~"), moved("new", "/a~", "/b")]);
}

#[test]
fn a_path_that_stays_taken_is_refused_where_it_is_wanted() {
    let taken = |path: &str, id: &str| Refusal::PathTaken {
        path: path.to_owned(),
        document_id: id.to_owned(),
    };
    let refuses = |commands: &[(&str, &str)], index, expected: Refusal| {
        given(at(&["/a", "/b", "/c"]))
            .when(|s| moves(s.batch("s"), commands).commit())
            .then(expected)
            .then_error(|error| {
                let place = format!("command {index} of the batch: ");
                assert!(error.to_string().starts_with(&place), "{error}");
            });
    };
    refuses(&[("a", "/b"), ("c", "/d")], 0, taken("/b", "b"));
    refuses(&[("a", "/b"), ("b", "/c")], 1, taken("/c", "c"));
    refuses(&[("a", "/b"), ("b", "/b")], 0, taken("/b", "b"));
    refuses(&[("a", "/d"), ("b", "/d")], 1, taken("/d", "a"));
    refuses(&[("a", "/b"), ("b", "/d"), ("b", "/b")], 2, taken("/b", "a"));
    // Alone, a command is decided as it always was.
    given(at(&["/a", "/b"])).when(|s| s.move_document("s", "a", "/b")).then(taken("/b", "b"));
}

#[test]
fn a_swap_under_a_key_is_recognised() {
    let swap = |s: &SpaceService| {
        moves(s.with_key("k").batch("s"), &[("a", "/b"), ("b", "/c"), ("c", "/a")]).commit()
    };
    let between = |s: &SpaceService| {
        let batch = s.with_key("l").batch("s").move_document("a", "/c").set_variable("v", 1);
        batch.remove_document("b").set_references("a", ["/x", "/y"]).commit()
    };
    given(at(&["/a", "/b", "/c"]))
        .when(|s| {
            let first = swap(s)?;
            let again = swap(s)?;
            assert!(again.is_repeated());
            assert_eq!(again.events(), first.events());
            // The document b is at /c now.
            let first = between(s)?;
            let again = between(s)?;
            assert_eq!(again.events(), first.events());
            s.with_key("k").batch("s").move_document("a", "/b").move_document("b", "/d").commit()
        })
        .then_error(|error| {
            assert!(matches!(error.refusal(), Some(Refusal::KeyReused { .. })), "{error}");
        });
}

/// Each path that documents swap, by its number.
fn path(number: usize) -> String {
    format!("/{number}")
}

/// Moves some of the documents that are each at the path of their number.
fn rearrange(targets: &[(usize, usize)], count: usize) -> (SpaceService, Outcome) {
    let service = SpaceService::in_memory();
    let batch = service.batch("s").create_space("S");
    let batch = (0..count).fold(batch, |batch, n| batch.add_document(n.to_string(), path(n)));
    batch.commit().unwrap();
    let batch = targets.iter().fold(service.batch("s"), |batch, (document, target)| {
        batch.move_document(document.to_string(), path(*target))
    });
    let outcome = batch.commit().unwrap();
    (service, outcome)
}

/// How many rings of two documents or more the moves have.
fn rings(targets: &[(usize, usize)]) -> usize {
    let next: BTreeMap<usize, usize> = targets.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let mut rings = 0;
    for &first in next.keys() {
        let mut at = first;
        while let Some(&to) = next.get(&at)
            && seen.insert(at)
        {
            at = to;
            rings += usize::from(at == first && next[&first] != first);
        }
    }
    rings
}

proptest! {
    /// Whatever documents take whichever paths, in whatever order it is said.
    #[test]
    fn every_rearrangement_is_one_batch_of_the_fewest_events(
        places in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
        documents in Just((0..7).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let targets: Vec<(usize, usize)> =
            documents.iter().map(|&document| (document, places[document])).collect();
        let (service, outcome) = rearrange(&targets, 7);
        let state = service.states().snapshot("s").unwrap();
        prop_assert_eq!(state.anomalies().count(), 0);
        for (document, target) in &targets {
            let document = document.to_string();
            let expected = path(*target);
            prop_assert_eq!(state.document(&document).unwrap().path(), expected.as_str());
        }
        let moved = targets.iter().filter(|(document, target)| document != target).count();
        prop_assert_eq!(outcome.events().len(), moved + rings(&targets), "{:?}", targets);
    }

    /// Of commands that put, move and remove a few documents at a few paths, a batch that is taken
    /// leaves each document where the last of them has put it; one that is refused would leave two at a
    /// path.
    #[test]
    fn a_batch_leaves_documents_where_it_says(
        commands in prop::collection::vec((0..4_usize, 0..5_usize, 0..8_u8), 1..14),
    ) {
        let service = SpaceService::in_memory();
        let created = service.batch("s").create_space("S");
        let created = (0..3).fold(created, |it, n| it.add_document(n.to_string(), path(n)));
        created.commit().unwrap();
        let mut expected: BTreeMap<String, String> =
            (0..3).map(|n| (n.to_string(), path(n))).collect();
        let mut batch = service.batch("s");
        for (document, target, what) in commands {
            let document_id = document.to_string();
            batch = match what {
                0 if expected.remove(&document_id).is_some() => {
                    batch.then(Command::RemoveDocument { document_id })
                }
                _ if expected.insert(document_id.clone(), path(target)).is_none() => {
                    batch.add_document(document_id, path(target))
                }
                _ => batch.move_document(document_id, path(target)),
            };
        }
        let distinct = expected.values().collect::<BTreeSet<_>>().len() == expected.len();
        match batch.commit() {
            Ok(_) => {
                prop_assert!(distinct);
                let state = service.states().snapshot("s").unwrap();
                prop_assert_eq!(state.anomalies().count(), 0);
                let found: BTreeMap<String, String> = state
                    .documents()
                    .into_iter()
                    .map(|(id, document)| (id.to_owned(), document.path().to_owned()))
                    .collect();
                prop_assert_eq!(found, expected);
            }
            Err(error) => {
                let taken = matches!(error.refusal(), Some(Refusal::PathTaken { .. }));
                prop_assert!(taken && !distinct, "{error}: {expected:?}");
            }
        }
    }
}
