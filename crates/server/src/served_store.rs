//! The store that is served: an open one, or one that is followed.

use std::ops::Deref;

use spacefold::{FollowedStore, Spacefold, SpacesReader, log::LogReader};

/// The store that is served. One that is followed is only read.
///
/// All requests share the one session that it is: whatever a client has been answered, every client
/// that asks later sees at least that.
#[derive(Clone, Debug)]
pub enum ServedStore {
    /// A store that this process has open.
    Open(Spacefold),
    /// A store that another process has, or that may only be read.
    Followed(FollowedStore),
}

impl From<Spacefold> for ServedStore {
    fn from(spaces: Spacefold) -> Self {
        Self::Open(spaces)
    }
}

impl From<FollowedStore> for ServedStore {
    fn from(spaces: FollowedStore) -> Self {
        Self::Followed(spaces)
    }
}

impl Deref for ServedStore {
    type Target = SpacesReader;

    fn deref(&self) -> &SpacesReader {
        match self {
            Self::Open(spaces) => spaces,
            Self::Followed(spaces) => spaces,
        }
    }
}

impl ServedStore {
    pub(crate) fn store_id(&self) -> [u8; 16] {
        match self {
            Self::Open(spaces) => spaces.log().store_id(),
            Self::Followed(spaces) => spaces.log().store_id(),
        }
    }
}

/// The log of a store, as what owns it.
pub(crate) struct LogOf(pub(crate) ServedStore);

impl Deref for LogOf {
    type Target = dyn LogReader;

    fn deref(&self) -> &(dyn LogReader + 'static) {
        match &self.0 {
            ServedStore::Open(spaces) => spaces.log(),
            ServedStore::Followed(spaces) => spaces.log(),
        }
    }
}
