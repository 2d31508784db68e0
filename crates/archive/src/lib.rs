#![doc = include_str!("../README.md")]

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
