//! The identity of an event: a UUID of any version.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// The identity an event is given by its caller, kept for ever: a UUID of any version.
///
/// It makes retries idempotent: an append whose events are stored already is recognised by it.
///
/// ```
/// use spacefold::EventId;
/// let id: EventId = "00CC4488-aa63-5459-bab8-6565b79405ae".parse()?;
/// assert_eq!(id.to_string(), "00cc4488-aa63-5459-bab8-6565b79405ae");
/// assert!("not a uuid".parse::<EventId>().is_err());
/// # Ok::<(), spacefold::InvalidEventId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; EventId::LEN]);

impl EventId {
    /// Bytes of an id, in memory and on disk.
    pub const LEN: usize = 16;

    /// A new UUIDv7: ids of one process sort by the time they were made.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "every call gives another id")]
    pub fn new() -> Self {
        Self(Uuid::now_v7().into_bytes())
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

/// A text that is no UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no UUID")]
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
