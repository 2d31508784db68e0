//! What objects are called.

use std::{fmt, str::FromStr};

/// What the name of a file ends in until it is complete.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// The key of an object: names with `/` between them, of which the last is that of the object, and those
/// before are its folders. A name has lower-case letters, digits, `-` and `.`, and begins with a letter
/// or digit, so that it is a file name on every system, and a key is never a path out of its storage.
///
/// At most 4 names, of 150 bytes each. Keys are ordered as their bytes.
///
/// ```
/// use spacefold_objects::ObjectKey;
/// let key = ObjectKey::new("segments/00000000000000000001.7");
/// assert_eq!((key.folder(), key.name()), ("segments", "00000000000000000001.7"));
/// assert!("segments/../HEAD".parse::<ObjectKey>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// A text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no key of an object: it has 1 to 4 names of at most 150 lower-case letters, digits, `-` and \
     `.`, with `/` between them, each of which begins with a letter or digit"
)]
pub struct InvalidObjectKey(pub String);

impl ObjectKey {
    /// Names of a key at the most.
    pub const MAX_NAMES: usize = 4;
    /// Bytes of a name at the most.
    pub const MAX_NAME_BYTES: usize = 150;

    /// The key of this text, which the program itself has put together, of numbers and hashes.
    ///
    /// # Panics
    /// When it is none. Texts from outside are for [`str::parse`].
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        assert!(is_key(&text), "{}", InvalidObjectKey(text));
        Self(text)
    }

    /// The key of an object that was listed; `None` of names that no object has.
    #[must_use]
    pub fn listed(folder: &str, name: &str) -> Option<Self> {
        let text = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        (!name.contains('/') && is_key(&text)).then_some(Self(text))
    }

    /// All of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names before the last, with `/` between them; empty where there are none.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The last of its names.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidObjectKey;

    fn from_str(text: &str) -> Result<Self, InvalidObjectKey> {
        if is_key(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidObjectKey(text.to_owned()))
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_key(text: &str) -> bool {
    text.split('/').count() <= ObjectKey::MAX_NAMES && text.split('/').all(is_name)
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    // What was being written when a process stopped may be removed: its name is longer by what
    // tells it from others.
    let whole = name
        .strip_suffix(UNFINISHED)
        .map_or(name, |it| it.rsplit_once('.').map_or(it, |(whole, _)| whole));
    whole.len() <= ObjectKey::MAX_NAME_BYTES
        && name.len() <= ObjectKey::MAX_NAME_BYTES + 50
        && name.bytes().next().is_some_and(is_plain)
        && name.bytes().all(|byte| is_plain(byte) || byte == b'-' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_path_in_its_storage_and_no_other() {
        for text in ["repository.json", "a/b", "a/b/c/d", "0/1-2.3", &"a".repeat(150)] {
            let key: ObjectKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(ObjectKey::listed(key.folder(), key.name()), Some(key));
        }
        let long = "a".repeat(151);
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "a/..",
            "a/.b",
            "-a",
            "A",
            "a b",
            "a\\b",
            "ä",
            "a_b",
            "a/b/c/d/e",
            "a\0",
            &long,
        ] {
            assert_eq!(
                text.parse::<ObjectKey>(),
                Err(InvalidObjectKey(text.to_owned())),
                "{text:?}"
            );
        }
        assert_eq!(ObjectKey::listed("a", "b/c"), None);
    }
}
