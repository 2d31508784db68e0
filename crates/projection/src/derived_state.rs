//! Where derived state is kept.

use std::sync::Arc;

use spacefold_disk::{Folder, LazyFolder, MemoryDisk};
use spacefold_event_core::StorageError;
use spacefold_runs::{Opened, PageCache, RunSet, RunSetOptions, RunsError};

/// Bytes of pages that are kept in memory, of everything that is derived from one log.
const CACHE_BYTES: u64 = 16 << 20;

/// A folder for what is derived from a log, and the pages of it that were read last. Clones are the
/// same.
///
/// Nothing in it is the only copy of anything: what is lost, damaged, or of another log is folded
/// anew. It is made when the first checkpoint is.
#[derive(Clone, Debug)]
pub struct DerivedState {
    folder: Arc<dyn Folder>,
    cache: Arc<PageCache>,
}

impl DerivedState {
    /// What is derived, in a folder, which nobody else changes.
    #[must_use]
    pub fn in_folder(folder: Arc<dyn Folder>) -> Self {
        Self { folder, cache: Arc::new(PageCache::new(CACHE_BYTES)) }
    }

    /// What is derived, in memory: gone with the last clone.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::in_folder(MemoryDisk::new().root())
    }

    /// A part of it, in a folder of its own.
    pub(crate) fn part(&self, name: impl Into<String>) -> Self {
        let folder = LazyFolder::within(&self.folder, name.into());
        Self { folder, cache: Arc::clone(&self.cache) }
    }

    pub(crate) const fn folder(&self) -> &Arc<dyn Folder> {
        &self.folder
    }

    /// The runs that are kept here; `None` when none are, or they are damaged as far as opening sees.
    pub(crate) fn open_runs(&self, options: RunSetOptions) -> Result<Option<Opened>, StorageError> {
        match RunSet::open(Arc::clone(&self.folder), options, Arc::clone(&self.cache)) {
            Ok(opened) => Ok(opened),
            Err(RunsError::Storage(error)) => Err(error),
            Err(damaged) => {
                tracing::warn!(%damaged, "derived state is damaged: it is rebuilt");
                Ok(None)
            }
        }
    }

    /// No runs yet.
    pub(crate) fn empty_runs(&self, options: RunSetOptions) -> Result<RunSet, StorageError> {
        Ok(RunSet::empty(Arc::clone(&self.folder), options, Arc::clone(&self.cache))?)
    }
}
