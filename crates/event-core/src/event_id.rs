//! The identity of an event: a UUID of any version.

use std::{
    fmt,
    str::FromStr,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use uuid::{Builder, ContextV7, Timestamp, Uuid};

/// What sets the ids apart that are made in one millisecond.
static CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// The identity an event is given by its caller, kept forever: a UUID of any version.
///
/// A log has each id once, forever. That makes retries idempotent: an append whose events are stored
/// already is recognised by it.
///
/// ```
/// use spacefold::EventId;
/// let id: EventId = "00CC4488-aa63-5459-bab8-6565b79405ae".parse()?;
/// assert_eq!(id.to_string(), "00cc4488-aa63-5459-bab8-6565b79405ae");
/// assert!("not a uuid".parse::<EventId>().is_err());
/// # Ok::<(), spacefold::event::InvalidEventId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; EventId::LEN]);

impl EventId {
    /// Bytes of an id, in memory and on disk.
    pub const LEN: usize = 16;

    /// A new UUIDv7: ids of one process sort by the time they were made. On a clock that stands
    /// before 1970, where there are none, they are of 1970.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "every call gives another id")]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = Timestamp::from_unix(&CONTEXT, now.as_secs(), now.subsec_nanos());
        Self(Uuid::new_v7(time).into_bytes())
    }

    /// The id that an event gets from what it says: UUIDv8 of the BLAKE3 hash of `content` and of
    /// `occurrence`, eight bytes in little endian, which tells events apart that say the same.
    #[must_use]
    pub fn derived(content: &[u8], occurrence: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(content).update(&occurrence.to_le_bytes());
        let hash = hasher.finalize();
        let (bytes, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; Self::LEN], &[]));
        Self(Builder::from_custom_bytes(*bytes).into_uuid().into_bytes())
    }

    /// The id with these bytes, in network order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id, in network order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl From<Uuid> for EventId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.into_bytes())
    }
}

impl From<EventId> for Uuid {
    fn from(id: EventId) -> Self {
        Self::from_bytes(id.0)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

/// A text that is not a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a UUID")]
pub struct InvalidEventId {
    text: String,
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text)
            .map(Self::from)
            .map_err(|_| InvalidEventId { text: text.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_sort_as_they_were_made() {
        let ids: Vec<EventId> = (0..10_000).map(|_| EventId::new()).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
        assert_eq!(Uuid::from(ids[0]).get_version_num(), 7);
    }

    #[test]
    fn derived_ids_are_the_same_everywhere_and_for_ever() {
        let id = EventId::derived(b"content", 0);
        assert_eq!(id.to_string(), "e90ae8b3-beb9-8997-a39d-7ada00bba243");
        assert_eq!(Uuid::from(id).get_version_num(), 8);
        assert_ne!(id, EventId::derived(b"content", 1));
        assert_ne!(id, EventId::derived(b"contents", 0));
    }
}
