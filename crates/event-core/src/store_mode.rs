//! Who may read and change the files of a store.

use std::{fmt, str::FromStr};

/// Who may read and change the files of a store: the permission bits of its folders, those of its
/// files follow from them. The owner always has everything.
///
/// ```
/// use spacefold::log::StoreMode;
/// let group = StoreMode::new(0o750);
/// assert_eq!((group.folder(), group.file()), (0o750, 0o640));
/// assert_eq!("0750".parse(), Ok(group));
/// assert_eq!(StoreMode::default(), StoreMode::PRIVATE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreMode(u32);

impl StoreMode {
    /// The owner alone: what a new store has unless told otherwise.
    pub const PRIVATE: Self = Self(0o700);

    /// These bits for the folders; whatever is above `0o777` is left out, and the owner keeps all.
    #[must_use]
    pub const fn new(bits: u32) -> Self {
        Self(bits & 0o777 | 0o700)
    }

    /// The bits of folders.
    #[must_use]
    pub const fn folder(self) -> u32 {
        self.0
    }

    /// The bits of files: nobody runs them.
    #[must_use]
    pub const fn file(self) -> u32 {
        self.0 & 0o666
    }
}

impl Default for StoreMode {
    fn default() -> Self {
        Self::PRIVATE
    }
}

/// Text that is no [`StoreMode`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a mode for a store: expected octal digits such as 0750, the owner's being 7"
)]
pub struct InvalidStoreMode {
    text: String,
}

impl FromStr for StoreMode {
    type Err = InvalidStoreMode;

    fn from_str(text: &str) -> Result<Self, InvalidStoreMode> {
        let bits = (3..=4).contains(&text.len()).then(|| u32::from_str_radix(text, 8).ok());
        match bits.flatten() {
            Some(bits @ 0o700..=0o777) if !text.starts_with('+') => Ok(Self(bits)),
            _ => Err(InvalidStoreMode { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for StoreMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_keeps_everything_and_nobody_runs_files() {
        for bits in 0..0o10_000 {
            let mode = StoreMode::new(bits);
            assert_eq!(mode.folder(), bits & 0o077 | 0o700);
            assert_eq!(mode.file(), bits & 0o066 | 0o600);
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
    }

    #[test]
    fn other_texts_are_no_mode() {
        for text in ["", "7", "70", "0650", "050", "0780", "+700", "07 0", "1750", "00750", "rwx"] {
            assert!(text.parse::<StoreMode>().is_err(), "{text:?}");
        }
        assert_eq!("750".parse(), Ok(StoreMode::new(0o750)));
    }
}
