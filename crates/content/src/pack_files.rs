//! The files of the packs, open while they are in use.

use std::sync::Arc;

use quick_cache::sync::Cache;
use spacefold_disk::{Access, File};
use spacefold_event_core::StorageError;

use crate::folder::ContentFolder;

/// Packs whose files stay open for reading.
const OPEN_PACKS: usize = 64;

/// The files of the packs: those that were read last stay open.
#[derive(Debug)]
pub(crate) struct PackFiles {
    folder: ContentFolder,
    open: Cache<u32, Arc<dyn File>>,
}

impl PackFiles {
    pub(crate) fn new(folder: ContentFolder) -> Self {
        Self { folder, open: Cache::new(OPEN_PACKS) }
    }

    pub(crate) fn get(&self, number: u32) -> Result<Arc<dyn File>, StorageError> {
        self.open.get_or_insert_with(&number, || self.folder.open_pack(number, Access::Read))
    }

    pub(crate) fn forget(&self, number: u32) {
        self.open.remove(&number);
    }

    pub(crate) fn forget_all(&self) {
        self.open.clear();
    }

    /// What messages call a pack.
    pub(crate) fn name(&self, number: u32) -> String {
        self.folder.pack_path(number).display().to_string()
    }
}
