//! The interchange form: one JSON object per event, as the Python module reads and writes it.

mod careful;
mod error;
mod line_event;
mod of_serde;
mod print;
mod read;
mod reader;
mod single_pass;
mod write;

pub use self::{
    error::{JsonError, MAX_JSON_LINE_BYTES},
    line_event::{FilledIn, JsonEvent},
    read::split_array,
    reader::{JsonReader, KeyMap},
};
