//! What an archiver takes of content: its packs, byte for byte, beside the owner of the store; and the way
//! back, a folder of packs that a store opens.

use std::{path::Path, sync::Arc};

use spacefold_disk::{Access, Disk, File, Folder as DiskFolder};
use spacefold_event_core::StorageError;

use crate::{
    error::OpenContentError,
    folder::{ContentFolder, MANIFEST, pack_name},
    manifest::{FoundManifest, ListedPack, MAX_PACKS, PackManifest, PackState},
    pack::{PACK_HEADER_BYTES, PackHeader, read_footer},
    pack_id::PackId,
    scan::scan_from,
    store_id::StoreId,
    survey::survey,
};

/// The content of a store, to be copied. It locks nothing, writes nothing, and its owner does not notice
/// it.
#[derive(Debug)]
pub struct ContentBackup {
    folder: ContentFolder,
}

/// The packs at one moment.
#[derive(Clone, Debug, Default)]
pub struct BackupPacks {
    /// The number of the manifest: all of them were there while it is the same.
    pub generation: Option<u64>,
    /// The packs, ascending by number.
    pub packs: Vec<BackupPack>,
}

/// A pack, as it is copied. A sealed one never changes; of another more may follow, and what is behind
/// `synced` may be taken back by a power cut, and be other bytes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupPack {
    /// Drawn at random when the pack was begun.
    pub id: [u8; 16],
    /// Its number, as in its name.
    pub number: u32,
    /// Whether it has its bytes forever.
    pub is_sealed: bool,
    /// Its bytes, as far as its entries are whole.
    pub bytes: u64,
    /// These of them are known to be durable.
    pub synced: u64,
}

impl ContentBackup {
    /// The content in the folder `path` of a disk, which need not be there yet.
    ///
    /// # Errors
    /// [`StorageError`] when the folder cannot be looked at.
    pub fn at(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, StorageError> {
        Ok(Self { folder: ContentFolder::at(disk, path)? })
    }

    /// The packs that are there. Of one that is open, `known` says up to which offset its entries are
    /// known from an earlier look.
    ///
    /// # Errors
    /// [`OpenContentError`]. Packs may come and go meanwhile: then it is asked again.
    ///
    /// # Cost
    /// Reads 64 bytes of each pack, and of those that are not sealed what is behind `known`.
    pub fn look(
        &self,
        known: &dyn Fn(&[u8; 16]) -> Option<u64>,
    ) -> Result<BackupPacks, OpenContentError> {
        if !self.folder.look()? {
            return Ok(BackupPacks::default());
        }
        let generation = self.generation()?;
        let listed = survey(&self.folder)?.manifest.packs;
        let packs = listed.iter().map(|pack| self.pack(pack, known)).collect::<Result<_, _>>()?;
        Ok(BackupPacks { generation, packs })
    }

    /// The number of the manifest that is there now.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be read.
    pub fn generation(&self) -> Result<Option<u64>, StorageError> {
        if !self.folder.look()? {
            return Ok(None);
        }
        Ok(match PackManifest::read(&self.folder)? {
            FoundManifest::Whole(manifest) => Some(manifest.generation),
            _ => None,
        })
    }

    /// The file of a pack, held open; `None` where it is gone, or another one has its name.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be opened or read.
    pub fn open(&self, pack: &BackupPack) -> Result<Option<Arc<dyn File>>, StorageError> {
        if !self.folder.has_pack(pack.number)? {
            return Ok(None);
        }
        let file = self.folder.open_pack(pack.number, Access::Read)?;
        let is_other = |header: PackHeader| header.id != PackId::from_bytes(pack.id);
        let found = PackHeader::read(file.as_ref())?;
        Ok((!found.is_ok_and(is_other)).then_some(file))
    }

    fn pack(
        &self,
        pack: &ListedPack,
        known: &dyn Fn(&[u8; 16]) -> Option<u64>,
    ) -> Result<BackupPack, StorageError> {
        let file = self.folder.open_pack(pack.number, Access::Read)?;
        let here = file.bytes()?;
        let id = *pack.id.as_bytes();
        let sealed =
            |bytes| BackupPack { id, number: pack.number, is_sealed: true, bytes, synced: bytes };
        if let PackState::Sealed { bytes } = pack.state {
            return Ok(sealed(bytes.min(here)));
        }
        if read_footer(file.as_ref(), pack.id, here)?.is_some() {
            return Ok(sealed(here));
        }
        let from = known(&id).filter(|from| (PACK_HEADER_BYTES..=here).contains(from));
        let from = from.unwrap_or(PACK_HEADER_BYTES.min(here));
        let synced = pack.state.synced_bytes().min(here);
        let found = scan_from(from, file.as_ref(), pack.id, here, synced, &mut |_, _, _| {})?;
        let (bytes, synced) = (found.end, found.synced_bytes.max(from).min(found.end));
        Ok(BackupPack { id, number: pack.number, is_sealed: false, bytes, synced })
    }
}

/// A folder of content that is being made of what a backup has.
#[derive(Debug)]
pub struct ContentRestore {
    folder: Arc<dyn DiskFolder>,
    store: StoreId,
    packs: Vec<ListedPack>,
}

impl ContentRestore {
    /// Begins in an empty folder, for the store with this id.
    #[must_use]
    pub fn begin(folder: Arc<dyn DiskFolder>, store: StoreId) -> Self {
        Self { folder, store, packs: Vec::new() }
    }

    /// Makes the file of a pack, to be written whole and synced by the caller. Packs come ascending by
    /// number.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be made, does not ascend, or is one too many.
    pub fn pack(&mut self, pack: &BackupPack) -> Result<Arc<dyn File>, StorageError> {
        let ascends = self.packs.last().is_none_or(|last| last.number < pack.number);
        if !ascends || self.packs.len() >= MAX_PACKS {
            let doing = format!("restoring {}", self.folder.path().display());
            return Err(StorageError::new(doing, format!("pack {} is out of order", pack.number)));
        }
        let file = self.folder.create(&pack_name(pack.number))?;
        let state = match pack.is_sealed {
            true => PackState::Sealed { bytes: pack.bytes },
            false => PackState::Open { synced_bytes: pack.bytes },
        };
        let (number, id) = (pack.number, PackId::from_bytes(pack.id));
        self.packs.push(ListedPack { number, id, state });
        Ok(file)
    }

    /// Lists the packs in a manifest, synced, and their names with it.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be written.
    pub fn finish(self) -> Result<(), StorageError> {
        let next_number = self.packs.last().map_or(0, |last| last.number.saturating_add(1));
        let manifest = PackManifest {
            store: Some(self.store),
            generation: 1,
            next_number,
            packs: self.packs,
            lost: Vec::new(),
        };
        let file = self.folder.create(MANIFEST)?;
        file.write_all_at(&manifest.encode(), 0)?;
        file.sync_all()?;
        self.folder.sync()
    }
}
