//! Events and values from JSON text.

use std::str::FromStr;

use serde_json::value::RawValue;

use super::{
    careful::{self, IN_PAYLOAD, read_value},
    error::{JsonError, MAX_JSON_LINE_BYTES, syntax},
    line_event::{JsonEvent, LineEvent},
    reader::JsonReader,
    single_pass,
};
use crate::{timestamp::Timestamp, value::Value};

impl JsonReader {
    /// Reads one event.
    ///
    /// # Errors
    /// A [`JsonError`] that names what is wrong; never panics, whatever the bytes.
    pub fn read(&self, json: &[u8]) -> Result<JsonEvent, JsonError> {
        self.read_line(json).map(|line| line.into_json_event(Timestamp::now()))
    }

    /// Reads one event, its texts borrowed where they have no escapes.
    pub(crate) fn read_line<'a>(&self, json: &'a [u8]) -> Result<LineEvent<'a>, JsonError> {
        if json.len() > MAX_JSON_LINE_BYTES {
            return Err(JsonError::TooLong { bytes: json.len() });
        }
        let text = std::str::from_utf8(json)
            .map_err(|error| JsonError::NotUtf8 { offset: error.valid_up_to() })?;
        match single_pass::read(self, text) {
            Some(event) => Ok(event),
            None => careful::read(self, text),
        }
    }
}

impl FromStr for Value {
    type Err = JsonError;

    /// Reads a JSON text, as one value of a payload.
    fn from_str(text: &str) -> Result<Self, JsonError> {
        if text.len() > MAX_JSON_LINE_BYTES {
            return Err(JsonError::TooLong { bytes: text.len() });
        }
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| syntax(&error))?;
        read_value(raw, IN_PAYLOAD).map(|value| value.to_owned_value())
    }
}

/// The texts of the elements of a JSON array, or `None` when `json` is none.
///
/// # Errors
/// [`JsonError::Syntax`] when an array is begun but is not valid JSON.
pub fn split_array(json: &[u8]) -> Result<Option<Vec<&[u8]>>, JsonError> {
    if json.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return Ok(None);
    }
    let elements: Vec<&RawValue> = serde_json::from_slice(json).map_err(|error| syntax(&error))?;
    Ok(Some(elements.into_iter().map(|element| element.get().as_bytes()).collect()))
}
