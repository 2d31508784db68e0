//! Sets of event types.

use std::fmt;

use crate::payload::EventType;

/// A set of event types; [`EventTypes::ALL`] holds every one.
///
/// ```
/// use spacefold::{EventType, event::EventTypes};
/// let types = EventTypes::from_iter([EventType::SpaceCreated, EventType::VariableSet]);
/// assert!(types.contains(EventType::VariableSet));
/// assert!(!types.contains(EventType::SyncStarted));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventTypes(u32);

impl EventTypes {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// Every type.
    pub const ALL: Self = Self(((1 << EventType::Application.code()) - 1) << 1);

    /// Whether the set holds `event_type`.
    #[must_use]
    pub const fn contains(self, event_type: EventType) -> bool {
        self.0 & (1 << event_type.code()) != 0
    }

    /// The set with `event_type` added.
    #[must_use]
    pub const fn with(self, event_type: EventType) -> Self {
        Self(self.0 | (1 << event_type.code()))
    }

    /// Whether the two sets have a type in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The types of the set, in the order of their codes.
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        let all = EventType::CORE.into_iter().chain([EventType::Application]);
        all.filter(move |event_type| self.contains(*event_type))
    }

    /// The set as bits: bit `n` stands for the type with code `n`.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set with these bits; bits that stand for no type are dropped.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }
}

impl FromIterator<EventType> for EventTypes {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> Self {
        types.into_iter().fold(Self::NONE, Self::with)
    }
}

impl From<EventType> for EventTypes {
    fn from(event_type: EventType) -> Self {
        Self::NONE.with(event_type)
    }
}

impl fmt::Debug for EventTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
