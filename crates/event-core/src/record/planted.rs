//! The schemas of programs of other times, for tests: what `document.moved` might have carried before,
//! and what programs of those times and of a later one read and write.
//!
//! | version | what `document.moved` carries |
//! |---|---|
//! | 1 | document_id, path |
//! | 2 | document_id, to, from? |
//! | 3 | document_id, old_path?, new_path: what it carries in truth |
//!
//! The earlier layouts are those of `document.added` and `reference.added`. So a program that writes
//! these under the bytes of the earlier versions writes what a program of that time would have.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "const: what is out of range does not compile"
)]

use super::schemas::{Schemas, Upcaster, byte};
use crate::{
    payload::{
        EventType,
        layout::KeyForm::{MaybeText, Text},
    },
    schema_version::SchemaVersion,
    value::{Object, Value},
};

const FIRST: SchemaVersion = SchemaVersion::FIRST;

static UPCASTERS: [Upcaster; 2] = [
    Upcaster {
        event_type: EventType::DocumentMoved,
        from: FIRST,
        layout: &[("document_id", Text), ("path", Text)],
        upcast: from_path_to_to,
    },
    Upcaster {
        event_type: EventType::DocumentMoved,
        from: FIRST.next(),
        layout: &[("document_id", Text), ("to", Text), ("from", MaybeText)],
        upcast: to_new_path,
    },
];

/// `path` is called `to`; where it came from nobody has noted.
fn from_path_to_to(mut object: Object) -> Object {
    if let Some(path) = object.remove("path") {
        object.insert("to", path);
    }
    object
}

/// `to` is called `new_path`, `from` is `old_path`; paths begin with a slash.
fn to_new_path(mut object: Object) -> Object {
    for (from, to) in [("to", "new_path"), ("from", "old_path")] {
        match object.remove(from) {
            Some(Value::String(path)) if !path.starts_with('/') => {
                object.insert(to, Value::String(format!("/{path}")));
            }
            Some(path) => {
                object.insert(to, path);
            }
            None => {}
        }
    }
    object
}

const TRUE_CODES: [u8; 32] = {
    let mut codes = [0; 32];
    let mut code = 1;
    while code <= EventType::CORE.len() {
        codes[code] = code as u8;
        code += 1;
    }
    codes[EventType::Application.code() as usize] = EventType::Application.code();
    codes
};

/// A program that writes `document.added` as `document.moved` of version 1, `reference.added` as that
/// of version 2, and `document.moved` as itself, of version 3.
pub static EARLIER: Schemas = {
    let mut codes = TRUE_CODES;
    codes[EventType::DocumentAdded.code() as usize] = byte(EventType::DocumentMoved, FIRST);
    codes[EventType::ReferenceAdded.code() as usize] = byte(EventType::DocumentMoved, FIRST.next());
    codes[EventType::DocumentMoved.code() as usize] =
        byte(EventType::DocumentMoved, FIRST.next().next());
    Schemas::with_codes(codes, &[])
};

/// A program that has come to version 3, and reads what came before.
pub static LATER: Schemas = Schemas::new(&UPCASTERS);
