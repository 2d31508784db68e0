//! What an open content store does differently from the default.

use spacefold_event_core::StoreMode;

/// The least that [`ContentOptions::pack_bytes`] can be.
pub const MIN_PACK_BYTES: u64 = 64 << 10;
/// The most that [`ContentOptions::pack_bytes`] can be.
pub const MAX_PACK_BYTES: u64 = 1 << 30;
/// The default of [`ContentOptions::pack_bytes`].
const PACK_BYTES: u64 = 64 << 20;

/// What an open content store does differently from the default.
///
/// ```
/// use spacefold::content::{ContentOptions, MAX_PACK_BYTES};
/// let options = ContentOptions::default().pack_bytes(u64::MAX);
/// assert_eq!(options, ContentOptions::default().pack_bytes(MAX_PACK_BYTES));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentOptions {
    pub(crate) pack_bytes: u64,
    pub(crate) mode: StoreMode,
}

impl Default for ContentOptions {
    fn default() -> Self {
        Self { pack_bytes: PACK_BYTES, mode: StoreMode::PRIVATE }
    }
}

impl ContentOptions {
    /// The bytes at which a pack is sealed and another begun, from [`MIN_PACK_BYTES`] to
    /// [`MAX_PACK_BYTES`]; 64 MiB by default. A pack with one entry may be larger.
    #[must_use]
    pub const fn pack_bytes(mut self, bytes: u64) -> Self {
        self.pack_bytes = if bytes < MIN_PACK_BYTES {
            MIN_PACK_BYTES
        } else if bytes > MAX_PACK_BYTES {
            MAX_PACK_BYTES
        } else {
            bytes
        };
        self
    }

    /// Who may read and change the files of a content store that is made: its owner alone by
    /// default. Where there is one, modes stay, and what is new follows that of its folder.
    #[must_use]
    pub const fn mode(mut self, mode: StoreMode) -> Self {
        self.mode = mode;
        self
    }
}
