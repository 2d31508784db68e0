//! Reading a text level by level: whatever is wrong with it is told by name, and every number keeps
//! its digits.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    error::{JsonError, ORIGIN, syntax},
    line_event::LineEvent,
    reader::JsonReader,
};
use crate::{
    limits::{LimitExceeded, MAX_JSON_DEPTH},
    origin::{EventOrigin, id_of_text},
    payload::EventType,
    position::Position,
    value::{Digits, Finite, Object, Value},
};

/// The levels around a value of a payload: the payload itself.
pub(super) const IN_PAYLOAD: usize = 1;

/// Reads one event.
pub(super) fn read<'a>(reader: &JsonReader, text: &'a str) -> Result<LineEvent<'a>, JsonError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    let keys = TopLevel::read(raw)?;
    let type_name =
        keys.string("event_type")?.ok_or(JsonError::MissingKey { key: "event_type" })?;
    let event_type = EventType::of_name(&type_name)?;
    let space_id = keys.string("space_id")?.ok_or(JsonError::MissingKey { key: "space_id" })?;
    let event_id = keys.string("event_id")?.map(|id| id.parse()).transpose()?;
    let payload = reader.payload(event_type, type_name, keys.payload()?)?;
    let timestamp = reader.time("timestamp", keys.string("timestamp")?)?;
    let mut event = LineEvent {
        event_id,
        space_id,
        payload,
        timestamp,
        recorded_at: None,
        source: keys.string("source")?,
        correlation_id: keys.string("correlation_id")?,
        tags: keys.tags()?,
        origin: keys.origin()?,
    };
    event.check_limits()?;
    event.recorded_at = reader.time("recorded_at", keys.string("recorded_at")?)?;
    Ok(event)
}

/// The keys of an event's object that the contract names.
struct TopLevel<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> TopLevel<'a> {
    fn read(raw: &'a RawValue) -> Result<Self, JsonError> {
        if !raw.get().starts_with('{') {
            return Err(JsonError::NotAnObject { found: type_of(raw) });
        }
        Ok(Self { members: read_members(raw)? })
    }

    /// What stands under `key`, of duplicates the last; null counts as missing.
    fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.members.iter().rev().find(|(other, _)| other == key)?;
        (raw.get() != "null").then_some(*raw)
    }

    fn string(&self, key: &'static str) -> Result<Option<Cow<'a, str>>, JsonError> {
        let Some(raw) = self.get(key) else {
            return Ok(None);
        };
        if !raw.get().starts_with('"') {
            return Err(wrong_type(key, "a string", type_of(raw)));
        }
        read_string(raw).map(Some)
    }

    fn tags(&self) -> Result<Vec<String>, JsonError> {
        const KEY: &str = "tags";
        let Some(raw) = self.get(KEY) else { return Ok(Vec::new()) };
        let Value::Array(values) = read_value(raw, 0)? else {
            return Err(wrong_type(KEY, "an array of strings", type_of(raw)));
        };
        let tag = |value: Value<Cow<'_, str>>| match value {
            Value::String(tag) => Ok(tag.into_owned()),
            other => Err(wrong_type(KEY, "an array of strings", other.type_name())),
        };
        values.into_iter().map(tag).collect()
    }

    fn payload(&self) -> Result<Object<Cow<'a, str>>, JsonError> {
        match self.get("payload").map(|raw| read_value(raw, 0)).transpose()? {
            None => Ok(Object::new()),
            Some(Value::Object(object)) => Ok(object),
            Some(other) => Err(wrong_type("payload", "an object", other.type_name())),
        }
    }

    fn origin(&self) -> Result<Option<EventOrigin>, JsonError> {
        const KEY: &str = "origin";
        let Some(raw) = self.get(KEY) else { return Ok(None) };
        match read_value(raw, 0)? {
            Value::Object(origin) => origin_of(&origin).map(Some),
            _ => Err(wrong_type(KEY, ORIGIN, type_of(raw))),
        }
    }
}

/// The origin that an object states.
pub(super) fn origin_of(origin: &Object<Cow<'_, str>>) -> Result<EventOrigin, JsonError> {
    let id = |key: &'static str| {
        let id = origin.get(key).and_then(Value::as_str).and_then(id_of_text);
        id.ok_or(JsonError::InvalidOrigin { key })
    };
    let position = match origin.get("position") {
        Some(number @ (Value::Integer(_) | Value::BigInteger(_))) => {
            number.to_string().parse().ok()
        }
        _ => None,
    };
    Ok(EventOrigin {
        store_id: id("store")?,
        timeline: id("timeline")?,
        position: position
            .map(Position::new)
            .ok_or(JsonError::InvalidOrigin { key: "position" })?,
    })
}

pub(super) fn read_value(raw: &RawValue, above: usize) -> Result<Value<Cow<'_, str>>, JsonError> {
    // Every level is parsed from its own text, so that numbers keep their digits and nothing
    // recurses deeper than the limit; a text is scanned at most once for each level around it.
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => Value::String(read_string(raw)?),
        Some(b'[') => {
            let inside = enter(above)?;
            let elements: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|error| syntax(&error))?;
            let values = elements.into_iter().map(|element| read_value(element, inside));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let inside = enter(above)?;
            let mut members = Vec::new();
            for (key, member) in read_members(raw)? {
                members.push((key, read_value(member, inside)?));
            }
            Value::Object(Object::of_entries(members))
        }
        _ => read_number(text)?,
    })
}

pub(super) fn read_number(text: &str) -> Result<Value<Cow<'_, str>>, JsonError> {
    if text.contains(['.', 'e', 'E']) {
        let float = text.parse().ok().and_then(Finite::new);
        return float.map(Value::Float).ok_or_else(|| JsonError::NumberOutOfRange {
            number: text.chars().take(40).collect(),
        });
    }
    Ok(text
        .parse()
        .map_or_else(|_| Value::BigInteger(Digits::new(Cow::Borrowed(text))), Value::Integer))
}

/// Counts a level; the object of the payload is none of a value's levels.
pub(super) fn enter(above: usize) -> Result<usize, JsonError> {
    if above > MAX_JSON_DEPTH {
        return Err(LimitExceeded::TooDeep { depth: above }.into());
    }
    Ok(above + 1)
}

fn read_string(raw: &RawValue) -> Result<Cow<'_, str>, JsonError> {
    let Borrowed(text) = serde_json::from_str(raw.get()).map_err(|error| syntax(&error))?;
    Ok(text)
}

fn read_members(raw: &RawValue) -> Result<Vec<(Cow<'_, str>, &RawValue)>, JsonError> {
    let JsonMembers(members) = serde_json::from_str(raw.get()).map_err(|error| syntax(&error))?;
    Ok(members)
}

/// A string that borrows from the text where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Borrowed<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The members of an object in the order of the text, duplicates included.
struct JsonMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for JsonMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = JsonMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Borrowed(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(JsonMembers(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

fn wrong_type(key: &'static str, expected: &'static str, found: &'static str) -> JsonError {
    JsonError::WrongType { key, expected, found }
}

fn type_of(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        _ => "a number",
    }
}
