//! The fields of a payload, one by one, wherever they go: neither an object nor a line is made of them
//! in between.

use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PyString},
};
use spacefold::{
    Value,
    event::{Object, Payload, Presence},
};

use crate::json;

/// A field.
#[derive(Clone, Copy)]
enum Field<'a> {
    Null,
    Text(&'a str),
    Texts(&'a [&'a str]),
    Object(&'a Object<&'a str>),
    Value(&'a Value<&'a str>),
}

/// The key of a field: one that the contract names, which has nothing to escape, or another one.
#[derive(Clone, Copy)]
enum Key<'a> {
    Known(&'static str),
    Other(&'a str),
}

/// What a payload holds at a key; `None` where it holds nothing.
trait AsField<'a> {
    fn as_field(&'a self) -> Option<Field<'a>>;
}

impl<'a> AsField<'a> for &'a str {
    fn as_field(&'a self) -> Option<Field<'a>> {
        Some(Field::Text(self))
    }
}

impl<'a> AsField<'a> for Presence<&'a str> {
    fn as_field(&'a self) -> Option<Field<'a>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(Field::Null),
            Self::Value(text) => Some(Field::Text(text)),
        }
    }
}

impl<'a> AsField<'a> for Vec<&'a str> {
    fn as_field(&'a self) -> Option<Field<'a>> {
        Some(Field::Texts(self))
    }
}

impl<'a> AsField<'a> for Object<&'a str> {
    fn as_field(&'a self) -> Option<Field<'a>> {
        Some(Field::Object(self))
    }
}

impl<'a> AsField<'a> for Value<&'a str> {
    fn as_field(&'a self) -> Option<Field<'a>> {
        Some(Field::Value(self))
    }
}

/// Visits the fields of each type, by name; what is of no type listed here goes by way of an object.
macro_rules! visit_fields {
    ($payload:expr, $visit:ident; $( $variant:ident { $($field:ident),* } )*) => {
        match $payload {
            $( Payload::$variant { $($field,)* extra } => {
                $( if let Some(field) = $field.as_field() {
                    $visit(Key::Known(stringify!($field)), field)?;
                } )*
                for (key, value) in extra.iter() {
                    $visit(Key::Other(key), Field::Value(value))?;
                }
                Ok(true)
            } )*
            Payload::Application { extra, .. } => {
                for (key, value) in extra.iter() {
                    $visit(Key::Other(key), Field::Value(value))?;
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    };
}

/// Calls `visit` with each field; answers whether the type is known here.
fn visit<'a, E>(
    payload: &'a Payload<&'a str>,
    mut visit: impl FnMut(Key<'a>, Field<'a>) -> Result<(), E>,
) -> Result<bool, E> {
    visit_fields!(payload, visit;
        SpaceCreated { name }
        SpaceUpdated { changes }
        SpaceDeleted { name }
        SpaceActivated {}
        SpaceArchived {}
        DocumentAdded { document_id, space_path }
        DocumentUpdated { document_id, changes }
        DocumentRemoved { document_id, space_path }
        DocumentMoved { document_id, old_path, new_path }
        DocumentContentChanged { document_id, old_hash, new_hash }
        VariableSet { name, value }
        VariableDeleted { name }
        ReferenceAdded { document_id, target, kind }
        ReferenceCleared { document_id }
        RenderStarted { document_id, output_hash, error }
        RenderCompleted { document_id, output_hash, error }
        RenderFailed { document_id, output_hash, error }
        SyncStarted { direction }
        SyncCompleted {}
        SyncConflict { document_id, local_hash, remote_hash }
        CacheInvalidated { document_ids, reason }
    )
}

/// The payload as a `dict`.
pub(crate) fn to_dict<'py>(
    py: Python<'py>,
    payload: &Payload<&str>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let is_known = visit(payload, |key, field| {
        let (Key::Known(key) | Key::Other(key)) = key;
        let key = PyString::intern(py, key);
        match field {
            Field::Null => dict.set_item(key, py.None()),
            Field::Text(text) => dict.set_item(key, text),
            Field::Texts(texts) => dict.set_item(key, PyList::new(py, texts)?),
            Field::Object(object) => dict.set_item(key, json::object_to_py(py, object)?),
            Field::Value(value) => dict.set_item(key, json::to_py(py, value)?),
        }
    })?;
    if is_known { Ok(dict) } else { json::object_to_py(py, &payload.to_object()) }
}

/// Appends the payload as a JSON object.
pub(crate) fn write(payload: &Payload<&str>, out: &mut Vec<u8>) {
    out.push(b'{');
    let begin = out.len();
    let written: Result<bool, std::convert::Infallible> = visit(payload, |key, field| {
        if out.len() > begin {
            out.push(b',');
        }
        match key {
            Key::Known(key) => {
                out.push(b'"');
                out.extend_from_slice(key.as_bytes());
                out.push(b'"');
            }
            Key::Other(key) => json::write_str(key, out),
        }
        out.push(b':');
        match field {
            Field::Null => out.extend_from_slice(b"null"),
            Field::Text(text) => json::write_str(text, out),
            Field::Texts(texts) => {
                out.push(b'[');
                for (place, text) in texts.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    json::write_str(text, out);
                }
                out.push(b']');
            }
            Field::Object(object) => json::write_object(object, out),
            Field::Value(value) => json::write_value(value, out),
        }
        Ok(())
    });
    out.push(b'}');
    if written == Ok(false) {
        out.truncate(begin - 1);
        json::write_object(&payload.to_object(), out);
    }
}
