//! The content store in a folder.

mod intake;

use std::{
    io::Read,
    sync::{Arc, MutexGuard},
};

use spacefold_disk::SpaceQuota;
use spacefold_event_core::{
    ContentError, ContentHash, ContentReader, ContentStore, HashedContent, MAX_CONTENT_BYTES,
    StorageError, StoredContent, bytes::to_u64, lock::Lock,
};

use self::intake::IntakeBuffers;
use crate::{
    active::NewEntry,
    chunk_list::ChunkList,
    entry::{ChunkPacker, EntryKind, PayloadCodec},
    index::Index,
    pack_files::PackFiles,
    reader::ReadContext,
    writer::PackWriter,
};

/// A [`ContentStore`] in a folder, for one process at a time.
///
/// # Durability
/// What was put is durable once [`sync`](ContentStore::sync) has answered: a kill or a power cut
/// loses nothing of it. What was put and not synced is there whole or not at all.
///
/// # Blocking
/// [`sync`](ContentStore::sync) and [`PackStore::close`] block on a sync where something was put since
/// the last, and so does dropping a store that was not closed; putting does where a pack is
/// begun or full. Content of more than a MiB is put with the help of a thread or two, and read with
/// that of one, which is over with the reader; between them are some MiB.
///
/// # Examples
/// ```
/// use spacefold::content::{ContentStore, PackStore};
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let store = PackStore::open(&data)?;
/// let stored = store.put(&mut &b"# Hello"[..])?;
/// store.sync()?;
/// store.close()?;
///
/// let store = PackStore::open(&data)?;
/// assert_eq!(store.get(&stored.hash, 1_024)?, b"# Hello");
/// # store.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PackStore {
    pub(crate) shared: Arc<ReadContext>,
    writer: Lock<PackWriter>,
    /// How many of the appended entries are synced; its holder syncs for all that wait.
    synced: Lock<u64>,
    /// Held by a collection.
    pub(crate) collecting: Lock<()>,
    /// Those that no put uses just now.
    buffers: Lock<Vec<IntakeBuffers>>,
}

/// A content store at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContentInfo {
    /// Entries: small contents, the chunks of large ones, and their lists.
    pub entries: u64,
    /// Bytes of what they hold.
    pub bytes: u64,
    /// Bytes that they take, packed.
    pub stored_bytes: u64,
    /// Packs.
    pub packs: u64,
}

impl PackStore {
    pub(crate) fn of(writer: PackWriter, index: Index) -> Self {
        let files = PackFiles::new(writer.folder.clone());
        let shared = Arc::new(ReadContext::new(index, &writer.manifest, files));
        Self {
            shared,
            writer: Lock::new(writer),
            synced: Lock::new(0),
            collecting: Lock::new(()),
            buffers: Lock::default(),
        }
    }

    /// The store at a glance.
    ///
    /// # Cost
    /// One pass over the index, in memory; it waits for a put that is under way.
    #[must_use]
    pub fn info(&self) -> ContentInfo {
        let packs = to_u64(self.writer().manifest.packs.len());
        let info = ContentInfo { packs, ..ContentInfo::default() };
        self.shared.index().iter().fold(info, |info, (_, place)| ContentInfo {
            entries: info.entries + 1,
            bytes: info.bytes + u64::from(place.bytes),
            stored_bytes: info.stored_bytes + u64::from(place.stored_bytes),
            ..info
        })
    }

    /// Takes content only while the store that it belongs to takes fewer bytes than it may: packs count
    /// with their bytes. What is put and there already is answered all the same.
    #[must_use]
    pub fn within(self, quota: Arc<SpaceQuota>) -> Self {
        self.writer().share_quota(quota);
        self
    }

    /// Counts the bytes of the packs anew: after a collection there may be fewer.
    pub fn count_bytes(&self) {
        self.writer().count_bytes();
    }

    /// Why the store takes nothing more until it is opened again; `None` while it takes content, or is
    /// closed.
    #[must_use]
    pub fn refusal(&self) -> Option<StorageError> {
        let writer = self.writer();
        let (kind, reason) = writer.failure()?;
        Some(StorageError::new("the content store takes nothing", reason).of_kind(kind))
    }

    /// Syncs, and closes the store: it takes and gives nothing any more. Closing twice is no error. Blocks
    /// on the sync, where something was put since the last.
    ///
    /// # Errors
    /// [`StorageError`] when the store did not close cleanly: what a sync had acknowledged is
    /// there at the next opening all the same.
    pub fn close(&self) -> Result<(), StorageError> {
        let synced = match self.sync() {
            Err(ContentError::Storage(error)) => Err(error),
            _ => Ok(()),
        };
        self.writer().close();
        synced
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, PackWriter> {
        self.writer.lock()
    }

    fn put_chunk(
        &self,
        hash: ContentHash,
        chunk: &[u8],
        packer: &mut ChunkPacker,
    ) -> Result<(), ContentError> {
        if self.is_stored(&hash)? {
            return self.writer().check();
        }
        let packed = packer.pack(chunk);
        self.put_entry(NewEntry {
            kind: EntryKind::Chunk,
            codec: packed.codec,
            hash,
            bytes: u32::try_from(chunk.len()).unwrap_or(u32::MAX),
            stored: packed.stored,
        })
    }

    fn put_list(&self, hash: ContentHash, list: &ChunkList) -> Result<(), ContentError> {
        if self.is_stored(&hash)? {
            return self.writer().check();
        }
        let encoded = list.encode();
        self.put_entry(NewEntry {
            kind: EntryKind::List,
            codec: PayloadCodec::Plain,
            hash,
            bytes: u32::try_from(encoded.len()).unwrap_or(u32::MAX),
            stored: &encoded,
        })
    }

    /// Whether an entry is stored, which is noted to be put again then. One of an earlier session
    /// is read first, so that whoever puts damaged content again mends it.
    fn is_stored(&self, hash: &ContentHash) -> Result<bool, ContentError> {
        let Some(place) = self.shared.index().get(hash) else { return Ok(false) };
        if place.put_here && place.checked {
            return Ok(true);
        }
        if place.kind == EntryKind::List {
            // One that was cut otherwise may list chunks that are not here.
            return self.shared.keep(hash);
        }
        match self.shared.stored_chunk(hash) {
            Ok(_) => Ok(self.shared.index_mut().touch_checked(hash)),
            Err(ContentError::Missing { .. } | ContentError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put_entry(&self, entry: NewEntry<'_>) -> Result<(), ContentError> {
        let mut writer = self.writer();
        // Another thread may have put it meanwhile.
        let there = self.shared.index().get(&entry.hash);
        if there.is_some_and(|place| place.put_here && place.checked) {
            return writer.check();
        }
        let place = writer.append(entry)?;
        if self.shared.id(place.pack).is_none() {
            self.shared.set_packs(&writer.manifest);
        }
        self.shared.index_mut().insert(entry.hash, place);
        Ok(())
    }
}

impl ContentStore for PackStore {
    fn put(&self, content: &mut dyn Read) -> Result<StoredContent, ContentError> {
        intake::put(self, MAX_CONTENT_BYTES, content, None)
    }

    fn put_hashed(&self, content: HashedContent<'_>) -> Result<StoredContent, ContentError> {
        intake::put(self, MAX_CONTENT_BYTES, &mut content.bytes(), Some(content.hash()))
    }

    fn sync(&self) -> Result<(), ContentError> {
        let (wanted, _) = {
            let mut writer = self.writer();
            writer.check()?;
            writer.watch_folder()?;
            writer.sync_names()?;
            writer.unsynced()
        };
        // One caller syncs; those who wait here meanwhile find it done, or sync once for all.
        let mut synced = self.synced.lock();
        if *synced >= wanted {
            return self.writer().check();
        }
        let (appended, unsynced) = {
            let writer = self.writer();
            writer.check()?;
            writer.unsynced()
        };
        if let Some(unsynced) = unsynced {
            // The writer is free meanwhile.
            if let Err(error) = unsynced.file.sync_data() {
                return Err(self.writer().fail(error));
            }
            self.writer().synced(&unsynced);
        }
        *synced = appended;
        Ok(())
    }

    fn open(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        self.check_open()?;
        self.shared.open(hash)
    }

    fn contains(&self, hash: &ContentHash) -> Result<bool, ContentError> {
        self.check_open()?;
        // Whoever is told that content is here may name it.
        self.shared.keep(hash)
    }
}

impl PackStore {
    /// A store that failed still reads.
    fn check_open(&self) -> Result<(), ContentError> {
        match self.writer().check() {
            Err(ContentError::Closed) => Err(ContentError::Closed),
            _ => Ok(()),
        }
    }
}

impl Drop for PackStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the content did not close cleanly");
        }
    }
}

#[cfg(test)]
mod tests;
