//! The identity of a pack.

/// What tells a pack from every other: drawn at random when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PackId([u8; 16]);

impl PackId {
    pub(crate) fn new() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}
