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

/// Whether document `d`, beside another one that is rendered, needs a render after these events.
#[track_caller]
fn needs(events: impl IntoIterator<Item = SpaceEvent>, expected: bool) {
    let other = [
        created(),
        added("e", "/e"),
        SpaceEvent::document_content_changed("s", "e", ABSENT, "h"),
        SpaceEvent::render_completed("s", "e", ABSENT),
        added("d", "/d"),
    ];
    let state = state_of(other.into_iter().chain(events));
    assert_eq!(state.needs_render("d"), expected);
    let listed = state.documents_to_render();
    assert_eq!(listed.contains(&"d"), expected, "{listed:?}");
    assert!(listed.iter().all(|id| state.needs_render(id)), "{listed:?}");
}

#[test]
fn new_content_needs_a_render_until_one_completes() {
    needs([], false);
    needs([content("h1")], true);
    needs([content("h1"), started()], true);
    needs([content("h1"), started(), completed()], false);
    needs([content("h1"), completed(), content("h2")], true);
    needs([content("h1"), completed(), content("h2"), started(), completed()], false);
    // It is not stale: nobody has marked it.
    let state = state_of([created(), added("d", "/d"), completed(), content("h")]);
    assert!(!state.is_stale("d") && state.needs_render("d"));
}

#[test]
fn a_render_that_did_not_complete_shows_nothing() {
    needs([content("h1"), failed()], true);
    needs([content("h1"), completed(), content("h2"), failed()], true);
    // Of the completed one the state keeps nothing any more.
    needs([content("h1"), completed(), failed()], true);
    needs([content("h1"), completed(), started()], true);
    needs([failed()], false);
}

#[test]
fn a_render_of_the_space_is_one_of_each_document() {
    let completed_space = SpaceEvent::render_completed("s", ABSENT, ABSENT);
    let failed_space = SpaceEvent::render_failed("s", ABSENT, ABSENT);
    needs([content("h1"), completed_space.clone()], false);
    needs([content("h1"), failed_space.clone()], true);
    needs([content("h1"), failed(), completed_space.clone()], false);
    needs([content("h1"), completed_space.clone(), started()], false);
    needs([content("h1"), completed_space.clone(), content("h2")], true);
    needs([content("h1"), completed(), failed_space], false);
    needs([completed_space, content("h1"), completed()], false);
}

#[test]
fn a_mark_needs_a_render_with_content_or_without() {
    needs([stale(&["d"])], true);
    needs([content("h1"), completed(), stale(&["d"])], true);
    needs([content("h1"), completed(), stale(&["e"])], false);
    needs([content("h1"), stale(&["d"]), completed()], false);
}

#[test]
fn attributes_and_paths_may_show_in_a_render() {
    let attributes = SpaceEvent::document_updated("s", "d", object([("k", Value::from(1))]));
    let moved = SpaceEvent::document_moved("s", "d", "/d", "/f");
    for change in [attributes, moved] {
        needs([content("h1"), completed(), change.clone()], true);
        needs([content("h1"), change.clone(), completed()], false);
        needs([change], false);
    }
    let reference = SpaceEvent::reference_added("s", "d", "/e", ABSENT);
    needs([content("h1"), completed(), reference], false);
}

#[test]
fn what_is_not_there_needs_no_render() {
    let state = state_of([created()]);
    assert!(!state.needs_render("d"));
    needs([content("h1"), SpaceEvent::document_removed("s", "d", "/d")], false);
    needs([content("h1"), deleted()], false);
    // Added again, it begins anew.
    let removed = SpaceEvent::document_removed("s", "d", "/d");
    needs([content("h1"), completed(), removed, added("d", "/d"), content("h1")], true);
}
