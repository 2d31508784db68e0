//! Where the places of a feed are kept between runs.

use std::{collections::BTreeMap, sync::Arc};

use spacefold_disk::{Access, Folder, MemoryDisk, NewFile};
use spacefold_event_core::{
    StorageError,
    bytes::{ByteReader, put_count, put_sized, seal, unseal},
    lock::Lock,
};

/// The name of the file.
const FILE_NAME: &str = "places";
/// What the file begins with.
const MAGIC: [u8; 8] = *b"SFPLACE\x01";
/// Bytes of an entry at least: the lengths of its key and its value.
const ENTRY_BYTES: usize = 8;

/// Where the places of durable subscriptions and buses are kept, with what belongs to them: small values
/// under keys of at most 1 KiB.
///
/// A place cannot be derived from the log. Of one that is lost, or older than the one put last, events
/// are received again; none is passed over.
pub trait PlaceStore: Send + Sync {
    /// The value under a key.
    ///
    /// # Errors
    /// [`StorageError`] when the storage fails, or what it has is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// Puts a value under a key: the old value or the new one is read after it, never a mixture.
    ///
    /// # Errors
    /// As [`PlaceStore::get`]; the old value or the new one is there.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Removes the value under a key, if there is one.
    ///
    /// # Errors
    /// As [`PlaceStore::get`]; the value is there or not.
    fn remove(&self, key: &[u8]) -> Result<(), StorageError>;

    /// Every key that begins with `prefix`, ascending.
    ///
    /// # Errors
    /// As [`PlaceStore::get`].
    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError>;

    /// Makes what was put and removed before outlive the process, however that ends. Without it, a kill
    /// may leave older values.
    ///
    /// # Errors
    /// [`StorageError`] when the storage fails: older values may be read after a kill.
    fn sync(&self) -> Result<(), StorageError>;
}

/// The places of a feed in the file `places` of a folder: in memory while they are in use, and written
/// whole by [`PlaceStore::sync`], in one step.
///
/// Bytes of the file: magic (8 bytes), number of entries (u32); each the length of its key and the
/// key, the length of its value and the value (lengths as u32); BLAKE3 of all before.
///
/// A file that is damaged is an error for everybody who asks, until it is removed: every durable
/// subscription would begin again otherwise, unasked.
#[derive(Debug)]
pub struct PlaceFile {
    folder: Arc<dyn Folder>,
    /// Nothing before the first use.
    entries: Lock<Option<StoredPlaces>>,
    /// Keeps two syncs apart, so that neither takes back what the other has written.
    syncing: Lock<()>,
}

type StoredPlaces = BTreeMap<Vec<u8>, Vec<u8>>;

impl PlaceFile {
    /// The places in a folder, which nobody else changes. Reads nothing yet.
    #[must_use]
    pub fn in_folder(folder: Arc<dyn Folder>) -> Self {
        Self { folder, entries: Lock::new(None), syncing: Lock::new(()) }
    }

    /// Places in memory, gone with the last who has them.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::in_folder(MemoryDisk::new().root())
    }

    fn with<T>(&self, work: impl FnOnce(&mut StoredPlaces) -> T) -> Result<T, StorageError> {
        let mut entries = self.entries.lock();
        match &mut *entries {
            Some(entries) => Ok(work(entries)),
            unread => Ok(work(unread.insert(self.read()?))),
        }
    }

    fn read(&self) -> Result<StoredPlaces, StorageError> {
        let Some(file) = self.folder.find(FILE_NAME, Access::Read)? else {
            return Ok(StoredPlaces::new());
        };
        decode(&file.read_all()?).ok_or_else(|| {
            let doing = format!("reading {}", file.path().display());
            let what = "the places of durable subscriptions are damaged: put the file back from a copy, or \
                        remove it, and every durable subscription begins again";
            StorageError::new(doing, what)
        })
    }
}

impl PlaceStore for PlaceFile {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.with(|entries| entries.get(key).cloned())
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.with(|entries| drop(entries.insert(key.to_vec(), value.to_vec())))
    }

    fn remove(&self, key: &[u8]) -> Result<(), StorageError> {
        self.with(|entries| drop(entries.remove(key)))
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
        self.with(|entries| {
            let from = entries.range(prefix.to_vec()..).map(|(key, _)| key);
            from.take_while(|key| key.starts_with(prefix)).cloned().collect()
        })
    }

    fn sync(&self) -> Result<(), StorageError> {
        let _alone = self.syncing.lock();
        let bytes = self.with(|entries| encode(entries))?;
        Ok(NewFile::replace(&self.folder, FILE_NAME, &bytes)?)
    }
}

fn encode(entries: &StoredPlaces) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    put_count(&mut bytes, entries.len());
    for part in entries.iter().flat_map(|(key, value)| [key, value]) {
        put_sized(&mut bytes, part);
    }
    seal(bytes)
}

fn decode(bytes: &[u8]) -> Option<StoredPlaces> {
    let mut reader = ByteReader::new(unseal(bytes)?.strip_prefix(&MAGIC)?);
    let count = reader.count(ENTRY_BYTES)?;
    let entry = |_| Some((reader.sized()?.to_vec(), reader.sized()?.to_vec()));
    let entries: StoredPlaces = (0..count).map(entry).collect::<Option<_>>()?;
    reader.end(entries)
}

#[cfg(test)]
mod tests;
