//! What a store runs on: a disk, schemas, the place of the copy that is read, and the threads that seal. A
//! program has one environment, and another for each store in memory; tests have others.

use std::sync::Arc;

use spacefold_disk::{Disk, Folder as DiskFolder, MemoryDisk, ReadOnlyDisk, RealDisk};
use spacefold_event_core::Schemas;

use crate::{
    log_copy::{LogCopies, memory::MemoryCopies},
    options::StoreOptions,
    sled_copy::SledFolders,
};

/// What a store runs on.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) disk: Arc<dyn Disk>,
    /// What records are written and read by.
    pub(crate) schemas: &'static Schemas,
    /// Where the copies of the log are that are read; sled's, in the folder of the store, with none.
    copies: Option<Arc<dyn LogCopies>>,
    /// Whether blocks are made and archived when the store is told to, in the thread that tells it.
    pub(crate) is_stepped: bool,
}

impl Environment {
    /// What a program runs on, but for the disk.
    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        Self { disk, schemas: Schemas::today(), copies: None, is_stepped: false }
    }

    /// What a program runs on that opens a store with these options.
    pub(crate) fn of(options: &StoreOptions) -> Self {
        Self { schemas: options.schemas, ..Self::default() }
    }

    /// What a store is followed on: a disk on which nothing can be changed.
    pub(crate) fn read_only(disk: Arc<dyn Disk>, schemas: &'static Schemas) -> Self {
        Self { schemas, ..Self::on(Arc::new(ReadOnlyDisk::over(disk))) }
    }

    /// What a store runs on that is gone with its last handle.
    pub(crate) fn in_memory(options: &StoreOptions) -> Self {
        let copies: Arc<dyn LogCopies> = Arc::new(MemoryCopies::default());
        let on_disk = Self::on(Arc::new(MemoryDisk::new()));
        Self { schemas: options.schemas, copies: Some(copies), ..on_disk }
    }

    /// Of one thread, which tells the store when to seal, with a stand-in for sled's copies.
    #[cfg(test)]
    pub(crate) fn stepped(disk: Arc<dyn Disk>, copies: Arc<dyn LogCopies>) -> Self {
        Self { copies: Some(copies), is_stepped: true, ..Self::on(disk) }
    }

    /// The copies of the store in a folder.
    pub(crate) fn copies_in(&self, root: &Arc<dyn DiskFolder>) -> Arc<dyn LogCopies> {
        self.copies.clone().unwrap_or_else(|| Arc::new(SledFolders::of(root)))
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::on(Arc::new(RealDisk))
    }
}
