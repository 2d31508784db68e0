//! Versions of payloads.

use std::fmt;

/// How the payloads of one event type are laid out: a version of it, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaVersion(u8);

impl SchemaVersion {
    /// The first version of every type.
    pub const FIRST: Self = Self(1);

    pub(crate) const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The number of the version.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The version that follows.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
