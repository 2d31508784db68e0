//! The manifest: which packs there are, and which store they belong to.

use spacefold_disk::ReplaceError;
use spacefold_event_core::StorageError;

use crate::{
    folder::Folder,
    pack_id::PackId,
    store_id::StoreId,
    wire::{array_at, near, u16_at, u32_at, u64_at, wide},
};

const MAGIC: [u8; 8] = *b"SFMANIF\0";
/// The version of its layout. The first one says of no store.
const MANIFEST_VERSION: u16 = 2;
const UNBOUND_VERSION: u16 = 1;
const UNBOUND_HEADER_BYTES: usize = 32;
const HEADER_BYTES: usize = 48;
const PACK_BYTES: usize = 32;
/// Packs of a store at the most.
pub(crate) const MAX_PACKS: usize = 1 << 20;

/// Which packs there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
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
    /// It has these bytes for ever, all of them synced, a footer at their end.
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
    Whole(Manifest),
    Missing,
    Damaged,
    UnknownFormat { found: u16, known: u16 },
}

impl Manifest {
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
        bytes.extend(u32::try_from(listed.len()).unwrap_or(u32::MAX).to_le_bytes());
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
        let checked = bytes.get(..bytes.len().checked_sub(4)?)?;
        let holds =
            bytes.starts_with(&MAGIC) && u32_at(bytes, checked.len())? == crc32c::crc32c(checked);
        let version = u16_at(bytes, 8).filter(|_| holds)?;
        let known = match version {
            UNBOUND_VERSION => Self::decode_known(checked, UNBOUND_HEADER_BYTES, None),
            MANIFEST_VERSION => array_at(checked, UNBOUND_HEADER_BYTES).and_then(|store| {
                Self::decode_known(checked, HEADER_BYTES, StoreId::from_bytes(store))
            }),
            _ => None,
        };
        Some((version, known))
    }

    fn decode_known(checked: &[u8], header: usize, store: Option<StoreId>) -> Option<Self> {
        let count = near(u64::from(u32_at(checked, 12)?));
        let listed = checked.get(header..)?.chunks_exact(PACK_BYTES);
        let fits = listed.remainder().is_empty() && listed.len() == count && count <= MAX_PACKS;
        if !fits || u16_at(checked, 10)? != 0 || u32_at(checked, 28)? != 0 {
            return None;
        }
        let pack = |bytes: &[u8]| {
            let synced_bytes = u64_at(bytes, 24)?;
            let state = match u32_at(bytes, 20)? {
                0 => PackState::Open { synced_bytes },
                1 => PackState::Sealed { bytes: synced_bytes },
                _ => return None,
            };
            let id = PackId::from_bytes(array_at(bytes, 0)?);
            Some(ListedPack { number: u32_at(bytes, 16)?, id, state })
        };
        let packs = listed.map(pack).collect::<Option<Vec<_>>>()?;
        let next_number = u32_at(checked, 24)?;
        let ascend = packs.iter().zip(packs.iter().skip(1)).all(|(one, two)| one.key() < two.key());
        let below = packs.last().is_none_or(|last| last.number < next_number);
        let generation = u64_at(checked, 16)?;
        let lost = Vec::new();
        (ascend && below).then_some(Self { store, generation, next_number, packs, lost })
    }

    pub(crate) fn read(folder: &Folder) -> Result<FoundManifest, StorageError> {
        let Some(file) = folder.find_manifest()? else { return Ok(FoundManifest::Missing) };
        if file.bytes()? > wide(HEADER_BYTES + MAX_PACKS * PACK_BYTES + 4) {
            return Ok(FoundManifest::Damaged);
        }
        Ok(Self::decode(&file.read_all()?))
    }

    /// Puts the manifest in the place of the one before: it or this one is there afterwards.
    pub(crate) fn write(&mut self, folder: &Folder) -> Result<(), ReplaceError> {
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
