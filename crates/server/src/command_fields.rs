//! The arguments of commands, from the JSON objects that they are given in.

use axum::http::HeaderMap;
use serde::Serialize;
use spacefold::{
    AppendCondition, Position, SpaceService, Value,
    command::{Command, CommandFields, Scope},
    event::{Object, Presence, RecordedEvent},
    state::Reference,
};

use crate::{
    access::CallerAccess, body::WholeBody, bounded::ObjectOf, condition::WrittenCondition,
    entity_tag, problem::HttpProblem,
};

/// Characters of an idempotency key.
const MAX_KEY_BYTES: usize = 512;

/// What is said beside the arguments of a command; no operation has a field of these names.
pub(crate) const MARKS: [&str; 6] =
    ["source", "correlation_id", "tags", "extra", "condition", "unchanged_since"];

/// What a command came to.
#[derive(Serialize)]
pub(crate) struct PrintedCommand<'a> {
    pub(crate) events: &'a [RecordedEvent],
    pub(crate) revision: spacefold::Revision,
    pub(crate) unchanged: bool,
    pub(crate) durable: bool,
    pub(crate) replayed: bool,
}

fn wrong(name: &str, expected: &str, found: &Value) -> HttpProblem {
    let detail = format_args!("{name:?} is {expected}, found {}", found.type_name());
    HttpProblem::bad_request("invalid_argument", detail).field("argument", name)
}

fn missing(name: &str) -> HttpProblem {
    let detail = format_args!("argument {name:?} is missing");
    HttpProblem::bad_request("invalid_argument", detail).field("argument", name)
}

/// The body as an object.
pub(crate) fn object_of(body: &WholeBody) -> Result<Object, HttpProblem> {
    let text = std::str::from_utf8(&body.bytes)
        .map_err(|error| HttpProblem::bad_request("invalid_body", error))?;
    let text = if text.trim().is_empty() { "{}" } else { text };
    match text.parse::<Value>() {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(wrong("body", "an object", &other)),
        Err(error) => Err(HttpProblem::bad_request("invalid_body", error)),
    }
}

/// The command of an operation, whose arguments are taken out of an object.
pub(crate) fn command_of(operation: &str, arguments: Object) -> Result<Command, HttpProblem> {
    let mut fields = JsonFields(arguments);
    let command = Command::from_fields(operation, &mut fields)?;
    let Some(command) = command else {
        let operation: String = operation.chars().take(80).collect();
        let known: Vec<&str> = Command::OPERATIONS.iter().map(|it| it.name).collect();
        let detail = format_args!("there is no operation {operation:?}");
        return Err(HttpProblem::not_found("unknown_operation", detail).field("known", known));
    };
    let unknown = fields.0.keys().next();
    match unknown {
        None => Ok(command),
        Some(name) => {
            let detail = format_args!("there is no argument {name:?} here");
            Err(HttpProblem::bad_request("invalid_argument", detail).field("argument", name))
        }
    }
}

/// The fields that an object has.
struct JsonFields(Object);

impl JsonFields {
    fn required(&mut self, name: &str) -> Result<Value, HttpProblem> {
        self.0.remove(name).ok_or_else(|| missing(name))
    }
}

impl CommandFields for JsonFields {
    type Error = HttpProblem;

    fn text(&mut self, name: &str) -> Result<String, HttpProblem> {
        text(name, self.required(name)?)
    }

    fn optional_text(&mut self, name: &str) -> Result<Presence, HttpProblem> {
        Ok(match self.0.remove(name) {
            None => Presence::Absent,
            Some(Value::Null) => Presence::Null,
            Some(value) => Presence::Value(text(name, value)?),
        })
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, HttpProblem> {
        texts(name, self.required(name)?)
    }

    fn object(&mut self, name: &str) -> Result<Object, HttpProblem> {
        object(name, self.required(name)?)
    }

    fn value(&mut self, name: &str) -> Result<Value, HttpProblem> {
        self.required(name)
    }

    fn references(&mut self, name: &str) -> Result<Vec<Reference>, HttpProblem> {
        match self.required(name)? {
            Value::Array(references) => {
                references.into_iter().map(|it| reference(name, it)).collect()
            }
            other => Err(wrong(name, "a list", &other)),
        }
    }

    fn position(&mut self, name: &str) -> Result<Position, HttpProblem> {
        position(name, &self.required(name)?)
    }

    fn optional_position(&mut self, name: &str) -> Result<Option<Position>, HttpProblem> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => position(name, &value).map(Some),
        }
    }
}

fn text(name: &str, value: Value) -> Result<String, HttpProblem> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong(name, "a text", &other)),
    }
}

fn texts(name: &str, value: Value) -> Result<Vec<String>, HttpProblem> {
    match value {
        Value::Array(values) => values.into_iter().map(|value| text(name, value)).collect(),
        other => Err(wrong(name, "a list of texts", &other)),
    }
}

fn object(name: &str, value: Value) -> Result<Object, HttpProblem> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(wrong(name, "an object", &other)),
    }
}

fn position(name: &str, value: &Value) -> Result<Position, HttpProblem> {
    let position = value.as_u64().map(Position::new);
    position.ok_or_else(|| wrong(name, "a position", value))
}

/// A target, or an object of a target and a kind.
fn reference(name: &str, value: Value) -> Result<Reference, HttpProblem> {
    let mut object = match value {
        Value::String(target) => return Ok(Reference::from(target)),
        Value::Object(object) => object,
        other => return Err(wrong(name, "a list of targets, or of objects with one", &other)),
    };
    let target = text("target", object.remove("target").ok_or_else(|| missing("target"))?)?;
    let kind = match object.remove("kind") {
        None | Some(Value::Null) => None,
        Some(kind) => Some(text("kind", kind)?),
    };
    match object.keys().next() {
        None => Ok(Reference { target, kind }),
        Some(key) => {
            let detail = format_args!("a reference has a target and a kind, and no {key:?}");
            Err(HttpProblem::bad_request("invalid_argument", detail).field("argument", name))
        }
    }
}

/// The service as a request wants it: who does it, why, under which key and on which condition. Takes
/// what says so out of the object.
pub(crate) fn service_for(
    service: &SpaceService,
    headers: &HeaderMap,
    given: &mut Object,
    of_headers: AppendCondition,
    access: &CallerAccess,
) -> Result<SpaceService, HttpProblem> {
    let mut service = service.only_if(of_headers);
    if let Some(key) = entity_tag::text(headers, axum::http::HeaderName::from_static(IDEMPOTENCY))?
    {
        if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
            let detail = format_args!("Idempotency-Key has 1 to {MAX_KEY_BYTES} bytes");
            return Err(HttpProblem::bad_request("invalid_header", detail));
        }
        service = service.with_key(key);
    }
    for mark in MARKS {
        let Some(value) = given.remove(mark) else { continue };
        service = match mark {
            "source" => service.with_source(text(mark, value)?),
            "correlation_id" => service.with_correlation_id(text(mark, value)?),
            "tags" => service.with_tags(texts(mark, value)?),
            "extra" => {
                let extra = object(mark, value)?;
                let extra = extra.iter();
                extra.fold(service, |it, (key, value)| it.with_extra(key, value.clone()))
            }
            "condition" => {
                let condition =
                    serde_json::from_str::<ObjectOf<WrittenCondition>>(&value.to_string());
                let condition = condition
                    .map_err(|error| HttpProblem::bad_request("invalid_condition", error))?;
                service.only_if(condition.0.condition(access)?)
            }
            _ => unchanged_since(&service, value)?,
        };
    }
    Ok(service)
}

const IDEMPOTENCY: &str = "idempotency-key";

/// A position, for the whole space, or an object of a position and the document that it is about.
fn unchanged_since(service: &SpaceService, value: Value) -> Result<SpaceService, HttpProblem> {
    const NAME: &str = "unchanged_since";
    let Value::Object(mut since) = value else {
        return Ok(service.if_unchanged_since(Scope::Space, position(NAME, &value)?));
    };
    let at = since.remove("position").ok_or_else(|| missing("position"))?;
    let at = position("position", &at)?;
    let document = since.remove("document").ok_or_else(|| missing("document"))?;
    let scope = Scope::document(text("document", document)?);
    match since.is_empty() {
        true => Ok(service.if_unchanged_since(scope, at)),
        false => {
            let detail = "unchanged_since has a position and a document";
            Err(HttpProblem::bad_request("invalid_argument", detail).field("argument", NAME))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_operation_has_a_field_named_as_a_mark() {
        for operation in Command::OPERATIONS {
            assert_ne!(operation.name, "batch");
            for field in operation.fields {
                assert!(!MARKS.contains(&field.name), "{} of {}", field.name, operation.name);
                assert_ne!(field.name, "operation");
            }
        }
    }

    #[test]
    fn commands_are_made_of_objects_whole_or_not_at_all() {
        let of = |operation: &str, json: &str| {
            let Ok(Value::Object(object)) = json.parse() else { panic!("{json} is no object") };
            command_of(operation, object)
        };
        let named = of("create_space", r#"{"name": "Handbook"}"#).unwrap();
        assert_eq!(named, Command::CreateSpace { name: "Handbook".to_owned() });
        let references =
            r#"{"document_id": "d", "references": ["a", {"target": "b", "kind": "k"}]}"#;
        let references = of("set_references", references).unwrap();
        let expected = vec![Reference::from("a"), Reference::from(("b", "k"))];
        let document_id = "d".to_owned();
        assert_eq!(references, Command::SetReferences { document_id, references: expected });
        let render = of("fail_render", r#"{"document_id": null, "started": 7}"#).unwrap();
        let (document_id, error) = (Presence::Null, Presence::Absent);
        let started = Some(Position::new(7));
        assert_eq!(render, Command::FailRender { document_id, error, started });
        for (operation, json, code) in [
            ("create_space", "{}", "invalid_argument"),
            ("create_space", r#"{"name": 1}"#, "invalid_argument"),
            ("create_space", r#"{"name": "a", "nme": "b"}"#, "invalid_argument"),
            ("create-space", r#"{"name": "a"}"#, "unknown_operation"),
            ("take_over_render", r#"{"started": -1}"#, "invalid_argument"),
            ("set_references", r#"{"document_id": "d", "references": [{}]}"#, "invalid_argument"),
        ] {
            assert_eq!(of(operation, json).unwrap_err().code(), code, "{operation} {json}");
        }
    }
}
