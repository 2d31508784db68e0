//! What commands under an idempotency key leave when they changed nothing: an event that no state takes in,
//! so that a repetition is recognised, and answered as the first time, whatever has happened since.

use spacefold_event_core::{COMMAND_UNCHANGED, ContentHash, Object, Payload, Value};

use crate::command::Command;

const OPERATION: &str = "operation";
const ARGUMENTS_HASH: &str = "arguments_hash";
/// What stands for several commands.
const BATCH: &str = "batch";

/// The payload of the event that commands leave whose events would have had these keys added: they are
/// arguments too, where there are any.
pub(crate) fn payload(commands: &[Command], added: &Object) -> Payload {
    let (operation, arguments) = match commands {
        [command] => (command.operation(), Value::Object(command.arguments())),
        commands => (BATCH, Value::Array(commands.iter().map(named).collect())),
    };
    let arguments = match added.is_empty() {
        true => arguments,
        false => Value::Array(vec![arguments, Value::Object(added.clone())]),
    };
    // Keys are sorted at every depth: equal arguments are the same text.
    let hash = ContentHash::of(arguments.to_string().as_bytes()).to_string();
    let extra = [(OPERATION, Value::from(operation)), (ARGUMENTS_HASH, Value::from(hash))];
    Payload::Application { name: COMMAND_UNCHANGED.to_owned(), extra: extra.into_iter().collect() }
}

fn named(command: &Command) -> Value {
    let pair = [
        (OPERATION, Value::from(command.operation())),
        ("arguments", Value::Object(command.arguments())),
    ];
    Value::Object(Object::from_iter(pair))
}

/// Whether this is left by commands that changed nothing.
pub(crate) fn is_one(payload: &Payload) -> bool {
    payload.own_type_name() == Some(COMMAND_UNCHANGED)
}

/// Whether these commands have left it.
pub(crate) fn is_of(stored: &Payload, commands: &[Command], added: &Object) -> bool {
    let own = payload(commands, added);
    let keys = [OPERATION, ARGUMENTS_HASH];
    is_one(stored) && keys.iter().all(|key| stored.extra().get(key) == own.extra().get(key))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hash(commands: &[Command]) -> String {
        Value::Object(payload(commands, &Object::new()).extra().clone()).to_string()
    }

    #[test]
    fn other_operations_arguments_and_orders_are_told_apart() {
        let name = |name: &str| name.to_owned();
        let set =
            |value: &str| Command::SetVariable { name: name("v"), value: value.parse().unwrap() };
        let clear = |document_id| Command::ClearReferences { document_id };
        let all = [
            vec![],
            vec![set("1")],
            vec![set("1.0")],
            vec![set("\"1\"")],
            vec![set("{\"a\": 1, \"b\": [2]}")],
            vec![Command::SetVariable { name: name("w"), value: 1.into() }],
            vec![Command::RenameSpace { name: name("v") }],
            vec![Command::DeleteVariable { name: name("v") }],
            vec![clear(spacefold_event_core::Presence::Absent)],
            vec![clear(spacefold_event_core::Presence::Null)],
            vec![clear("d".into())],
            vec![set("1"), set("2")],
            vec![set("2"), set("1")],
            vec![set("1"), set("2"), set("2")],
        ];
        let hashes: HashSet<String> = all.iter().map(|commands| hash(commands)).collect();
        assert_eq!(hashes.len(), all.len());
        assert_eq!(hash(&[set("{\"b\":[2],\"a\":1}")]), hash(&all[4]));
        for commands in &all {
            let none = Object::new();
            let left = payload(commands, &none);
            let of = all.iter().filter(|other| is_of(&left, other, &none)).count();
            assert_eq!(of, 1);
            let added = Object::from_iter([("by", Value::from("me"))]);
            assert!(!is_of(&left, commands, &added));
            assert!(is_of(&payload(commands, &added), commands, &added));
        }
    }

    #[test]
    fn the_hash_is_one_that_other_programs_can_make() {
        let set = Command::SetVariable { name: "v".to_owned(), value: 1.into() };
        let hash = ContentHash::of(br#"{"name":"v","value":1}"#);
        let expected = format!(r#"{{"arguments_hash":"{hash}","operation":"set_variable"}}"#);
        assert_eq!(
            Value::Object(payload(&[set], &Object::new()).extra().clone()).to_string(),
            expected
        );
    }
}
