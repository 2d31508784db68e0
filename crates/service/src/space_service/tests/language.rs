//! Events of an application's own, and what commands add to their events.

use spacefold_event_core::{AppendCondition, COMMAND_UNCHANGED, Object};
use spacefold_state::SpaceStatus;

use super::*;

const NOTED: &str = "com.example.noted";

fn payload(text: &str) -> Object {
    [("text", Value::from(text))].into_iter().collect()
}

#[test]
fn an_event_of_ones_own_may_be_the_first_of_a_space_which_is_created_after_it() {
    let service = SpaceService::in_memory();
    let first = service.record("s", NOTED, payload("a")).unwrap();
    assert_eq!((first.revision(), first.events()[0].event.type_name()), (Revision::new(1), NOTED));
    let snapshot = service.states().snapshot("s").unwrap();
    assert_eq!((snapshot.status(), snapshot.created_at()), (SpaceStatus::Unknown, None));
    // Nothing but its creation fits such a space.
    for refused in [service.rename_space("s", "T"), service.add_document("s", "d", "/d")] {
        assert_eq!(refused.unwrap_err().refusal(), Some(&Refusal::NoSuchSpace));
    }
    // `NoSpace` means that there is no event at all.
    let no_space = service.only_if(AppendCondition::no_space("s")).create_space("s", "S");
    assert!(matches!(no_space.unwrap_err().refusal(), Some(Refusal::ConditionFailed { .. })));
    assert_eq!(service.create_space("s", "S").unwrap().revision(), Revision::new(2));
    let again = service.create_space("s", "S").unwrap_err();
    assert!(matches!(again.refusal(), Some(Refusal::SpaceExists { .. })), "{again}");
    service.record("s", NOTED, payload("b")).unwrap();
    service.archive_space("s").unwrap();
    service.record("s", NOTED, payload("c")).unwrap();
    let snapshot = service.states().snapshot("s").unwrap();
    assert_eq!((snapshot.status(), snapshot.anomalies().count()), (SpaceStatus::Archived, 0));
    // None is taken on a space that is deleted, until it is created again.
    service.delete_space("s").unwrap();
    let refused = service.record("s", NOTED, payload("d")).unwrap_err();
    assert_eq!(refused.refusal(), Some(&Refusal::SpaceDeleted));
    let batch = service.batch("s").create_space("S").record(NOTED, payload("d"));
    assert_eq!(batch.commit().unwrap().events().len(), 2);
}

#[test]
fn names_that_no_type_of_ones_own_can_have_are_refused() {
    let service = SpaceService::in_memory();
    for name in ["space.created", "space.eaten", "noted", "com..noted", "spacefold.x", ""] {
        let refused = service.record("s", name, Object::new()).unwrap_err();
        assert!(matches!(refused.refusal(), Some(Refusal::UnknownType(_))), "{name}: {refused}");
    }
    let refused = service.record("s", COMMAND_UNCHANGED, Object::new()).unwrap_err();
    assert_eq!(refused.refusal(), Some(&Refusal::ReservedType { name: COMMAND_UNCHANGED }));
    let refused = service.record("", NOTED, Object::new()).unwrap_err();
    assert!(matches!(refused.refusal(), Some(Refusal::Limit(_))), "{refused}");
    assert_eq!(service.log().head(), Position::START);
}

#[test]
fn an_event_of_ones_own_under_a_key_is_recorded_once() {
    let service = SpaceService::in_memory().with_extra("ticket", 17);
    let keyed = service.with_key("k");
    let first = keyed.record("s", NOTED, payload("a")).unwrap();
    let again = keyed.record("s", NOTED, payload("a")).unwrap();
    assert!(again.is_repeated());
    assert_eq!(again.events(), first.events());
    for (name, payload) in
        [(NOTED, payload("b")), (NOTED, Object::new()), ("com.example.b", payload("a"))]
    {
        let reused = keyed.record("s", name, payload).unwrap_err();
        let Some(Refusal::KeyReused { type_name, .. }) = reused.refusal() else {
            panic!("{reused}")
        };
        assert_eq!(type_name, NOTED);
    }
    assert_eq!(service.log().head(), Position::new(1));
}

#[test]
fn tags_and_extra_keys_go_into_every_event_of_a_command() {
    let service = SpaceService::in_memory().with_tags(["a", "b"]).with_extra("ticket", 17);
    let service = service.with_extra("by", "me");
    service.create_space("s", "S").unwrap();
    service.batch("s").add_document("d", "/d").set_variable("v", 1).commit().unwrap();
    service.set_references("s", "d", ["/x", "/y"]).unwrap();
    service.submit("s", Command::ActivateSpace).wait().unwrap();
    service.record("s", NOTED, payload("a")).unwrap();
    drop(service.render("s", "d").unwrap());
    let events = all(&**service.log());
    assert_eq!(events.len(), 9);
    for event in events {
        let event = event.event;
        assert_eq!(event.tags, ["a", "b"], "{event}");
        let extra = event.payload.extra();
        let added = (extra.get("ticket"), extra.get("by"));
        assert_eq!(added, (Some(&Value::from(17)), Some(&Value::from("me"))), "{event}");
    }
    // Other tags take the place of those before.
    let set = service.with_tags(["c"]).set_variable("s", "v", 2).unwrap();
    assert_eq!(set.events()[0].event.tags, ["c"]);
    // What says that nothing changed has them, and no keys that are not its own.
    assert!(service.with_key("k").set_variable("s", "v", 2).unwrap().is_unchanged());
    let left = all(&**service.log()).pop().unwrap().event;
    assert_eq!((left.type_name(), left.tags.len()), (COMMAND_UNCHANGED, 2));
    assert_eq!(left.payload.extra().len(), 2);
}

#[test]
fn other_extra_keys_under_a_used_key_are_another_command() {
    let service = SpaceService::in_memory();
    service.create_space("s", "S").unwrap();
    let by = |who: &str, key: &str| service.with_extra("by", who).with_key(key);
    by("me", "set").set_variable("s", "v", 1).unwrap();
    by("me", "nothing").set_variable("s", "v", 1).unwrap();
    for key in ["set", "nothing"] {
        assert!(by("me", key).set_variable("s", "v", 1).unwrap().is_repeated());
        for other in [by("you", key), service.with_key(key)] {
            let refused = other.set_variable("s", "v", 1).unwrap_err();
            let is_reused = matches!(refused.refusal(), Some(Refusal::KeyReused { .. }));
            assert!(is_reused, "{key}: {refused}");
        }
    }
}

#[test]
fn tags_and_extra_keys_that_no_event_can_have_are_refused() {
    let service = SpaceService::in_memory();
    let named = service.with_extra("name", "x").create_space("s", "S").unwrap_err();
    assert!(matches!(named.refusal(), Some(Refusal::ExtraKey(_))), "{named}");
    for tags in [vec![String::new()], vec!["a".to_owned(); 2], vec!["x".repeat(201)]] {
        let refused = service.with_tags(tags).create_space("s", "S").unwrap_err();
        assert!(matches!(refused.refusal(), Some(Refusal::Limit(_))), "{refused}");
    }
    // The payload is stored as its caller gave it, or not at all.
    for submits in [false, true] {
        let batch = service.with_extra("text", "b").batch("s").record(NOTED, payload("a"));
        let refused = if submits { batch.submit().wait() } else { batch.commit() }.unwrap_err();
        let key = "text".to_owned();
        assert_eq!(refused.refusal(), Some(&Refusal::KeyInPayload { key }));
    }
    let batch = service.with_extra("value", 1).batch("s").create_space("S").set_variable("v", 1);
    let refused = batch.commit().unwrap_err();
    assert!(matches!(refused, CommandError::Refused { index: Some(1), .. }), "{refused}");
    assert_eq!(service.log().head(), Position::START);
}
