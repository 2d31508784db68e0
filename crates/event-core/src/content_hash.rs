//! The hash that content is known by, change detection on it, and hashes as events have them.

use std::{fmt, io, str::FromStr};

/// BLAKE3 of a document's content, printed as 64 lower-case hex digits.
///
/// ```
/// use spacefold::content::ContentHash;
/// let hash = ContentHash::of(b"# Hello");
/// assert_eq!(hash, hash.to_string().parse()?);
/// assert!(!hash.is_change_from(Some(hash.to_string().as_str().into())));
/// assert!(hash.is_change_from(None));
/// # Ok::<(), spacefold::content::InvalidContentHash>(())
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
    pub fn is_change_from(&self, recorded: Option<RecordedHash<&str>>) -> bool {
        recorded.and_then(|recorded| recorded.content_hash()) != Some(*self)
    }
}

/// As events have it.
impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
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
#[error("{text:?} is not a content hash: expected 64 lower-case hex digits")]
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

/// The hash of a content as an event has it: a [`ContentHash`], or the opaque text of another system,
/// which says when the content changed and finds no bytes.
///
/// ```
/// use spacefold::content::{ContentHash, RecordedHash};
/// let hash = ContentHash::of(b"# Hello");
/// let recorded = RecordedHash::from(hash);
/// assert_eq!(recorded.content_hash(), Some(hash));
/// let foreign = RecordedHash::from("md5:9a0364b9e99bb480dd25e1f0284c8555");
/// assert_eq!(foreign.content_hash(), None);
/// assert_eq!(foreign.to_string(), "md5:9a0364b9e99bb480dd25e1f0284c8555");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordedHash<S = String>(S);

impl<S: AsRef<str>> RecordedHash<S> {
    /// The hash that content is known by; `None` when the text is no such hash.
    #[must_use]
    pub fn content_hash(&self) -> Option<ContentHash> {
        self.as_str().parse().ok()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// The hash with its text owned.
    #[must_use]
    pub fn to_owned_hash(&self) -> RecordedHash {
        RecordedHash(self.as_str().to_owned())
    }
}

impl<S> RecordedHash<S> {
    /// The text, borrowed for as long as the hash borrows it.
    #[must_use]
    pub fn into_text(self) -> S {
        self.0
    }
}

impl<'a> From<&'a str> for RecordedHash<&'a str> {
    fn from(text: &'a str) -> Self {
        Self(text)
    }
}

impl From<String> for RecordedHash {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<ContentHash> for RecordedHash {
    fn from(hash: ContentHash) -> Self {
        Self(hash.to_string())
    }
}

impl<S: AsRef<str>> fmt::Display for RecordedHash<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_hash_is_that_of_content_or_a_text() {
        let hash = ContentHash::of(b"# Hello");
        let text = hash.to_string();
        assert_eq!(RecordedHash::from(text.as_str()).content_hash(), Some(hash));
        assert_eq!(RecordedHash::from(text.as_str()).to_owned_hash(), RecordedHash::from(hash));
        assert!(!hash.is_change_from(Some(RecordedHash::from(text.as_str()))));
        let upper = text.to_uppercase();
        for other in ["", "md5:9a03", &text[1..], &format!("{text}0"), &upper] {
            let recorded = RecordedHash::from(other);
            assert_eq!((recorded.content_hash(), recorded.as_str()), (None, other));
            assert_eq!(serde_json::to_string(&recorded).unwrap(), format!("{other:?}"));
            assert!(hash.is_change_from(Some(recorded)), "{other}");
        }
    }
}
