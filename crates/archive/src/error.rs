//! What is in the way of a backup, or of a restore.

use std::path::PathBuf;

use spacefold::{admin::RemakeError, content::OpenContentError};
use spacefold_event_core::{Position, ReadError, StorageError, Timestamp, id_text};
use spacefold_objects::{ObjectError, ObjectErrorKind};
use spacefold_store::{LogRestoreError, OpenError};

/// Why a backup is not made, or a store not restored. Whatever fails, backups that are there stay as
/// they were, and so does what is at the path of a store that was to be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// There is no repository.
    #[error("there is no repository in {place}")]
    NoRepository {
        /// Where it was looked for.
        place: String,
    },
    /// Something else is there.
    #[error("{place} is no repository: {what}")]
    NotARepository {
        /// Where it was looked for.
        place: String,
        /// What is there.
        what: String,
    },
    /// The repository has a format that this version does not know.
    #[error("{object} has format {found}: this version knows format {known}")]
    UnknownFormat {
        /// The object.
        object: String,
        /// The format that it has.
        found: u32,
        /// The newest format that this version knows.
        known: u32,
    },
    /// The repository is of another store.
    #[error(
        "the repository in {} is of store {}, not of {}",
        place, id_text(*has), id_text(*store)
    )]
    OtherStore {
        /// The repository.
        place: String,
        /// The store that it is of.
        has: [u8; 16],
        /// The store that was to be backed up.
        store: [u8; 16],
    },
    /// The newest backup is of a course of events that this store has not taken: of a store that was
    /// restored from the repository since, or of an older copy of this one.
    #[error(
        "backup {number} in {} is not of what this store has: {what}; it has position {head}, this \
         store ends at {end}",
        place
    )]
    OtherCourse {
        /// The repository.
        place: String,
        /// The newest backup in it.
        number: u64,
        /// The last position of the backup.
        head: Position,
        /// The last position of the store.
        end: Position,
        /// What tells.
        what: &'static str,
    },
    /// Another archiver has put a backup of this number meanwhile.
    #[error("another archiver has put backup {number} in {place}")]
    AnotherArchiver {
        /// The repository.
        place: String,
        /// The number.
        number: u64,
    },
    /// There is no backup, or none of a number.
    #[error("there is no backup{} in {}", number.map_or(String::new(), |it| format!(" {it}")), place)]
    NoBackup {
        /// The repository.
        place: String,
        /// The number that was asked for.
        number: Option<u64>,
    },
    /// An object of the repository is missing or not as it was put.
    #[error("{object} is damaged: {what}")]
    Damaged {
        /// The object.
        object: String,
        /// What is wrong.
        what: String,
    },
    /// The backup ends before the position asked for.
    #[error("position {asked} is beyond backup {number}, which ends at position {head}")]
    Beyond {
        /// The position asked for.
        asked: Position,
        /// The backup.
        number: u64,
        /// The last position of the backup.
        head: Position,
    },
    /// Nothing was recorded by the time asked for.
    #[error("nothing was recorded by {asked}")]
    BeforeFirst {
        /// The time asked for.
        asked: Timestamp,
    },
    /// Something is at the path of the store that was to be restored.
    #[error("{} is there and not empty", path.display())]
    NotEmpty {
        /// The path.
        path: PathBuf,
    },
    /// The packs of the store's content change faster than they can be copied.
    #[error("the content of the store changes faster than it can be copied: {what}")]
    Changing {
        /// What was there last.
        what: String,
    },
    /// Whoever was asked has ended it.
    #[error("interrupted")]
    Cancelled,
    /// The store that was restored does not fold.
    #[error("the restored store does not fold: {what}")]
    Fold {
        /// Why.
        what: String,
    },
    /// Nothing in the repository is of the store that was to be mended, which stays as it is.
    #[error("nothing of the store in {} is in {place}", path.display())]
    NothingFits {
        /// The repository.
        place: String,
        /// The store.
        path: PathBuf,
    },
    /// The store cannot be mended.
    #[error(transparent)]
    Repair(#[from] RemakeError),
    /// The events of the backup do not restore.
    #[error(transparent)]
    Log(#[from] LogRestoreError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The log of the store does not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The content of the store does not read.
    #[error(transparent)]
    Content(#[from] OpenContentError),
    /// An object is not put, read, listed or removed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The disk or the operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ArchiveError {
    /// Whether it says that something in the repository is damaged.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Log(LogRestoreError::Damaged { .. }))
    }

    /// Whether it may go by: an archiver that runs on tries again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use spacefold_event_core::StorageErrorKind::FolderGone;
        match self {
            Self::Objects(error) => error.kind() != ObjectErrorKind::Unconditional,
            Self::Storage(_) | Self::Changing { .. } => true,
            Self::Read(ReadError::Storage(error)) => error.kind() != FolderGone,
            _ => false,
        }
    }
}
