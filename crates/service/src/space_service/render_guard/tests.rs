use std::panic::{AssertUnwindSafe, catch_unwind};

use spacefold_event_core::SpaceEvent;

use super::*;
use crate::{Refusal, testing::given};

fn space() -> Vec<SpaceEvent> {
    vec![SpaceEvent::space_created("s", "S"), SpaceEvent::document_added("s", "d", "/d")]
}

const NONE: Presence = Presence::Absent;

#[test]
fn a_render_ends_as_its_guard_says() {
    given(space()).when(|service| service.render("s", "d")?.complete("out")).then([
        SpaceEvent::render_started("s", "d"),
        SpaceEvent::render_completed("s", "d", "out"),
    ]);
    given(space()).when(|service| service.render("s", NONE)?.fail("no ink")).then([
        SpaceEvent::render_started("s", NONE),
        SpaceEvent::render_failed("s", NONE, "no ink"),
    ]);
}

#[test]
fn a_render_fails_when_its_guard_is_dropped() {
    given(space())
        .when(|service| {
            let outcome = service.set_variable("s", "v", 1);
            drop(service.with_source("printer").render("s", "d")?);
            outcome
        })
        .then([
            SpaceEvent::variable_set("s", "v", 1),
            SpaceEvent::render_started("s", "d").with_source("printer"),
            SpaceEvent::render_failed("s", "d", DROPPED).with_source("printer"),
        ]);
}

#[test]
fn a_render_fails_when_its_thread_panics() {
    given(space())
        .when(|service| {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _guard = service.render("s", "d").unwrap();
                panic!("out of paper");
            }));
            assert!(panicked.is_err());
            service.set_variable("s", "v", 1)
        })
        .then([
            SpaceEvent::render_started("s", "d"),
            SpaceEvent::render_failed("s", "d", PANICKED),
            SpaceEvent::variable_set("s", "v", 1),
        ]);
}

#[test]
fn a_guard_ends_no_render_but_its_own() {
    given(space())
        .when(|service| {
            let late = service.render("s", "d")?;
            assert_eq!(late.started(), Position::new(3));
            service.fail_render("s", "d", "too slow")?;
            service.start_render("s", "d")?;
            late.complete("out")
        })
        .then_error(|error| {
            let (started, running) = (Position::new(3), Position::new(5));
            assert_eq!(error.refusal(), Some(&Refusal::RenderSuperseded { started, running }));
        })
        .then_state("s", |state| {
            assert_eq!(state.render(Some("d")).unwrap().position(), Position::new(5));
        });
}

#[test]
fn a_render_that_is_taken_over_is_its_guards_no_more() {
    let error = "another render was started in its place";
    given(space())
        .when(|service| {
            let dead = service.with_source("host 1").render("s", "d")?;
            let other = service.with_source("host 2");
            let late = other.take_over("s", "d", dead.started()).unwrap();
            assert_eq!(late.started(), Position::new(5));
            // It was only slow: what it says of its render changes nothing, nor does its end.
            let error = dead.complete("old").unwrap_err();
            let (started, running) = (Position::new(3), late.started());
            assert_eq!(error.refusal(), Some(&Refusal::RenderSuperseded { started, running }));
            late.complete("new")
        })
        .then([
            SpaceEvent::render_started("s", "d").with_source("host 1"),
            SpaceEvent::render_failed("s", "d", error).with_source("host 2"),
            SpaceEvent::render_started("s", "d").with_source("host 2"),
            SpaceEvent::render_completed("s", "d", "new").with_source("host 2"),
        ]);
    given(space())
        .when(|service| service.take_over("s", "d", Position::new(3))?.complete(NONE))
        .then(Refusal::RenderNotRunning { document_id: Some("d".to_owned()), found: None });
}

#[test]
fn content_that_changes_while_it_is_rendered_needs_another_render() {
    let why = "its content changed while it was rendered";
    given(space())
        .when(|service| {
            service.set_content_hash("s", "d", "h1")?;
            let guard = service.render("s", "d")?;
            // What a render sets of the document itself is not what it shows.
            service.update_document("s", "d", [("pages", 3.into())].into_iter().collect())?;
            service.set_content_hash("s", "d", "h2")?;
            guard.complete("out")
        })
        .then_state("s", |state| {
            assert!(state.is_stale("d") && state.needs_render("d"));
            assert_eq!(state.anomalies().count(), 0);
        });
    given(space())
        .when(|service| {
            service.add_document("s", "e", "/e")?;
            let of_d = service.render("s", "d")?;
            service.update_document("s", "d", [("pages", 3.into())].into_iter().collect())?;
            service.set_content_hash("s", "e", "h2")?;
            of_d.complete(NONE)
        })
        .then_state("s", |state| assert!(state.stale_documents().is_empty()));
    // Of the space, each of its documents.
    let events = given(space())
        .when(|service| {
            service.add_document("s", "e", "/e")?;
            let guard = service.render("s", NONE)?;
            service.set_content_hash("s", "e", "h2")?;
            service.batch("s").add_document("f", "/f").set_content_hash("f", "h3").commit()?;
            service.add_document("s", "g", "/g")?;
            guard.complete(NONE)
        })
        .recorded();
    let end = events.split_at(events.len() - 2).1;
    assert_eq!(end[0].payload, SpaceEvent::render_completed("s", NONE, NONE).payload);
    assert_eq!(end[1].payload, SpaceEvent::cache_invalidated("s", ["e", "f"], why).payload);
}

#[test]
fn however_many_documents_changed_a_render_of_the_space_completes() {
    let id = |n: usize| format!("{n:0>512}");
    let count = 3_000;
    given(space())
        .when(|service| {
            let guard = service.render("s", NONE)?;
            for n in (0..count).step_by(1_000) {
                let batch = (n..n + 1_000).fold(service.batch("s"), |batch, n| {
                    batch.add_document(id(n), format!("/{n}")).set_content_hash(id(n), "h")
                });
                batch.commit()?;
            }
            guard.complete(NONE)
        })
        .then_state("s", |state| assert_eq!(state.stale_documents().len(), count));
}

#[test]
fn a_guard_whose_document_is_gone_has_nothing_to_fail() {
    given(space())
        .when(|service| {
            let guard = service.render("s", "d")?;
            let removed = service.remove_document("s", "d");
            drop(guard);
            removed
        })
        .then([SpaceEvent::render_started("s", "d"), SpaceEvent::document_removed("s", "d", "/d")]);
}

#[test]
fn a_guard_ends_its_render_on_an_archived_space() {
    given(space())
        .when(|service| {
            let guard = service.render("s", NONE)?;
            service.archive_space("s")?;
            guard.complete(NONE)
        })
        .then([
            SpaceEvent::render_started("s", NONE),
            SpaceEvent::space_archived("s"),
            SpaceEvent::render_completed("s", NONE, NONE),
        ]);
}

#[test]
fn a_keyed_start_that_is_repeated_gives_a_guard_of_the_same_render() {
    given(space())
        .when(|service| {
            let lost = std::mem::ManuallyDrop::new(service.with_key("k").render("s", "d")?);
            let again = service.with_key("k").render("s", "d")?;
            assert_eq!(again.started(), lost.started());
            again.complete(NONE)
        })
        .then([SpaceEvent::render_started("s", "d"), SpaceEvent::render_completed("s", "d", NONE)]);
}
