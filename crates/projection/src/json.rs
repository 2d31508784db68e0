//! Pieces of the text formats.

use std::fmt::{Arguments, Write};

use spacefold_event_core::{Object, Value, write_string, write_value};

/// Appends formatted text.
pub(crate) fn append(json: &mut String, arguments: Arguments<'_>) {
    json.write_fmt(arguments).expect("writing to a string does not fail");
}

/// Appends a string, or null.
pub(crate) fn write_optional(json: &mut String, text: Option<&str>) {
    match text {
        Some(text) => write_string(json, text),
        None => json.push_str("null"),
    }
}

/// Appends an object.
pub(crate) fn write_object(json: &mut String, object: &Object) {
    write_members(json, object.iter().map(|(key, value)| (key.as_str(), value)));
}

/// Appends an object with these members.
pub(crate) fn write_members<'a>(
    json: &mut String,
    members: impl IntoIterator<Item = (&'a str, &'a Value)>,
) {
    json.push('{');
    for (index, (key, value)) in members.into_iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_string(json, key);
        json.push(':');
        write_value(json, value);
    }
    json.push('}');
}

/// Appends an array of what `write` writes for each item.
pub(crate) fn write_array<T>(
    json: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    json.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write(json, item);
    }
    json.push(']');
}
