//! The interchange form: one JSON object per event, as the Python module reads and writes it.

mod careful;
mod line_event;
mod of_serde;
mod print;
mod read;
mod single_pass;
mod write;

pub use self::read::{
    FilledIn, JsonError, JsonEvent, JsonReader, KeyMap, MAX_JSON_LINE_BYTES, split_array,
};
