//! Where the bytes of documents are kept: what every content store promises.

mod error;
mod memory;

use std::io::{self, BufRead, Read};

pub use self::{error::ContentError, memory::MemoryContentStore};
use crate::{bytes::to_usize, content_hash::ContentHash};

/// Bytes by their hash, each content once.
///
/// An event names content by its hash, so the content comes first: [`put`](ContentStore::put) it,
/// [`sync`](ContentStore::sync), then append the event. Whatever an event names can then be read
/// for as long as its position can. Calls block and may be made from any thread.
///
/// ```
/// use spacefold::content::{ContentHash, ContentStore, MemoryContentStore};
/// let store = MemoryContentStore::new();
/// let stored = store.put(&mut &b"# Hello"[..])?;
/// store.sync()?;
/// assert_eq!(stored.hash, ContentHash::of(b"# Hello"));
/// assert_eq!(store.get(&stored.hash, 1_024)?, b"# Hello");
/// # Ok::<(), spacefold::content::ContentError>(())
/// ```
pub trait ContentStore: Send + Sync {
    /// Takes all that `content` gives, up to [`MAX_CONTENT_BYTES`](crate::MAX_CONTENT_BYTES).
    /// Content that is there already is not stored again. Reads and writes the bytes; a store
    /// may sync when it begins a file for them, or has filled one, and what it has by then of a large
    /// content.
    ///
    /// # Durability
    /// It can be read from now on, and is durable once [`sync`](ContentStore::sync) has answered.
    ///
    /// # Errors
    /// [`ContentError`]; nothing can be read under the content's hash that could not before.
    ///
    /// # Cost
    /// One pass over the bytes, in bounded memory however many they are.
    fn put(&self, content: &mut dyn Read) -> Result<StoredContent, ContentError>;

    /// Takes content whose hash is known already: as [`put`](ContentStore::put), without hashing the
    /// whole of it again.
    ///
    /// # Errors
    /// As [`put`](ContentStore::put).
    ///
    /// # Examples
    /// ```
    /// use spacefold::content::{ContentStore, HashedContent, MemoryContentStore};
    /// let store = MemoryContentStore::new();
    /// let content = HashedContent::of(b"# Hello");
    /// if !store.contains(&content.hash())? {
    ///     store.put_hashed(content)?;
    /// }
    /// assert_eq!(store.get(&content.hash(), 1_024)?, content.bytes());
    /// # Ok::<(), spacefold::content::ContentError>(())
    /// ```
    fn put_hashed(&self, content: HashedContent<'_>) -> Result<StoredContent, ContentError>;

    /// Makes everything durable that was put before: blocks on a sync, unless all of it is durable
    /// already. Callers in many threads share the cost.
    ///
    /// # Errors
    /// [`ContentError::Storage`] when the storage fails: what was put since the last success may
    /// be there after a crash or not, each content whole. The store then takes nothing until it is
    /// opened again; a failed sync is never tried again.
    fn sync(&self) -> Result<(), ContentError>;

    /// Opens content for reading from its first byte on.
    ///
    /// # Errors
    /// [`ContentError::Missing`] when it is not here, or another [`ContentError`].
    fn open(&self, hash: &ContentHash) -> Result<ContentReader, ContentError>;

    /// Whether content with this hash is here, all of it. Its bytes are not read: they may be
    /// damaged.
    ///
    /// # Errors
    /// [`ContentError`] when that cannot be told.
    ///
    /// # Cost
    /// One look-up; of large content that was neither put nor asked for before, one for each of its
    /// chunks, and a read of the list of them.
    fn contains(&self, hash: &ContentHash) -> Result<bool, ContentError>;

    /// All bytes of content that has at most `limit`.
    ///
    /// # Errors
    /// [`ContentError::PastLimit`] when it has more, nothing of which is read then;
    /// [`ContentError::Missing`], [`ContentError::Damaged`] or a failure to read.
    fn get(&self, hash: &ContentHash, limit: u64) -> Result<Vec<u8>, ContentError> {
        let mut reader = self.open(hash)?;
        if reader.content_bytes() > limit {
            return Err(ContentError::PastLimit {
                hash: *hash,
                bytes: reader.content_bytes(),
                limit,
            });
        }
        let mut content = Vec::with_capacity(to_usize(reader.content_bytes()));
        reader.read_to_end(&mut content).map_err(|error| ContentError::of_reading(*hash, error))?;
        Ok(content)
    }
}

/// Content in memory with its hash, computed once for all who need it.
#[derive(Clone, Copy)]
pub struct HashedContent<'a> {
    bytes: &'a [u8],
    hash: ContentHash,
}

impl<'a> HashedContent<'a> {
    /// Content and its hash. Cost: one pass over the bytes.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, hash: ContentHash::of(bytes) }
    }

    /// The content.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its hash.
    #[must_use]
    pub const fn hash(&self) -> ContentHash {
        self.hash
    }
}

impl std::fmt::Debug for HashedContent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashedContent")
            .field("hash", &self.hash)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// Content that a store has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredContent {
    /// Its hash, which events name it by.
    pub hash: ContentHash,
    /// How many bytes it has.
    pub bytes: u64,
}

/// The bytes of one content, checked while they are read.
///
/// No byte is given before what it belongs to has been checked, and the last ones only once all of
/// them are known to have the content's hash: a reader that comes to the end without an error has the
/// content. A failure is an [`io::Error`] around a [`ContentError`];
/// [`ContentError::of_reading`] takes it out again.
///
/// As [`BufRead`] it lends the bytes as they were checked, without a copy of them.
pub struct ContentReader {
    bytes: u64,
    checked: Box<dyn BufRead + Send>,
}

impl ContentReader {
    /// A reader of content with this many bytes, from what gives them checked.
    #[must_use]
    pub fn new(bytes: u64, checked: Box<dyn BufRead + Send>) -> Self {
        Self { bytes, checked }
    }

    /// How many bytes the whole content has.
    #[must_use]
    pub const fn content_bytes(&self) -> u64 {
        self.bytes
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.checked.read(buffer)
    }
}

impl BufRead for ContentReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.checked.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.checked.consume(bytes);
    }
}

impl std::fmt::Debug for ContentReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentReader").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
