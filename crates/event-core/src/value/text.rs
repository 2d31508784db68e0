//! Values as JSON text.

use std::fmt::Write;

use super::{Value, object::Object};

/// Appends `value` as canonical JSON: no white space, object keys sorted by their bytes.
pub fn write_value<S: AsRef<str>>(json: &mut String, value: &Value<S>) {
    match value {
        Value::Null => json.push_str("null"),
        Value::Bool(bool) => append(json, format_args!("{bool}")),
        Value::Integer(integer) => append(json, format_args!("{integer}")),
        Value::BigInteger(digits) => json.push_str(digits.as_str()),
        Value::Float(float) => {
            // The shortest decimal that reads back as the same float, with a point or exponent.
            append(json, format_args!("{:?}", float.get()));
        }
        Value::String(text) => write_string(json, text.as_ref()),
        Value::Array(values) => {
            json.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_value(json, value);
            }
            json.push(']');
        }
        Value::Object(object) => write_object(json, object),
    }
}

pub(crate) fn write_object<S: AsRef<str>>(json: &mut String, object: &Object<S>) {
    json.push('{');
    for (index, (key, value)) in object.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_string(json, key.as_ref());
        json.push(':');
        write_value(json, value);
    }
    json.push('}');
}

/// Appends `text` as a JSON string.
pub fn write_string(json: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        json.push_str(&serde_json::Value::from(text).to_string());
    } else {
        json.push('"');
        json.push_str(text);
        json.push('"');
    }
}

/// Appends what is formatted.
pub(crate) fn append(json: &mut String, arguments: std::fmt::Arguments<'_>) {
    json.write_fmt(arguments).expect("writing to a string does not fail");
}
