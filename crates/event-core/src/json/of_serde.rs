//! Values from those of `serde_json`.

use serde_json::{Map, Number};

use super::{
    careful::{IN_PAYLOAD, enter, read_number},
    error::JsonError,
};
use crate::value::{Object, Value};

impl TryFrom<serde_json::Value> for Value {
    type Error = JsonError;

    /// The value that its JSON text reads as, refused where the text is: a number beyond the largest
    /// float, which `serde_json` holds with its `arbitrary_precision`, and what nests too deep.
    fn try_from(value: serde_json::Value) -> Result<Self, JsonError> {
        value_of(value, IN_PAYLOAD)
    }
}

impl TryFrom<Map<String, serde_json::Value>> for Object {
    type Error = JsonError;

    /// As a [`Value`] from one of `serde_json`.
    fn try_from(members: Map<String, serde_json::Value>) -> Result<Self, JsonError> {
        object_of(members, IN_PAYLOAD)
    }
}

fn value_of(value: serde_json::Value, above: usize) -> Result<Value, JsonError> {
    Ok(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(bool) => Value::Bool(bool),
        serde_json::Value::Number(number) => number_of(&number)?,
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(values) => {
            let inside = enter(above)?;
            let values = values.into_iter().map(|value| value_of(value, inside));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(members) => Value::Object(object_of(members, above)?),
    })
}

fn object_of(members: Map<String, serde_json::Value>, above: usize) -> Result<Object, JsonError> {
    let inside = enter(above)?;
    let members = members.into_iter();
    members.map(|(key, value)| Ok((key, value_of(value, inside)?))).collect()
}

/// What the digits of a number say: all of them, where `serde_json` has kept them.
fn number_of(number: &Number) -> Result<Value, JsonError> {
    match number.as_i64() {
        Some(integer) => Ok(Value::Integer(integer)),
        None => Ok(read_number(&number.to_string())?.to_owned_value()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::limits::{LimitExceeded, MAX_JSON_DEPTH};

    #[test]
    fn a_value_is_what_its_text_reads_as() {
        let values = [
            json!(null),
            json!([true, false]),
            json!([0, -1, i64::MAX, i64::MIN, u64::MAX]),
            json!([0.0, -0.0, 1.0, 0.1, 1e-5, 1e15, 1e16, f64::MAX, f64::MIN_POSITIVE, 5e-324]),
            json!(["", "\u{0}\u{1f}\"", "\u{1f600}"]),
            json!({"b": {"z": [], "a": {}}, "a": [{}], "B": 2}),
        ];
        for value in values {
            let read: Value = value.to_string().parse().unwrap();
            assert_eq!(Value::try_from(value.clone()).unwrap(), read, "{value}");
            if let serde_json::Value::Object(members) = value {
                assert_eq!(Object::try_from(members).map(Value::Object).unwrap(), read);
            }
        }
    }

    #[test]
    fn one_that_nests_too_deep_is_refused_as_its_text_is() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inside, _| json!([inside]));
        assert!(Value::try_from(nested(MAX_JSON_DEPTH)).is_ok());
        assert!(nested(MAX_JSON_DEPTH).to_string().parse::<Value>().is_ok());
        let too_deep = Value::try_from(nested(MAX_JSON_DEPTH + 1)).unwrap_err();
        assert!(matches!(too_deep, JsonError::Limit(LimitExceeded::TooDeep { .. })), "{too_deep}");
        let read = nested(MAX_JSON_DEPTH + 1).to_string().parse::<Value>().unwrap_err();
        assert_eq!(read.to_string(), too_deep.to_string());
        let map = Map::from_iter([("key".to_owned(), nested(MAX_JSON_DEPTH))]);
        assert!(Object::try_from(map).is_err());
    }
}
