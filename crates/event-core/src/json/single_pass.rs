//! Reading a text in one pass: what programs write, event after event.
//!
//! It reads what it is sure of, and answers nothing for the rest, which `careful.rs` reads: what is
//! wrong in any way, and numbers whose digits the parser does not hand out.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    careful::{Borrowed, origin_of},
    line_event::LineEvent,
    reader::JsonReader,
};
use crate::{
    payload::EventType,
    value::{Digits, Finite, Object, ObjectEntry, Value},
};

/// The key under which `serde_json` hands a number out where a program has it keep all digits
/// (`arbitrary_precision`).
const NUMBER: &str = "$serde_json::private::Number";

/// About how many keys a payload has.
const PAYLOAD_KEYS: usize = 4;

/// Reads one event, if it is sure of all that the text says.
pub(super) fn read<'a>(reader: &JsonReader, text: &'a str) -> Option<LineEvent<'a>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let stated = Stated::deserialize(&mut json).ok()?;
    json.end().ok()?;
    let Borrowed(type_name) = stated.event_type?;
    let event_type = EventType::of_name(&type_name).ok()?;
    let text_of = |text: Option<Borrowed<'a>>| text.map(|Borrowed(text)| text);
    let event_id = stated.event_id.map(|Borrowed(id)| id.parse()).transpose().ok()?;
    let payload = stated.payload.map_or(Object::new(), |JsonObject(object)| object);
    let event = LineEvent {
        event_id,
        space_id: text_of(stated.space_id)?,
        payload: reader.payload(event_type, type_name, payload).ok()?,
        timestamp: reader.time("timestamp", text_of(stated.timestamp)).ok()?,
        recorded_at: reader.time("recorded_at", text_of(stated.recorded_at)).ok()?,
        source: text_of(stated.source),
        correlation_id: text_of(stated.correlation_id),
        tags: stated.tags.unwrap_or_default(),
        origin: stated.origin.map(|JsonObject(origin)| origin_of(&origin)).transpose().ok()?,
    };
    event.check_limits().ok()?;
    Some(event)
}

/// What the keys that the contract names say: of duplicates the last, where null is nothing.
#[derive(Default)]
struct Stated<'a> {
    event_type: Option<Borrowed<'a>>,
    space_id: Option<Borrowed<'a>>,
    event_id: Option<Borrowed<'a>>,
    payload: Option<JsonObject<'a>>,
    timestamp: Option<Borrowed<'a>>,
    recorded_at: Option<Borrowed<'a>>,
    source: Option<Borrowed<'a>>,
    correlation_id: Option<Borrowed<'a>>,
    tags: Option<Vec<String>>,
    origin: Option<JsonObject<'a>>,
}

impl<'de> Deserialize<'de> for Stated<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StatedVisitor;

        impl<'de> Visitor<'de> for StatedVisitor {
            type Value = Stated<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut keys: A) -> Result<Self::Value, A::Error> {
                let mut stated = Stated::default();
                while let Some(Borrowed(key)) = keys.next_key()? {
                    match &*key {
                        "event_type" => stated.event_type = keys.next_value()?,
                        "space_id" => stated.space_id = keys.next_value()?,
                        "event_id" => stated.event_id = keys.next_value()?,
                        "payload" => stated.payload = keys.next_value()?,
                        "timestamp" => stated.timestamp = keys.next_value()?,
                        "recorded_at" => stated.recorded_at = keys.next_value()?,
                        "source" => stated.source = keys.next_value()?,
                        "correlation_id" => stated.correlation_id = keys.next_value()?,
                        "tags" => stated.tags = keys.next_value()?,
                        "origin" => stated.origin = keys.next_value()?,
                        _ => drop(keys.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(stated)
            }
        }

        deserializer.deserialize_map(StatedVisitor)
    }
}

/// A value that is an object.
struct JsonObject<'a>(Object<Cow<'a, str>>);

impl<'de> Deserialize<'de> for JsonObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match JsonValue::deserialize(deserializer)? {
            JsonValue(Value::Object(object)) => Ok(Self(object)),
            _ => Err(D::Error::custom("no object")),
        }
    }
}

/// A value whose numbers are what the text says, to the last digit.
struct JsonValue<'a>(Value<Cow<'a, str>>);

impl<'de> Deserialize<'de> for JsonValue<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Self::Value, E> {
        Ok(Value::Integer(integer))
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Self::Value, E> {
        let digits = |_| Value::BigInteger(Digits::new(Cow::Owned(integer.to_string())));
        Ok(i64::try_from(integer).map_or_else(digits, Value::Integer))
    }

    fn visit_f64<E: Error>(self, float: f64) -> Result<Self::Value, E> {
        is_written_as_float(float)
            .then(|| Finite::new(float))
            .flatten()
            .map(Value::Float)
            .ok_or_else(|| E::custom("a number that may have more digits"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(JsonValue(value)) = elements.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<ObjectEntry<Cow<'de, str>>> = Vec::with_capacity(PAYLOAD_KEYS);
        while let Some(Borrowed(key)) = members.next_key()? {
            if key == NUMBER {
                return Err(A::Error::custom("what may be a number"));
            }
            let JsonValue(value) = members.next_value()?;
            entries.push((key, value));
        }
        Ok(Value::Object(Object::of_entries(entries)))
    }
}

/// Whether a number that the parser hands out as a float was written as one. It does so with integers
/// beyond 64 bits too, and with `-0`.
fn is_written_as_float(float: f64) -> bool {
    const BELOW_I64: f64 = -9_223_372_036_854_775_808.0;
    const BEYOND_U64: f64 = 18_446_744_073_709_551_616.0;
    float > BELOW_I64 && float < BEYOND_U64 && !(float == 0.0 && float.is_sign_negative())
}

#[cfg(test)]
mod tests;
