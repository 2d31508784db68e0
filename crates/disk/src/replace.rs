//! A file that is complete, or not there: written under another name, synced, then renamed.

use std::{path::Path, sync::Arc};

use spacefold_event_core::StorageError;

use crate::disk::{File, Folder};

/// What the name of a file ends in until it is complete.
const UNFINISHED: &str = ".unfinished";

/// A file that has not its name yet. Dropped without [`NewFile::finish`], it is removed.
#[derive(Debug)]
pub struct NewFile {
    folder: Arc<dyn Folder>,
    file: Arc<dyn File>,
    name: String,
    is_finished: bool,
}

/// What is known after a file was not replaced as it should have been.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The one before stays.
    #[error("{0}; what was there before stays")]
    OldStays(#[source] StorageError),
    /// It is not known which of the two is there after a power cut.
    #[error("{0}; the old file is there or the new one")]
    Unknown(#[source] StorageError),
}

impl From<ReplaceError> for StorageError {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::OldStays(error) | ReplaceError::Unknown(error) => error,
        }
    }
}

impl NewFile {
    /// Begins a file that is to have a name in a folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(folder: &Arc<dyn Folder>, name: &str) -> Result<Self, StorageError> {
        let file = folder.create_to_become(&format!("{name}{UNFINISHED}"), name)?;
        Ok(Self { folder: Arc::clone(folder), file, name: name.to_owned(), is_finished: false })
    }

    /// The name that a file was to have which has never come to it; `None` of every other.
    #[must_use]
    pub fn name_of_unfinished(name: &str) -> Option<&str> {
        name.strip_suffix(UNFINISHED)
    }

    /// The file, to be written.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Syncs the file and gives it its name; the folder is for the caller to sync.
    ///
    /// # Errors
    /// When that cannot be done: what had the name before stays.
    pub fn finish(mut self) -> Result<Arc<dyn File>, StorageError> {
        self.file.sync_all()?;
        let unfinished = format!("{}{UNFINISHED}", self.name);
        self.folder.rename(Path::new(&unfinished), Path::new(&self.name))?;
        self.is_finished = true;
        Ok(Arc::clone(&self.file))
    }

    /// Puts a whole file in its place, durably.
    ///
    /// # Errors
    /// [`ReplaceError`], which says whether the old one stays.
    pub fn replace(folder: &Arc<dyn Folder>, name: &str, bytes: &[u8]) -> Result<(), ReplaceError> {
        let new = Self::create(folder, name).map_err(ReplaceError::OldStays)?;
        new.file.write_all_at(bytes, 0).map_err(ReplaceError::OldStays)?;
        new.finish().map_err(ReplaceError::OldStays)?;
        folder.sync().map_err(ReplaceError::Unknown)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // What stays is removed by whoever opens the folder next.
            let _ = self.folder.remove(&format!("{}{UNFINISHED}", self.name));
        }
    }
}
