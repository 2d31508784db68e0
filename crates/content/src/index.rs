//! Where each entry is.

use rapidhash::RapidHashMap;
use spacefold_event_core::ContentHash;

use crate::{
    entry::{Codec, Kind},
    pack::Listed,
    wire::near,
};

const _: () = assert!(size_of::<Place>() <= 20, "with its hash a place has some 60 bytes");

/// Where the entry with a hash is. In memory it takes some 60 bytes.
#[derive(Debug, Default)]
pub(crate) struct Index {
    places: RapidHashMap<ContentHash, Place>,
}

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) pack: u32,
    pub(crate) offset: u32,
    pub(crate) stored_bytes: u32,
    pub(crate) bytes: u32,
    pub(crate) kind: Kind,
    pub(crate) codec: Codec,
    /// Whether it was put, or put again, since the store was opened.
    pub(crate) put_here: bool,
}

impl Place {
    pub(crate) const fn listed_in(pack: u32, entry: &Listed) -> Self {
        Self {
            pack,
            offset: entry.offset,
            stored_bytes: entry.stored_bytes,
            bytes: entry.bytes,
            kind: entry.kind,
            codec: entry.codec,
            put_here: false,
        }
    }

    /// Bytes of the payload as it is stored.
    pub(crate) fn stored_len(&self) -> usize {
        near(u64::from(self.stored_bytes))
    }
}

impl Index {
    pub(crate) fn get(&self, hash: &ContentHash) -> Option<Place> {
        self.places.get(hash).copied()
    }

    /// Notes that content which is there was put again; whether it is there.
    pub(crate) fn touch(&mut self, hash: &ContentHash) -> bool {
        self.places.get_mut(hash).map(|place| place.put_here = true).is_some()
    }

    pub(crate) fn insert(&mut self, hash: ContentHash, place: Place) {
        self.places.insert(hash, place);
    }

    pub(crate) fn remove(&mut self, hash: &ContentHash) {
        self.places.remove(hash);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ContentHash, &Place)> {
        self.places.iter()
    }
}
