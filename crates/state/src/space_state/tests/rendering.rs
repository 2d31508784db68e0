//! What needs a render.

use super::*;

fn content(hash: &str) -> SpaceEvent {
    SpaceEvent::document_content_changed("s", "d", ABSENT, hash)
}

fn started() -> SpaceEvent {
    SpaceEvent::render_started("s", "d")
}

fn completed() -> SpaceEvent {
    SpaceEvent::render_completed("s", "d", "out")
}

fn failed() -> SpaceEvent {
    SpaceEvent::render_failed("s", "d", "no ink")
}

fn space_started() -> SpaceEvent {
    SpaceEvent::render_started("s", ABSENT)
}

fn space_completed() -> SpaceEvent {
    SpaceEvent::render_completed("s", ABSENT, ABSENT)
}

fn space_failed() -> SpaceEvent {
    SpaceEvent::render_failed("s", ABSENT, ABSENT)
}

fn removed() -> SpaceEvent {
    SpaceEvent::document_removed("s", "d", "/d")
}

fn moved() -> SpaceEvent {
    SpaceEvent::document_moved("s", "d", "/d", "/f")
}

fn updated() -> SpaceEvent {
    SpaceEvent::document_updated("s", "d", object([("k", Value::from(1))]))
}

/// The state with document `d` behind these events, beside another one that is rendered.
fn state_with(events: &[SpaceEvent]) -> SpaceState {
    let other = [
        created(),
        added("e", "/e"),
        SpaceEvent::document_content_changed("s", "e", ABSENT, "h"),
        SpaceEvent::render_completed("s", "e", ABSENT),
        added("d", "/d"),
    ];
    state_of(other.iter().chain(events).cloned())
}

/// Histories of document `d`, and whether it needs a render behind each.
fn table() -> Vec<(bool, Vec<SpaceEvent>)> {
    vec![
        // Never rendered.
        (false, vec![]),
        (false, vec![moved(), updated()]),
        (true, vec![content("h1")]),
        (true, vec![content("h1"), moved(), updated()]),
        // While a render runs, and behind one that has completed.
        (true, vec![content("h1"), started()]),
        (false, vec![content("h1"), started(), completed()]),
        (true, vec![content("h1"), started(), completed(), content("h2")]),
        (true, vec![content("h1"), started(), completed(), content("h2"), started()]),
        (false, vec![content("h1"), started(), completed(), content("h2"), started(), completed()]),
        // What runs or fails behind one that has completed takes nothing away from it.
        (false, vec![content("h1"), started(), completed(), started()]),
        (false, vec![content("h1"), started(), completed(), started(), failed()]),
        (true, vec![content("h1"), started(), completed(), content("h2"), started(), failed()]),
        (true, vec![content("h1"), started(), failed()]),
        (true, vec![content("h1"), failed()]),
        (false, vec![failed()]),
        // Content that changes between start and end is not what was rendered.
        (true, vec![content("h1"), started(), content("h2"), completed()]),
        (true, vec![started(), content("h1"), completed()]),
        (false, vec![content("h1"), started(), moved(), updated(), completed()]),
        (false, vec![content("h1"), started(), content("h2"), completed(), started(), completed()]),
        (true, vec![content("h1"), started(), content("h2"), completed(), started(), failed()]),
        // Taken over: the one that began last counts.
        (true, vec![content("h1"), started(), failed(), started()]),
        (false, vec![content("h1"), started(), content("h2"), failed(), started(), completed()]),
        (true, vec![content("h1"), started(), failed(), started(), content("h2"), completed()]),
        (false, vec![content("h1"), started(), content("h2"), started(), completed()]),
        // Histories that record no starts.
        (false, vec![content("h1"), completed()]),
        (true, vec![completed(), content("h1")]),
        (false, vec![content("h1"), completed(), content("h2"), completed()]),
        (false, vec![content("h1"), failed(), content("h2"), completed()]),
        (true, vec![content("h1"), started(), completed(), content("h2"), failed()]),
        // What leaves the content alone.
        (false, vec![content("h1"), completed(), moved()]),
        (false, vec![content("h1"), completed(), updated()]),
        (false, vec![content("h1"), completed(), added("d", "/f")]),
        (
            false,
            vec![content("h1"), completed(), SpaceEvent::reference_added("s", "d", "/e", ABSENT)],
        ),
        (false, vec![content("h1"), completed(), content("h1")]),
        (false, vec![content("h1"), started(), content("h1"), completed()]),
        // Content that is there again is newer than what was rendered.
        (true, vec![content("h1"), completed(), content("h2"), content("h1")]),
        // Renders of the space are renders of each of its documents.
        (false, vec![content("h1"), space_completed()]),
        (false, vec![content("h1"), space_started(), space_completed()]),
        (true, vec![content("h1"), space_started(), content("h2"), space_completed()]),
        (true, vec![content("h1"), space_completed(), content("h2")]),
        (true, vec![content("h1"), space_failed()]),
        (false, vec![content("h1"), failed(), space_completed()]),
        (false, vec![content("h1"), space_completed(), started(), failed()]),
        (false, vec![content("h1"), completed(), space_started(), space_failed()]),
        (false, vec![space_completed(), content("h1"), completed()]),
        (false, vec![space_started(), content("h1"), started(), completed(), space_completed()]),
        (false, vec![content("h1"), started(), space_started(), space_completed()]),
        // Marks are another question.
        (false, vec![stale(&["d"])]),
        (false, vec![content("h1"), completed(), stale(&["d"])]),
        (true, vec![content("h1"), completed(), content("h2"), stale(&["d"])]),
        // Gone, and added again.
        (false, vec![content("h1"), removed()]),
        (false, vec![content("h1"), removed(), added("d", "/d")]),
        (true, vec![content("h1"), completed(), removed(), added("d", "/d"), content("h1")]),
        (true, vec![content("h1"), space_completed(), removed(), added("d", "/d"), content("h1")]),
        (false, vec![content("h1"), deleted()]),
        (false, vec![content("h1"), deleted(), created(), added("d", "/d")]),
        (true, vec![space_completed(), deleted(), created(), added("d", "/d"), content("h1")]),
    ]
}

#[test]
fn a_document_needs_a_render_while_its_content_is_newer_than_its_last_completed_one() {
    for (expected, events) in table() {
        let state = state_with(&events);
        assert_eq!(state.needs_render("d"), expected, "{events:#?}");
        assert!(!state.needs_render("e"), "the other one, behind {events:#?}");
        let is_listed = state.documents_to_render().contains(&"d");
        assert_eq!(is_listed, expected || state.is_stale("d"), "{events:#?}");
        // What is kept goes on as what was folded.
        for cut in 0..=events.len() {
            let kept = SpaceState::decode(state_with(&events[..cut]).encode()).unwrap();
            assert_eq!(kept, state_with(&events[..cut]));
        }
        assert_eq!(SpaceState::decode(state.encode()).unwrap().needs_render("d"), expected);
    }
}

#[test]
fn what_is_unknown_needs_no_render() {
    assert!(!state_of([created()]).needs_render("d"));
    let unknown = state_of([created(), started(), content("h1"), completed()]);
    assert!(!unknown.needs_render("d") && unknown.documents_to_render().is_empty());
}

#[test]
fn documents_to_render_are_those_with_new_content_and_those_that_are_marked() {
    let mut events = vec![created()];
    for id in ["new", "marked", "both", "rendered", "empty"] {
        events.push(added(id, &format!("/{id}")));
    }
    for id in ["new", "marked", "both", "rendered"] {
        events.push(SpaceEvent::document_content_changed("s", id, ABSENT, "h"));
    }
    for id in ["marked", "rendered"] {
        events.push(SpaceEvent::render_completed("s", id, ABSENT));
    }
    events.push(stale(&["marked", "both"]));
    assert_eq!(state_of(events).documents_to_render(), ["both", "marked", "new"]);
}
