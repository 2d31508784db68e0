//! The copy of the log that is read, as the store sees it: sled's, or a stand-in for it in memory.
//! Nothing in it is the only copy of anything.

pub(crate) mod memory;

use std::{fmt, iter, sync::Arc};

use spacefold_event_core::{Position, StorageError};

use crate::lineage::Lineage;

/// Why a call on the copy gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SledError {
    /// The disk failed, or another process has the folder. What was being written is there or
    /// not; what was there before is no worse for it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The folder does not hold what sled expects, or sled panicked: set it aside and rebuild.
    #[error("sled's copy of the log is broken: {0}")]
    Broken(String),
    /// A thread of sled's own has panicked: sled works nowhere in this process any more.
    #[error("a background thread of sled has panicked: restart the process")]
    ProcessRestartRequired,
}

/// The copies of one store: the one in use, and perhaps one that is made beside it.
pub(crate) trait LogCopies: fmt::Debug + Send + Sync {
    /// Whether one is in use.
    fn is_there(&self) -> bool;

    /// What the one in use says of its store, without opening it; `None` when nothing can be read.
    fn lineage(&self) -> Option<Lineage>;

    /// Opens the one in use; makes an empty one when there is none.
    fn open(&self) -> Result<Arc<dyn LogCopy>, SledError>;

    /// Opens the one beside it; makes an empty one when there is none.
    fn open_beside(&self) -> Result<Arc<dyn LogCopy>, SledError>;

    /// Makes the one beside it a copy of the one in use.
    fn duplicate(&self) -> Result<(), StorageError>;

    /// Removes the one beside it, if there is one.
    fn remove_beside(&self) -> Result<(), StorageError>;

    /// Puts the one beside it in the place of the one in use, which is set aside.
    fn put_in_place(&self) -> Result<(), StorageError>;

    /// Bytes on the disk of the one in use.
    fn disk_bytes(&self) -> u64;
}

/// A copy of the log: blocks by first position.
///
/// # Errors
/// Every method fails with a [`SledError`], which says whether the copy is wrong or the disk.
pub(crate) trait LogCopy: Send + Sync {
    /// Says that what is put from now on may come from events up to a position, unless that has been
    /// said. To be called before it is put. A power cut may take it back, and what was put since with
    /// it.
    fn note_lineage(&self, lineage: &Lineage) -> Result<(), SledError>;

    /// Keeps places for blocks that are put next, given by where each begins and how many bytes it
    /// has. No block is found there before it is put.
    fn keep_places(
        &self,
        blocks: &mut dyn Iterator<Item = (Position, usize)>,
    ) -> Result<(), SledError>;

    /// Puts the block that begins at `first`, in place of one that is there: after an error it is
    /// there whole, or not found.
    fn put_block(&self, first: Position, bytes: &[u8]) -> Result<(), SledError>;

    /// The block with the greatest first position at or before `position`.
    fn block_at_or_before(&self, position: Position) -> Result<Option<StoredBlock>, SledError>;

    /// The block with the greatest first position.
    fn last_block(&self) -> Result<Option<StoredBlock>, SledError> {
        self.block_at_or_before(Position::new(u64::MAX))
    }

    /// The first position of every block, ascending.
    fn first_positions(&self) -> Result<Vec<Position>, SledError>;

    /// Brings everything put or removed before this call to the disk. After an error how much is
    /// there is unknown, and every later sync fails too.
    fn sync(&self) -> Result<(), SledError>;

    /// Whether values are kept in files of their own, which are never synced.
    fn has_external_values(&self) -> bool {
        false
    }

    /// As where the disk refuses what sled wants to write, whatever it is asked.
    #[cfg(test)]
    fn refuse_now(&self, _why: std::io::ErrorKind) {}
}

/// Bytes of a part, as the copy has them in memory.
pub(crate) type PartBytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// A block as it was put: the bytes of its parts.
pub(crate) struct StoredBlock {
    pub(crate) first: Position,
    pub(crate) head: PartBytes,
    pub(crate) rest: Vec<PartBytes>,
}

impl fmt::Debug for StoredBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, bytes) = (self.first, self.bytes().len());
        f.debug_struct("StoredBlock").field("first", &first).field("bytes", &bytes).finish()
    }
}

impl StoredBlock {
    /// The position under which the block was put.
    pub(crate) const fn first(&self) -> Position {
        self.first
    }

    /// The bytes of the block, copied only when it has several parts.
    pub(crate) fn bytes(&self) -> std::borrow::Cow<'_, [u8]> {
        if self.rest.is_empty() {
            return std::borrow::Cow::Borrowed((*self.head).as_ref());
        }
        let parts: Vec<&[u8]> =
            iter::once(&self.head).chain(&self.rest).map(|part| (**part).as_ref()).collect();
        std::borrow::Cow::Owned(parts.concat())
    }
}

/// A copy of the one in use, to be opened in its place: what opens one may change it. Removed when
/// it is dropped.
#[derive(Debug)]
pub(crate) struct Duplicate {
    copies: Arc<dyn LogCopies>,
}

impl Duplicate {
    pub(crate) fn of(copies: &Arc<dyn LogCopies>) -> Result<Self, StorageError> {
        copies.remove_beside()?;
        let duplicate = Self { copies: Arc::clone(copies) };
        copies.duplicate()?;
        Ok(duplicate)
    }

    pub(crate) fn open(&self) -> Result<Arc<dyn LogCopy>, SledError> {
        self.copies.open_beside()
    }
}

impl Drop for Duplicate {
    fn drop(&mut self) {
        if let Err(error) = self.copies.remove_beside() {
            tracing::warn!(%error, "a copy that is not needed any more stays");
        }
    }
}
