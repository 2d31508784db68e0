mod paths;

use spacefold_event_core::{LimitExceeded, MAX_APPEND_EVENTS, Position, Revision, SpaceEvent};

use crate::{CommandError, Refusal, SpaceService, testing::given};

fn created() -> SpaceEvent {
    SpaceEvent::space_created("s", "S")
}

#[test]
fn each_command_is_checked_in_the_state_that_those_before_it_leave() {
    given([])
        .when(|service| {
            service
                .batch("s")
                .create_space("S")
                .add_document("d", "/d")
                .move_document("d", "/e")
                .add_document("e", "/d")
                .set_variable("v", 1)
                .set_variable("v", 1)
                .remove_document("d")
                .archive_space()
                .commit()
        })
        .then([
            created(),
            SpaceEvent::document_added("s", "d", "/d"),
            SpaceEvent::document_moved("s", "d", "/d", "/e"),
            SpaceEvent::document_added("s", "e", "/d"),
            SpaceEvent::variable_set("s", "v", 1),
            SpaceEvent::document_removed("s", "d", "/e"),
            SpaceEvent::space_archived("s"),
        ]);
}

#[test]
fn one_refusal_refuses_all_and_is_named() {
    given([created()])
        .when(|service| {
            let batch = service.batch("s").add_document("d", "/d").set_variable("v", 1);
            batch.delete_variable("w").add_document("e", "/e").commit()
        })
        .then(Refusal::UnknownVariable { name: "w".to_owned() })
        .then_error(|error| {
            assert!(matches!(error, CommandError::Refused { index: Some(2), .. }));
            let text = "command 2 of the batch: space \"s\": there is no variable \"w\"; nothing was written";
            assert_eq!(error.to_string(), text);
        });
}

#[test]
fn what_changes_nothing_records_nothing() {
    given([created()])
        .when(|service| {
            let outcome = service.batch("s").rename_space("S").commit()?;
            assert_eq!(outcome.revision(), Revision::new(1));
            assert_eq!(service.batch("nowhere").commit()?.revision(), Revision::NONE);
            Ok(outcome)
        })
        .then_nothing();
}

#[test]
fn the_events_stand_together_and_say_who_and_why() {
    let service = SpaceService::in_memory();
    service.create_space("other", "O").unwrap();
    let by = service.with_source("editor").with_correlation_id("c");
    let outcome = by.batch("s").create_space("S").set_variable("v", 1).commit().unwrap();
    let places: Vec<_> = outcome.events().iter().map(|e| (e.position, e.revision)).collect();
    assert_eq!(
        places,
        [(Position::new(2), Revision::new(1)), (Position::new(3), Revision::new(2))]
    );
    assert_eq!(
        (outcome.last_position(), outcome.revision()),
        (Some(Position::new(3)), Revision::new(2))
    );
    for recorded in outcome.events() {
        assert_eq!(recorded.event.source.as_deref(), Some("editor"));
        assert_eq!(recorded.event.correlation_id.as_deref(), Some("c"));
    }
}

#[test]
fn a_batch_holds_as_many_events_as_an_append() {
    let service = SpaceService::in_memory();
    service.create_space("s", "S").unwrap();
    let batch = |count: usize| {
        let batch = service.batch("s");
        (0..count).fold(batch, |batch, n| batch.set_variable("v", n as u64 + 10))
    };
    let error = batch(MAX_APPEND_EVENTS + 1).commit().unwrap_err();
    let events = MAX_APPEND_EVENTS + 1;
    assert_eq!(
        error.refusal(),
        Some(&Refusal::Limit(LimitExceeded::TooManyEvents { events })),
        "{error}"
    );
    assert_eq!(batch(MAX_APPEND_EVENTS).commit().unwrap().events().len(), MAX_APPEND_EVENTS);
    // Commands that emit nothing do not count.
    let quiet = batch(MAX_APPEND_EVENTS).set_variable("v", MAX_APPEND_EVENTS as u64 + 9);
    assert_eq!(quiet.len(), MAX_APPEND_EVENTS + 1);
    assert_eq!(quiet.commit().unwrap().events().len(), MAX_APPEND_EVENTS);
}
