//! Backups of spacefold stores: made beside whoever has the store, restored to any point in time.
//!
//! A [`BackupRepository`] has the backups of one store as immutable objects: the segments of its log as they
//! are, what is behind them as frames, the packs of its content, the places of its durable subscriptions.
//! A *manifest* says what a backup consists of; it is put last, once, and never changed. So a backup
//! that is interrupted anywhere is none, and the one before is the newest.
//!
//! - [`Archiver`] makes backups, each in proportion to what is new, of a store that is open in this
//!   process, in another one, or closed: it reads the files as a follower does. Writers are not stopped.
//! - [`restore()`] makes a store of a backup, up to a position or time, on a timeline of its own, and an
//!   [`ArchiveFollower`] one that follows the backups that are made. [`repair_from_backup`] mends one.
//! - [`verify`] holds what is stored against its hashes, [`prune`] removes old backups, and [`drill`]
//!   restores the newest one aside, folds it, compares it with what the log commits to, and says how long
//!   that took.
//!
//! A repository is in a folder ([`FolderStorage`]), or wherever [`ObjectStorage`] is written for.
//! `docs/format.md` has every byte.

mod archiver;
mod drill;
mod error;
mod follow;
mod manifest;
mod object_kind;
mod prune;
mod repair;
mod repository;
mod restore;
mod verify;

pub use self::{
    archiver::{Archiver, ArchiverRound, BackupReport},
    drill::{DrillReport, LastDrill, drill, last_drill},
    error::ArchiveError,
    follow::{ArchiveFollower, FollowedBackup},
    manifest::BackupManifest,
    prune::{PruneOptions, PruneReport, prune},
    repair::repair_from_backup,
    repository::BackupRepository,
    restore::{RestoreOptions, RestorePlan, RestorePoint, RestoreReport, plan_restore, restore},
    verify::{InvalidShare, RepositoryProblem, RepositoryReport, VerifyShare, verify},
};

pub use spacefold_objects::{FolderStorage, ObjectError, ObjectStorage};
#[cfg(feature = "s3")]
pub use spacefold_objects::{S3Options, S3Storage};

#[cfg(test)]
mod tests;
