//! The identity of the store that content belongs to.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// The identity of the store that content belongs to; written as a UUID.
///
/// ```
/// use spacefold::content::StoreId;
/// let id: StoreId = "6f9619ff-8b86-d011-b42d-00c04fc964ff".parse()?;
/// assert_eq!(id.to_string(), "6f9619ff-8b86-d011-b42d-00c04fc964ff");
/// # Ok::<(), spacefold::content::InvalidStoreId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreId([u8; 16]);

/// A text that is not a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the id of a store: it has 32 hexadecimal digits")]
pub struct InvalidStoreId {
    text: String,
}

impl StoreId {
    /// From its bytes; `None` for zeros, which stand for no store.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for StoreId {
    type Err = InvalidStoreId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = Uuid::try_parse(text).ok().and_then(|id| Self::from_bytes(id.into_bytes()));
        id.ok_or_else(|| InvalidStoreId { text: text.to_owned() })
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}
