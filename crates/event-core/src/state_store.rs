//! Where derived state is kept between runs.

use std::collections::BTreeMap;

use crate::{lock::Lock, storage_error::StorageError};

/// Named blobs of derived state: projection states, their checkpoints.
///
/// Nothing in here is the only copy of anything: a blob that is lost, or older than the one put
/// last, costs the time to derive it again. Whoever reads one checks that it is good for the log
/// as it is.
pub trait StateStore: Send + Sync {
    /// The blob under `key`.
    ///
    /// # Errors
    /// [`StorageError`] when the storage fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// Puts a blob of any length under `key`, which has at most 1 KiB: the old blob or the new one is
    /// read after it, never a mixture.
    ///
    /// # Errors
    /// [`StorageError`] when the storage fails: the old blob or the new one is there.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Removes the blob under `key`, if there is one.
    ///
    /// # Errors
    /// [`StorageError`] when the storage fails: the blob is there or not.
    fn remove(&self, key: &[u8]) -> Result<(), StorageError>;

    /// Every key that begins with `prefix`, ascending.
    ///
    /// # Errors
    /// [`StorageError`] when the storage fails.
    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError>;

    /// The next `limit` keys that begin with `prefix`, ascending, behind `after`; fewer only when
    /// there are no more.
    ///
    /// # Errors
    /// [`StorageError`] when the storage fails.
    ///
    /// # Cost
    /// As provided, that of all keys: for stores that have a better way.
    fn keys_after(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StorageError> {
        let mut keys = self.keys(prefix)?;
        keys.retain(|key| after.is_none_or(|after| key.as_slice() > after));
        keys.truncate(limit);
        Ok(keys)
    }

    /// The last of the keys that begin with `prefix`.
    ///
    /// # Errors
    /// [`StorageError`] when the storage fails.
    ///
    /// # Cost
    /// As provided, that of all keys: for stores that have a better way.
    fn last_key(&self, prefix: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.keys(prefix)?.pop())
    }

    /// Makes what was put and removed before outlive the process, however that ends. Without it,
    /// a kill may leave older blobs.
    ///
    /// # Errors
    /// [`StorageError`] when the storage fails: older blobs may be read after a kill.
    fn sync(&self) -> Result<(), StorageError>;
}

/// A [`StateStore`] that keeps its blobs in memory and loses them when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStateStore {
    blobs: Lock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStateStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl StateStore for MemoryStateStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.blobs.lock().get(key).cloned())
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.blobs.lock().insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<(), StorageError> {
        self.blobs.lock().remove(key);
        Ok(())
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
        let blobs = self.blobs.lock();
        let keys = blobs.range(prefix.to_vec()..).map(|(key, _)| key);
        Ok(keys.take_while(|key| key.starts_with(prefix)).cloned().collect())
    }

    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
