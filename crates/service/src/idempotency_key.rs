//! Keys by which a repeated command is recognised.

use spacefold_event_core::EventId;
use uuid::Uuid;

/// What the event ids of keyed commands are derived in.
const NAMESPACE: Uuid = Uuid::from_u128(0x7c9a_2d1e_5b0f_4c38_9e64_1f7a_d3b8_0c52);

/// What stands for one command or batch, chosen by the caller: while it is stored under its key, a
/// repetition emits nothing and answers as the first time.
///
/// The event ids are UUIDv5 of the key and the index of the event, in a namespace of this crate.
/// Keys are recognised for ever, as the ids of events are.
///
/// ```
/// use spacefold::command::IdempotencyKey;
/// let key = IdempotencyKey::new("request-17");
/// assert_eq!(key.event_id(0), IdempotencyKey::new("request-17").event_id(0));
/// assert_ne!(key.event_id(0), key.event_id(1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the event at `index`, from 0, of the command: UUIDv5 of `KEY/INDEX`.
    #[must_use]
    pub fn event_id(&self, index: usize) -> EventId {
        let name = format!("{}/{index}", self.0);
        Uuid::new_v5(&NAMESPACE, name.as_bytes()).into()
    }
}

impl From<&str> for IdempotencyKey {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for IdempotencyKey {
    fn from(text: String) -> Self {
        Self(text)
    }
}
