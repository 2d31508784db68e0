//! The format version of a store: what a program has to know to read all that is in it.

use spacefold_event_core::Records;

/// A format of a store as a whole. Each holds what those before it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FormatVersion {
    /// Events of the 21 types, without tags and origins.
    First = 1,
    /// Events of an application's own, tags, origins; timelines that parted from another.
    Second = 2,
}

impl FormatVersion {
    /// The newest that this build reads and writes.
    pub(crate) const NEWEST: Self = Self::Second;

    /// As it stands on disk.
    pub(crate) const fn number(self) -> u32 {
        self as u32
    }

    /// The version with this number; `None` when this build does not know it.
    pub(crate) const fn of_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::First),
            2 => Some(Self::Second),
            _ => None,
        }
    }
}

/// The least version of a store that may hold these events. HEAD says so, durably, before a frame has
/// them.
pub(crate) fn format_version_of(records: &Records) -> FormatVersion {
    match records.needs_version_2() {
        false => FormatVersion::First,
        true => FormatVersion::Second,
    }
}
