//! Where a repository is kept: objects under keys, whole or not there. A folder is one
//! ([`FolderStorage`](crate::FolderStorage)).

use std::fmt;

use spacefold_event_core::StorageError;

/// What an object is, which says in which folder of the repository it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ObjectKind {
    /// What the repository says of itself: one object, in no folder.
    Repository,
    /// A backup: what it consists of.
    Manifest,
    /// A page of a list that manifests share.
    Page,
    /// A segment of a log, or a part of one.
    Segment,
    /// Events behind the segments.
    Frames,
    /// A part of a pack of content.
    Pack,
    /// The places of durable subscriptions.
    Places,
    /// The record of a drill.
    Drill,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Repository,
        Self::Manifest,
        Self::Page,
        Self::Segment,
        Self::Frames,
        Self::Pack,
        Self::Places,
        Self::Drill,
    ];

    /// The name of the folder; none for what is in none.
    #[must_use]
    pub const fn folder(self) -> Option<&'static str> {
        Some(match self {
            Self::Repository => return None,
            Self::Manifest => "manifests",
            Self::Page => "pages",
            Self::Segment => "segments",
            Self::Frames => "frames",
            Self::Pack => "packs",
            Self::Places => "places",
            Self::Drill => "drills",
        })
    }
}

/// The key of an object: its kind, and a name of lower-case letters, digits, `-` and `.`, which begins
/// with a letter or digit. Keys are made of numbers and hashes, never of texts that a repository holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    kind: ObjectKind,
    name: String,
}

impl ObjectKey {
    pub(crate) fn new(kind: ObjectKind, name: String) -> Self {
        Self { kind, name }
    }

    /// The key of an object of this name, as it was listed; `None` of what is no name of one.
    pub(crate) fn listed(kind: ObjectKind, name: String) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name = name.bytes().next().is_some_and(is_plain)
            && name.bytes().all(|byte| is_plain(byte) || byte == b'-' || byte == b'.');
        is_name.then(|| Self::new(kind, name))
    }

    /// What the object is.
    #[must_use]
    pub const fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// Its name within its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// As the path within the repository.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.folder() {
            Some(folder) => write!(f, "{folder}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Where objects are kept. An object is whole or not there, whatever interrupts a call, and is there for
/// good once the call that put it has answered.
///
/// # Errors
/// Every method fails with a [`StorageError`] that says what was being done. After one that put or
/// removed an object it may be there or not; never a part of it.
pub trait ObjectStorage: fmt::Debug + Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// Puts an object, in the place of one that is there.
    ///
    /// # Errors
    /// As the trait says.
    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), StorageError>;

    /// Puts an object unless one is there: `false` then, and it stays. Of several who try at once one
    /// has it, from wherever they do.
    ///
    /// # Errors
    /// As the trait says.
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<bool, StorageError>;

    /// The bytes of an object; `None` where there is none. Of one of more than `most` bytes one byte more
    /// than that is read, so that it is seen to be longer.
    ///
    /// # Errors
    /// As the trait says.
    fn get(&self, key: &ObjectKey, most: u64) -> Result<Option<Vec<u8>>, StorageError>;

    /// The names of all objects of a kind, in no order, and perhaps of what was being put when a
    /// process stopped. Of [`ObjectKind::Repository`], whatever is there.
    ///
    /// # Errors
    /// As the trait says.
    fn names(&self, kind: ObjectKind) -> Result<Vec<String>, StorageError>;

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// As the trait says.
    fn remove(&self, key: &ObjectKey) -> Result<(), StorageError>;
}
