//! The hash that content is known by, and change detection on it.

use std::{fmt, io, str::FromStr};

/// BLAKE3 of a document's content, printed as 64 lower-case hex digits.
///
/// ```
/// use spacefold::ContentHash;
/// let hash = ContentHash::of(b"# Hello");
/// assert_eq!(hash, hash.to_string().parse()?);
/// assert!(!hash.is_change_from(Some(&hash.to_string())));
/// assert!(hash.is_change_from(None));
/// # Ok::<(), spacefold::InvalidContentHash>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; ContentHash::LEN]);

impl ContentHash {
    /// Bytes of a hash.
    pub const LEN: usize = 32;

    /// The hash of `content`. Cost: one pass over the bytes.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }

    /// The hash of all that `content` gives, in bounded memory.
    ///
    /// # Errors
    /// The first error of the reader; nothing is known of the hash then.
    pub fn of_reader(content: impl io::Read) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(content)?;
        Ok(Self(*hasher.finalize().as_bytes()))
    }

    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Change detection: whether a document whose recorded hash is `recorded` changes by taking
    /// content with this hash. A document without a recorded hash always does, and so does one
    /// whose recorded hash is some other system's opaque string.
    #[must_use]
    pub fn is_change_from(&self, recorded: Option<&str>) -> bool {
        recorded.and_then(|text| text.parse().ok()) != Some(*self)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// A text that is not 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no content hash: expected 64 lower-case hex digits")]
pub struct InvalidContentHash {
    text: String,
}

impl FromStr for ContentHash {
    type Err = InvalidContentHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidContentHash { text: text.chars().take(80).collect() };
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid());
        }
        blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes())).map_err(|_| invalid())
    }
}
