//! Blobs of derived state, which sled's copy keeps.

use spacefold_event_core::{ReadError, StateStore, StorageError};

use super::EmbeddedLog;
use crate::log_copy::{LogCopy, SledError};

impl StateStore for EmbeddedLog {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.blobs("reading derived state", |sled| sled.get_blob(&state_key(key)))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.blobs("keeping derived state", |sled| {
            self.inner.shared.note_lineage(sled)?;
            sled.put_blob(&state_key(key), value)
        })
    }

    fn remove(&self, key: &[u8]) -> Result<(), StorageError> {
        self.blobs("removing derived state", |sled| sled.remove_blob(&state_key(key)))
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
        let keys =
            self.blobs("listing derived state", |sled| sled.blob_keys(&state_key(prefix)))?;
        Ok(keys.into_iter().filter_map(own_key).collect())
    }

    fn keys_after(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StorageError> {
        let (prefix, after) = (state_key(prefix), after.map(state_key));
        let keys = self.blobs("listing derived state", |sled| {
            sled.blob_keys_after(&prefix, after.as_deref(), limit)
        })?;
        Ok(keys.into_iter().filter_map(own_key).collect())
    }

    fn last_key(&self, prefix: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let key =
            self.blobs("listing derived state", |sled| sled.last_blob_key(&state_key(prefix)))?;
        Ok(key.and_then(own_key))
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.blobs("syncing derived state", |sled| sled.sync())
    }
}

/// What sets the blobs of others apart from the store's own.
const STATE_PREFIX: &[u8] = b"state/";

fn state_key(key: &[u8]) -> Vec<u8> {
    [STATE_PREFIX, key].concat()
}

fn own_key(key: Vec<u8>) -> Option<Vec<u8>> {
    key.strip_prefix(STATE_PREFIX).map(<[u8]>::to_vec)
}

impl EmbeddedLog {
    /// Does something with the blobs of sled's copy. When that is broken it is made anew: blobs are
    /// derived, and gone then.
    fn blobs<T>(
        &self,
        doing: &str,
        call: impl Fn(&dyn LogCopy) -> Result<T, SledError>,
    ) -> Result<T, StorageError> {
        let shared = &self.inner.shared;
        let failed = |error: ReadError| StorageError::new(doing, error);
        let sled = shared.sled().map_err(failed)?;
        let outcome = match call(sled.as_ref()) {
            Err(SledError::Broken(what)) => {
                shared.rebuild_copy(&sled, what).map_err(failed)?;
                call(shared.sled().map_err(failed)?.as_ref())
            }
            outcome => outcome,
        };
        outcome.map_err(|error| StorageError::new(doing, error))
    }
}
