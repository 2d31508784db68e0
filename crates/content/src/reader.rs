//! Reading content, each entry checked before a byte of it is given.

mod checked_reader;

use std::{
    borrow::Cow,
    sync::{Arc, RwLockReadGuard, RwLockWriteGuard},
};

use spacefold_event_core::{
    ContentError, ContentHash, ContentReader,
    bytes::{to_u64, to_usize},
    lock::SharedLock,
};

use self::checked_reader::CheckedReader;
use crate::{
    chunk_list::{ChunkList, ChunkRef},
    entry::{EntryHeader, EntryKind, HEADER_BYTES, payload_holds},
    index::{EntryPlace, Index},
    manifest::PackManifest,
    pack_files::PackFiles,
    pack_id::PackId,
};

/// How often a place is looked up anew because its pack was collected meanwhile.
const MAX_LOOKUPS: usize = 8;

/// What reading needs.
pub(crate) struct ReadContext {
    index: SharedLock<Index>,
    ids: SharedLock<Vec<(u32, PackId)>>,
    pub(crate) files: PackFiles,
    /// How to look again at what another process may have changed; `None` of a store that is open
    /// here.
    look: Option<Box<LookAgain>>,
}

/// Looks again at what there is, and answers whether that may read otherwise now.
type LookAgain = dyn Fn(Look) -> Result<bool, ContentError> + Send + Sync;

/// How something is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// For what is there besides, where anything has changed.
    ForNews,
    /// From the first pack on.
    Anew,
}

impl std::fmt::Debug for ReadContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadContext").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ReadContext {
    pub(crate) fn new(index: Index, manifest: &PackManifest, files: PackFiles) -> Self {
        let index = SharedLock::new(index);
        let shared = Self { index, ids: SharedLock::default(), files, look: None };
        shared.set_packs(manifest);
        shared
    }

    /// Of content that another process may have open; nothing is read yet.
    pub(crate) fn following(files: PackFiles, look: Box<LookAgain>) -> Self {
        Self { index: SharedLock::default(), ids: SharedLock::default(), files, look: Some(look) }
    }

    /// What `read` gives, where need be of what is there by now: what is wrong counts once it is wrong
    /// in the same way after a look from the first pack on. Packs that are replaced one after the other
    /// are each wrong in a way of their own.
    fn looking_again<T>(
        &self,
        read: impl Fn() -> Result<T, ContentError>,
    ) -> Result<T, ContentError> {
        let mut answer = read();
        let Some(look) = &self.look else { return answer };
        let mut was_wrong = None;
        for _ in 0..MAX_LOOKUPS {
            let wrong = match &answer {
                Err(ContentError::Missing { .. }) => None,
                Err(error @ (ContentError::Damaged { .. } | ContentError::Storage(_))) => {
                    Some(error.to_string())
                }
                _ => return answer,
            };
            let is_news = look(Look::ForNews)? || {
                let is_due = wrong.is_some() && wrong != was_wrong;
                is_due && {
                    was_wrong = wrong;
                    look(Look::Anew)?
                }
            };
            if !is_news {
                return answer;
            }
            answer = read();
        }
        answer
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read()
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write()
    }

    /// Takes over which packs there are.
    pub(crate) fn set_packs(&self, manifest: &PackManifest) {
        let ids = manifest.packs.iter().map(|pack| (pack.number, pack.id)).collect();
        *self.ids.write() = ids;
    }

    pub(crate) fn id(&self, number: u32) -> Option<PackId> {
        let ids = self.ids.read();
        let found = ids.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        ids.get(found).map(|(_, id)| *id)
    }

    /// Opens content.
    pub(crate) fn open(
        self: &Arc<Self>,
        hash: &ContentHash,
    ) -> Result<ContentReader, ContentError> {
        self.looking_again(|| self.open_known(hash))
    }

    fn open_known(self: &Arc<Self>, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        let place = self.index().get(hash).ok_or(ContentError::Missing { hash: *hash })?;
        let context = Arc::clone(self);
        let (bytes, checked) = match place.kind {
            EntryKind::List => {
                let list = self.list(hash)?;
                (list.bytes, CheckedReader::of_list(context, *hash, list))
            }
            _ => {
                let chunk = ChunkRef { hash: *hash, bytes: place.bytes };
                (u64::from(place.bytes), CheckedReader::of_chunk(context, chunk))
            }
        };
        Ok(ContentReader::new(bytes, Box::new(checked)))
    }

    /// Whether all of a content is here; then a collection leaves it alone from now on. Of large
    /// content the list is read and every chunk is looked up: the chunks of a list may be gone, as
    /// when a pack is lost or a collection was stopped while it removed some.
    pub(crate) fn keep(&self, hash: &ContentHash) -> Result<bool, ContentError> {
        let Some(place) = self.index().get(hash) else { return Ok(false) };
        if place.put_here {
            return Ok(true);
        }
        if place.kind != EntryKind::List {
            return Ok(self.index_mut().touch(hash));
        }
        match self.list(hash) {
            Ok(list) => Ok(self.index_mut().touch_list(hash, &list)),
            Err(ContentError::Missing { .. } | ContentError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The list of the chunks of a large content.
    pub(crate) fn list(&self, hash: &ContentHash) -> Result<ChunkList, ContentError> {
        let (place, entry) = self.read(hash, HEADER_BYTES)?;
        let list = || {
            let offset = u64::from(place.offset);
            let pack = self.id(place.pack)?;
            let (header, checksum) = EntryHeader::decode(&entry, pack, offset)?;
            let payload = entry.get(HEADER_BYTES..)?;
            let holds = header.hash == *hash
                && header.kind == EntryKind::List
                && payload_holds(payload, checksum, pack, offset);
            ChunkList::decode(payload).filter(|_| holds)
        };
        list().ok_or_else(|| self.damaged(hash, &place, "its list of chunks does not hold"))
    }

    /// A chunk, checked against its hash.
    fn chunk(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
        self.looking_again(|| {
            let (chunk, stored) = self.stored_chunk(hash)?;
            Ok(chunk.unwrap_or(stored))
        })
    }

    /// A chunk, checked against its hash, where it is stored otherwise; and as it is stored.
    pub(crate) fn stored_chunk(
        &self,
        hash: &ContentHash,
    ) -> Result<(Option<Vec<u8>>, Vec<u8>), ContentError> {
        let (place, stored) = self.read(hash, 0)?;
        let unpacked = place.codec.unpack(&stored, to_usize(place.bytes));
        let chunk =
            unpacked.ok_or_else(|| self.damaged(hash, &place, "its bytes do not unpack"))?;
        if ContentHash::of(&chunk) != *hash {
            return Err(self.damaged(hash, &place, "its bytes have another hash"));
        }
        let chunk = match chunk {
            Cow::Owned(chunk) => Some(chunk),
            Cow::Borrowed(_) => None,
        };
        Ok((chunk, stored))
    }

    /// The bytes of an entry as they are stored, behind the last `header` bytes of its header.
    fn read(
        &self,
        hash: &ContentHash,
        header: usize,
    ) -> Result<(EntryPlace, Vec<u8>), ContentError> {
        let mut before = None;
        for _ in 0..MAX_LOOKUPS {
            let place = self.index().get(hash).ok_or(ContentError::Missing { hash: *hash })?;
            let file = match self.files.get(place.pack) {
                Ok(file) => file,
                // Its pack may have been collected since the place was looked up.
                Err(_) if before != Some(place) => {
                    before = Some(place);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let offset = u64::from(place.offset) + to_u64(HEADER_BYTES - header);
            let mut stored = vec![0; header + place.stored_len()];
            return if file.read_if_there(&mut stored, offset)? {
                Ok((place, stored))
            } else {
                Err(self.damaged(hash, &place, "its pack is too short"))
            };
        }
        Err(ContentError::Missing { hash: *hash })
    }

    fn damaged(&self, hash: &ContentHash, place: &EntryPlace, what: &str) -> ContentError {
        let pack = self.files.name(place.pack);
        let what = format!("{what} ({pack}, byte {})", place.offset);
        ContentError::Damaged { hash: *hash, what }
    }
}
