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
