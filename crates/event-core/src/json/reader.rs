//! How events are read, whichever way.

use std::{borrow::Cow, collections::HashMap};

use super::error::JsonError;
use crate::{
    payload::{EventType, Payload, PayloadError},
    timestamp::{Parsed, Timestamp, UtcOffset},
    value::{Object, take_entry},
};

/// Payload keys to rename while reading: name of the event type → (old key → new key).
pub type KeyMap = HashMap<String, HashMap<String, String>>;

/// Reads events in the interchange form.
///
/// ```
/// use spacefold::{EventType, event::JsonReader};
/// let line = r#"{"event_type": "variable.set", "space_id": "a", "payload": {"name": "n", "value": 1}}"#;
/// let read = JsonReader::default().read(line.as_bytes())?;
/// assert_eq!(read.event.event_type(), EventType::VariableSet);
/// let error = JsonReader::default().read(br#"{"event_type": "variable.set", "space_id": "a"}"#);
/// assert_eq!(error.unwrap_err().to_string(), "payload key \"name\" is missing");
/// # Ok::<(), spacefold::event::JsonError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct JsonReader {
    /// What a time without an offset is taken to be at.
    pub naive_offset: UtcOffset,
    /// Payload keys to rename.
    pub key_map: KeyMap,
}

impl JsonReader {
    /// The payload of an event of this type that an object states.
    pub(super) fn payload<'a>(
        &self,
        event_type: EventType,
        type_name: Cow<'a, str>,
        mut object: Object<Cow<'a, str>>,
    ) -> Result<Payload<Cow<'a, str>>, PayloadError> {
        if let Some(renamed) = self.key_map.get(&*type_name) {
            let mut entries = object.into_entries();
            for (old, new) in renamed {
                if let Some(value) = take_entry(&mut entries, old) {
                    drop(take_entry(&mut entries, new));
                    let at = entries.partition_point(|(key, _)| **key < **new);
                    entries.insert(at, (Cow::Owned(new.clone()), value));
                }
            }
            object = Object::of_sorted(entries);
        }
        Payload::from_object(event_type, type_name, object)
    }

    /// Bytes that renaming may add to the text of an event of a type.
    pub(crate) fn most_added(&self, type_name: &str) -> usize {
        let renamed = self.key_map.get(type_name).into_iter().flatten();
        renamed.map(|(_, new)| new.len()).fold(0, usize::saturating_add)
    }

    /// A time; an empty string counts as missing, as it does for the Python module.
    pub(super) fn time(
        &self,
        key: &'static str,
        text: Option<Cow<'_, str>>,
    ) -> Result<Option<Parsed>, JsonError> {
        match text {
            Some(text) if !text.is_empty() => Timestamp::parse_told(&text, self.naive_offset)
                .map(Some)
                .map_err(|source| JsonError::InvalidTimestamp { key, source }),
            _ => Ok(None),
        }
    }
}
