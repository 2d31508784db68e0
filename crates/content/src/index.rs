//! Where each entry is.

use rapidhash::RapidHashMap;
use spacefold_event_core::{ContentHash, bytes::to_usize};

use crate::{
    chunk_list::ChunkList,
    entry::{EntryKind, PayloadCodec},
    pack::Listed,
};

const _: () = assert!(size_of::<EntryPlace>() <= 20, "with its hash a place has some 60 bytes");

/// Where the entry with a hash is. In memory it takes some 60 bytes.
#[derive(Debug, Default)]
pub(crate) struct Index {
    places: RapidHashMap<ContentHash, EntryPlace>,
}

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryPlace {
    pub(crate) pack: u32,
    pub(crate) offset: u32,
    pub(crate) stored_bytes: u32,
    pub(crate) bytes: u32,
    pub(crate) kind: EntryKind,
    pub(crate) codec: PayloadCodec,
    /// Whether it was put, put again or asked for since the store was opened, so that a collection
    /// leaves it alone. All chunks of a list of which that is so are here, and so it is of them.
    pub(crate) put_here: bool,
    /// Whether it was written or read since the store was opened, and so is known to be sound.
    pub(crate) checked: bool,
}

impl EntryPlace {
    pub(crate) const fn listed_in(pack: u32, entry: &Listed) -> Self {
        Self {
            pack,
            offset: entry.offset,
            stored_bytes: entry.stored_bytes,
            bytes: entry.bytes,
            kind: entry.kind,
            codec: entry.codec,
            put_here: false,
            checked: false,
        }
    }

    /// Bytes of the payload as it is stored.
    pub(crate) fn stored_len(&self) -> usize {
        to_usize(self.stored_bytes)
    }
}

impl Index {
    pub(crate) fn get(&self, hash: &ContentHash) -> Option<EntryPlace> {
        self.places.get(hash).copied()
    }

    /// Notes that an entry which is there was put again or asked for; whether it is there.
    pub(crate) fn touch(&mut self, hash: &ContentHash) -> bool {
        self.places.get_mut(hash).map(|place| place.put_here = true).is_some()
    }

    /// Notes that of a list and of its chunks, when all of them are there; whether they are.
    pub(crate) fn touch_list(&mut self, hash: &ContentHash, list: &ChunkList) -> bool {
        let entries = || list.chunks.iter().map(|chunk| &chunk.hash).chain([hash]);
        let all_here = entries().all(|entry| self.places.contains_key(entry));
        if all_here {
            for entry in entries() {
                self.touch(entry);
            }
        }
        all_here
    }

    /// Notes that an entry which is there was put again, and read; whether it is there.
    pub(crate) fn touch_checked(&mut self, hash: &ContentHash) -> bool {
        let place = self.places.get_mut(hash);
        place.map(|place| (place.put_here, place.checked) = (true, true)).is_some()
    }

    pub(crate) fn insert(&mut self, hash: ContentHash, place: EntryPlace) {
        self.places.insert(hash, place);
    }

    pub(crate) fn remove(&mut self, hash: &ContentHash) {
        self.places.remove(hash);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ContentHash, &EntryPlace)> {
        self.places.iter()
    }
}
