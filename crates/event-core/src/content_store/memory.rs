//! Content in memory.

use std::{
    collections::HashMap,
    io::{Cursor, Read},
    sync::Arc,
};

use super::{ContentReader, ContentStore, HashedContent, StoredContent, error::ContentError};
use crate::{bytes::to_u64, content_hash::ContentHash, limits::MAX_CONTENT_BYTES, lock::Lock};

/// A [`ContentStore`] that keeps its contents in memory and loses them when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryContentStore {
    contents: Lock<HashMap<ContentHash, Arc<[u8]>>>,
}

impl MemoryContentStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl ContentStore for MemoryContentStore {
    fn put(&self, content: &mut dyn Read) -> Result<StoredContent, ContentError> {
        let mut taken = Vec::new();
        content
            .take(MAX_CONTENT_BYTES + 1)
            .read_to_end(&mut taken)
            .map_err(ContentError::Source)?;
        let bytes = to_u64(taken.len());
        if bytes > MAX_CONTENT_BYTES {
            return Err(ContentError::TooLarge);
        }
        let hash = ContentHash::of(&taken);
        self.contents.lock().entry(hash).or_insert_with(|| taken.into());
        Ok(StoredContent { hash, bytes })
    }

    fn put_hashed(&self, content: HashedContent<'_>) -> Result<StoredContent, ContentError> {
        let (hash, taken) = (content.hash(), content.bytes());
        let bytes = u64::try_from(taken.len()).unwrap_or(u64::MAX);
        if bytes > MAX_CONTENT_BYTES {
            return Err(ContentError::TooLarge);
        }
        self.contents.lock().entry(hash).or_insert_with(|| taken.into());
        Ok(StoredContent { hash, bytes })
    }

    fn sync(&self) -> Result<(), ContentError> {
        Ok(())
    }

    fn open(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        let content = self.contents.lock().get(hash).cloned();
        let content = content.ok_or(ContentError::Missing { hash: *hash })?;
        let bytes = to_u64(content.len());
        Ok(ContentReader::new(bytes, Box::new(Cursor::new(content))))
    }

    fn contains(&self, hash: &ContentHash) -> Result<bool, ContentError> {
        Ok(self.contents.lock().contains_key(hash))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn content_is_kept_once_and_given_back() {
        let store = MemoryContentStore::new();
        let first = store.put(&mut &b"same"[..]).unwrap();
        assert_eq!(store.put(&mut &b"same"[..]).unwrap(), first);
        assert_eq!(store.put_hashed(HashedContent::of(b"same")).unwrap(), first);
        assert_eq!((first.bytes, first.hash), (4, ContentHash::of(b"same")));
        assert_eq!(store.contents.lock().len(), 1);
        assert!(store.contains(&first.hash).unwrap());
        assert_eq!(store.get(&first.hash, 4).unwrap(), b"same");
        assert_eq!(store.put(&mut io::empty()).unwrap().bytes, 0);
        assert_eq!(store.get(&ContentHash::of(b""), 0).unwrap(), b"");
    }

    #[test]
    fn what_is_missing_or_past_the_limit_is_told() {
        let store = MemoryContentStore::new();
        let hash = ContentHash::of(b"absent");
        assert!(!store.contains(&hash).unwrap());
        let missing = store.get(&hash, 100);
        assert!(matches!(missing, Err(ContentError::Missing { hash: found }) if found == hash));
        let stored = store.put(&mut &b"12345"[..]).unwrap();
        let past = store.get(&stored.hash, 4);
        assert!(matches!(past, Err(ContentError::PastLimit { bytes: 5, limit: 4, .. })));
    }

    #[test]
    fn a_failing_source_stores_nothing() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let store = MemoryContentStore::new();
        let broken = store.put(&mut (&b"begin"[..]).chain(Broken));
        assert!(matches!(broken, Err(ContentError::Source(_))));
        assert!(store.contents.lock().is_empty());
    }
}
