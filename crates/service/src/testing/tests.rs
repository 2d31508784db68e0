use super::*;

fn created() -> SpaceEvent {
    SpaceEvent::space_created("s", "S")
}

#[test]
#[should_panic(
    expected = "expected:\n  variable.set \"s\" {\"name\":\"v\",\"value\":2}\nfound:\n  variable.set \"s\" {\"name\":\"v\",\"value\":1}"
)]
fn another_payload_is_told() {
    given([created()])
        .when(|service| service.set_variable("s", "v", 1))
        .then([SpaceEvent::variable_set("s", "v", 2)]);
}

#[test]
#[should_panic(expected = "expected:\n  nothing\nfound:\n  space.activated")]
fn an_event_too_many_is_told() {
    given([created()]).when(|service| service.activate_space("s")).then_nothing();
}

#[test]
#[should_panic(expected = "Some(\"editor\")")]
fn another_source_is_told() {
    given([created()])
        .when(|service| service.with_source("editor").activate_space("s"))
        .then([SpaceEvent::space_activated("s")]);
}

#[test]
#[should_panic(expected = "there is no such space")]
fn an_error_in_place_of_events_is_told() {
    given([]).when(|service| service.activate_space("s")).then([SpaceEvent::space_activated("s")]);
}

#[test]
#[should_panic(expected = "expected a refusal: the space is archived")]
fn events_in_place_of_a_refusal_are_told() {
    given([created()]).when(|service| service.activate_space("s")).then(Refusal::SpaceArchived);
}

#[test]
#[should_panic(expected = "there is no such space")]
fn another_refusal_is_told() {
    given([]).when(|service| service.activate_space("s")).then(Refusal::SpaceArchived);
}

#[test]
#[should_panic(expected = "expected:\n  nothing\nfound:\n  space.activated")]
fn a_refusal_after_something_was_recorded_is_told() {
    given([created()])
        .when(|service| {
            service.activate_space("s")?;
            service.delete_variable("s", "v")
        })
        .then(Refusal::UnknownVariable { name: "v".to_owned() });
}

#[test]
fn several_commands_record_together() {
    given([created()])
        .when(|service| {
            service.activate_space("s")?;
            service.with_correlation_id("c").set_variable("s", "v", 1)
        })
        .then([
            SpaceEvent::space_activated("s"),
            SpaceEvent::variable_set("s", "v", 1).with_correlation_id("c"),
        ]);
}
