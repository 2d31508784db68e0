//! A store on a simulated disk, for tests that harm an index of it.

use std::{path::Path, sync::Arc};

use spacefold_disk::{Access, Disk as _, Folder as DiskFolder, SimDisk};
use spacefold_event_core::{StorageError, StorageErrorKind};

use crate::{
    Durability, EmbeddedLog, StoreOptions, environment::Environment, folder::StoreFolder,
    log_copy::memory::MemoryCopies, reading, shared::SharedStore,
};

const STORE: &str = "/store";
const JOURNAL_FILE_BYTES: u64 = 64 << 10;

/// A store on a simulated disk, whose sealer works when it is told to.
pub(crate) struct Stored {
    pub(crate) disk: SimDisk,
    pub(crate) copies: MemoryCopies,
    pub(crate) index: &'static str,
}

impl Stored {
    /// A new one, of which an index among what is derived is looked at and changed.
    pub(crate) fn new(index: &'static str) -> Self {
        Self { disk: SimDisk::default(), copies: MemoryCopies::default(), index }
    }

    pub(crate) fn open(&self) -> EmbeddedLog {
        self.open_with(JOURNAL_FILE_BYTES, Durability::Sync)
    }

    pub(crate) fn open_with(&self, journal_file_bytes: u64, durability: Durability) -> EmbeddedLog {
        Self::open_in(&self.environment(), journal_file_bytes, durability)
    }

    /// Opens it as programs do, with the threads of a store.
    pub(crate) fn open_with_threads(&self) -> EmbeddedLog {
        let mut environment = self.environment();
        environment.is_stepped = false;
        Self::open_in(&environment, JOURNAL_FILE_BYTES, Durability::Sync)
    }

    fn open_in(
        environment: &Environment,
        journal_file_bytes: u64,
        durability: Durability,
    ) -> EmbeddedLog {
        let mut options = StoreOptions::default().reserve_bytes(0).durability(durability);
        options.journal_file_bytes = journal_file_bytes;
        EmbeddedLog::open_in(environment, Path::new(STORE), &options).unwrap()
    }

    /// Opens it as where nothing can be written.
    pub(crate) fn open_to_read(&self) -> SharedStore {
        let folder = StoreFolder::open(&self.environment(), Path::new(STORE)).unwrap().unwrap();
        let why = StorageError::new("opening a store", StorageErrorKind::ReadOnly);
        reading::open(&folder, JOURNAL_FILE_BYTES, &why).unwrap().shared
    }

    fn environment(&self) -> Environment {
        Environment::stepped(Arc::new(self.disk.clone()), Arc::new(self.copies.clone()))
    }

    pub(crate) fn index(&self) -> Arc<dyn DiskFolder> {
        let path = Path::new(STORE).join("derived").join(self.index);
        self.disk.folder(&path).unwrap().expect("the index is kept")
    }

    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let folder = self.index();
        let read = |name: String| {
            let bytes = folder.open(&name, Access::Read).unwrap().read_all().unwrap();
            (name, bytes)
        };
        folder.names().unwrap().into_iter().map(read).collect()
    }

    pub(crate) fn put(&self, files: &[(String, Vec<u8>)]) {
        let folder = self.index();
        folder.names().unwrap().iter().for_each(|name| folder.remove(name).unwrap());
        for (name, bytes) in files {
            folder.create(name).unwrap().write_whole(&[bytes]).unwrap();
        }
    }

    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.index().open(name, Access::ReadWrite).unwrap();
        let mut bytes = file.read_all().unwrap();
        change(&mut bytes);
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    }
}

/// The files of an index in each way in which they may be found: as they were, lost, older, another
/// store's, mixed, cut, with a bit flipped.
pub(crate) fn harmed(
    whole: &[(String, Vec<u8>)],
    others: &[&[(String, Vec<u8>)]],
    mut is_found: impl FnMut(&[(String, Vec<u8>)]),
) {
    let is_manifest = |(name, _): &&(String, Vec<u8>)| name == "MANIFEST";
    is_found(whole);
    is_found(&[]);
    for files in others {
        is_found(files);
        let mut mixed = whole.to_vec();
        mixed.retain(|file| !is_manifest(&file));
        mixed.extend(files.iter().find(is_manifest).cloned());
        is_found(&mixed);
    }
    for place in 0..whole.len() {
        let mut lost = whole.to_vec();
        lost.remove(place);
        is_found(&lost);
        let len = whole[place].1.len();
        for at in (0..len).step_by(len / 9 + 1) {
            let mut damaged = whole.to_vec();
            damaged[place].1[at] ^= 4;
            is_found(&damaged);
            let mut cut = whole.to_vec();
            cut[place].1.truncate(at);
            is_found(&cut);
        }
    }
}
