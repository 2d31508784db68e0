//! The manifest: which packs there are.

use std::fs;

use spacefold_event_core::StorageError;

use crate::{
    error::Doing,
    folder::{Folder, NewFile},
    pack::{FORMAT_VERSION, PackId},
    wire::{array_at, near, u16_at, u32_at, u64_at, wide},
};

const MAGIC: [u8; 8] = *b"SFMANIF\0";
const HEADER_BYTES: usize = 32;
const PACK_BYTES: usize = 32;
/// Packs of a store at the most.
pub(crate) const MAX_PACKS: usize = 1 << 20;

/// Which packs there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Rises with every manifest that is written.
    pub(crate) generation: u64,
    /// The number of the next pack: no pack before it that is not listed belongs to the store.
    pub(crate) next_number: u32,
    /// Ascending by number; new entries go to the last one that is open, if it is sound.
    pub(crate) packs: Vec<ListedPack>,
}

/// A pack as the manifest lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedPack {
    pub(crate) number: u32,
    pub(crate) id: PackId,
    pub(crate) state: PackState,
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
    UnknownFormat(u16),
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.packs.len() * PACK_BYTES + 4);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(u32::try_from(self.packs.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.next_number.to_le_bytes());
        bytes.extend([0; 4]);
        for pack in &self.packs {
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
            Some((FORMAT_VERSION, Some(manifest))) => FoundManifest::Whole(manifest),
            Some((FORMAT_VERSION, None)) | None => FoundManifest::Damaged,
            Some((version, _)) => FoundManifest::UnknownFormat(version),
        }
    }

    /// The version of a manifest whose checksum holds, and what it says if that is known.
    fn decode_any(bytes: &[u8]) -> Option<(u16, Option<Self>)> {
        let checked = bytes.get(..bytes.len().checked_sub(4)?)?;
        let holds =
            bytes.starts_with(&MAGIC) && u32_at(bytes, checked.len())? == crc32c::crc32c(checked);
        let version = u16_at(bytes, 8).filter(|_| holds)?;
        Some((version, Self::decode_known(checked)))
    }

    fn decode_known(checked: &[u8]) -> Option<Self> {
        let count = near(u64::from(u32_at(checked, 12)?));
        let listed = checked.get(HEADER_BYTES..)?.chunks_exact(PACK_BYTES);
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
        let ascend =
            packs.iter().zip(packs.iter().skip(1)).all(|(one, two)| one.number < two.number);
        let below = packs.last().is_none_or(|last| last.number < next_number);
        (ascend && below).then_some(Self { generation: u64_at(checked, 16)?, next_number, packs })
    }

    pub(crate) fn read(folder: &Folder) -> Result<FoundManifest, StorageError> {
        let path = folder.manifest();
        let most = wide(HEADER_BYTES + MAX_PACKS * PACK_BYTES + 4);
        match fs::metadata(&path) {
            Ok(found) if found.len() > most => return Ok(FoundManifest::Damaged),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(FoundManifest::Missing);
            }
            _ => {}
        }
        let bytes = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
        Ok(Self::decode(&bytes))
    }

    /// Puts the manifest in the place of the one before: it or this one is there afterwards.
    pub(crate) fn write(&mut self, folder: &Folder) -> Result<(), ReplaceError> {
        let next = Self { generation: self.generation + 1, ..self.clone() };
        let mut file =
            NewFile::create(folder, folder.manifest()).map_err(ReplaceError::OldStays)?;
        if let Err(error) = file.write_all(&next.encode()) {
            file.discard();
            return Err(ReplaceError::OldStays(error));
        }
        file.finish().map_err(ReplaceError::OldStays)?;
        *self = next;
        folder.sync().map_err(ReplaceError::Unknown)
    }
}

/// What is known after a manifest was not replaced as it should have been.
#[derive(Debug)]
pub(crate) enum ReplaceError {
    /// The one before stays.
    OldStays(StorageError),
    /// It is not known which of the two is there after a crash.
    Unknown(StorageError),
}
