//! The manifest: which packs there are, and which store they belong to.

use spacefold_disk::ReplaceError;
use spacefold_event_core::{
    StorageError,
    bytes::{ByteReader, put_count, to_u64, to_usize},
};

use crate::{folder::ContentFolder, pack_id::PackId, store_id::StoreId};

const MAGIC: [u8; 8] = *b"SFMANIF\0";
/// The version of its layout. The first one says of no store.
const MANIFEST_VERSION: u16 = 2;
const UNBOUND_VERSION: u16 = 1;
const HEADER_BYTES: usize = 48;
const PACK_BYTES: usize = 32;
/// Packs of a store at the most.
pub(crate) const MAX_PACKS: usize = 1 << 20;

/// Which packs there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PackManifest {
    /// The store that it is bound to.
    pub(crate) store: Option<StoreId>,
    /// Rises with every manifest that is written.
    pub(crate) generation: u64,
    /// The number of the next pack.
    pub(crate) next_number: u32,
    /// The packs that are here, ascending by number; new entries go to the last one that is open,
    /// if it is sound.
    pub(crate) packs: Vec<ListedPack>,
    /// Packs that are to be here and are not; another one may have the number. They stay listed, so
    /// that they are missed, and found when they are put back.
    pub(crate) lost: Vec<ListedPack>,
}

/// A pack as the manifest lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedPack {
    pub(crate) number: u32,
    pub(crate) id: PackId,
    pub(crate) state: PackState,
}

impl ListedPack {
    /// What a manifest is sorted by: packs of other times may have one number.
    pub(crate) const fn key(&self) -> (u32, &[u8; 16]) {
        (self.number, self.id.as_bytes())
    }
}

/// How far a pack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PackState {
    /// It may be appended to; these bytes of it, if not more, are synced.
    Open { synced_bytes: u64 },
    /// It has these bytes forever, all of them synced, a footer at their end.
    Sealed { bytes: u64 },
}

impl PackState {
    /// The bytes that are known to be synced.
    pub(crate) const fn synced_bytes(self) -> u64 {
        match self {
            Self::Open { synced_bytes: bytes } | Self::Sealed { bytes } => bytes,
        }
    }
}

/// What is where the manifest should be.
#[derive(Debug)]
pub(crate) enum FoundManifest {
    Whole(PackManifest),
    Missing,
    Damaged,
    UnknownFormat { found: u16, known: u16 },
}

impl PackManifest {
    /// Whether it is bound to a store that is not this one.
    pub(crate) fn is_of_another(&self, store: StoreId) -> bool {
        self.store.is_some_and(|bound| bound != store)
    }

    /// Packs that it lists.
    pub(crate) const fn count(&self) -> usize {
        self.packs.len() + self.lost.len()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut listed: Vec<&ListedPack> = self.packs.iter().chain(&self.lost).collect();
        listed.sort_unstable_by_key(|pack| pack.key());
        let mut bytes = Vec::with_capacity(HEADER_BYTES + listed.len() * PACK_BYTES + 4);
        bytes.extend(MAGIC);
        bytes.extend(MANIFEST_VERSION.to_le_bytes());
        bytes.extend([0; 2]);
        put_count(&mut bytes, listed.len());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.next_number.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.store.map_or([0; 16], |store| *store.as_bytes()));
        for pack in listed {
            bytes.extend(pack.id.as_bytes());
            bytes.extend(pack.number.to_le_bytes());
            let (state, synced) = match pack.state {
                PackState::Open { synced_bytes } => (0_u32, synced_bytes),
                PackState::Sealed { bytes } => (1, bytes),
            };
            bytes.extend(state.to_le_bytes());
            bytes.extend(synced.to_le_bytes());
        }
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> FoundManifest {
        match Self::decode_any(bytes) {
            Some((_, Some(manifest))) => FoundManifest::Whole(manifest),
            Some((UNBOUND_VERSION | MANIFEST_VERSION, None)) | None => FoundManifest::Damaged,
            Some((found, _)) => FoundManifest::UnknownFormat { found, known: MANIFEST_VERSION },
        }
    }

    /// The version of a manifest whose checksum holds, and what it says if that is known.
    fn decode_any(bytes: &[u8]) -> Option<(u16, Option<Self>)> {
        let (checked, checksum) = bytes.split_last_chunk()?;
        let mut reader = ByteReader::new(checked);
        let holds =
            reader.array()? == MAGIC && u32::from_le_bytes(*checksum) == crc32c::crc32c(checked);
        let version = reader.u16().filter(|_| holds)?;
        let is_known = matches!(version, UNBOUND_VERSION | MANIFEST_VERSION);
        let known = is_known.then(|| Self::decode_known(reader, version)).flatten();
        Some((version, known))
    }

    /// What follows the version, when that is known.
    fn decode_known(mut reader: ByteReader<'_>, version: u16) -> Option<Self> {
        let (zeros, count) = (reader.u16()?, to_usize(reader.u32()?));
        let (generation, next_number, more_zeros) = (reader.u64()?, reader.u32()?, reader.u32()?);
        let store = match version {
            UNBOUND_VERSION => None,
            _ => StoreId::from_bytes(reader.array()?),
        };
        let fits = count <= MAX_PACKS && reader.rest().len() == count * PACK_BYTES;
        if !fits || zeros != 0 || more_zeros != 0 {
            return None;
        }
        let pack = |_| {
            let (id, number) = (PackId::from_bytes(reader.array()?), reader.u32()?);
            let state = match (reader.u32()?, reader.u64()?) {
                (0, synced_bytes) => PackState::Open { synced_bytes },
                (1, bytes) => PackState::Sealed { bytes },
                _ => return None,
            };
            Some(ListedPack { number, id, state })
        };
        let packs = (0..count).map(pack).collect::<Option<Vec<_>>>()?;
        let ascend = packs.iter().zip(packs.iter().skip(1)).all(|(one, two)| one.key() < two.key());
        let below = packs.last().is_none_or(|last| last.number < next_number);
        let lost = Vec::new();
        (ascend && below).then_some(Self { store, generation, next_number, packs, lost })
    }

    pub(crate) fn read(folder: &ContentFolder) -> Result<FoundManifest, StorageError> {
        let Some(file) = folder.find_manifest()? else { return Ok(FoundManifest::Missing) };
        if file.bytes()? > to_u64(HEADER_BYTES + MAX_PACKS * PACK_BYTES + 4) {
            return Ok(FoundManifest::Damaged);
        }
        Ok(Self::decode(&file.read_all()?))
    }

    /// Puts the manifest in the place of the one before: it or this one is there afterwards.
    pub(crate) fn write(&mut self, folder: &ContentFolder) -> Result<(), ReplaceError> {
        let next = Self { generation: self.generation + 1, ..self.clone() };
        match folder.replace_manifest(&next.encode()) {
            Err(ReplaceError::OldStays(error)) => Err(ReplaceError::OldStays(error)),
            replaced => {
                *self = next;
                replaced
            }
        }
    }
}
