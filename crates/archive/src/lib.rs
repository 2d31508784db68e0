#![doc = include_str!("../README.md")]

mod archiver;
mod drill;
mod error;
mod folder_storage;
mod manifest;
mod prune;
mod repository;
mod restore;
mod storage;
mod verify;

pub use self::{
    archiver::{Archiver, ArchiverRound, BackupReport},
    drill::{DrillReport, drill},
    error::ArchiveError,
    folder_storage::FolderStorage,
    manifest::BackupManifest,
    prune::{PruneOptions, PruneReport, prune},
    repository::BackupRepository,
    restore::{RestoreOptions, RestorePlan, RestorePoint, RestoreReport, plan_restore, restore},
    storage::{ObjectKey, ObjectKind, ObjectStorage},
    verify::{InvalidShare, RepositoryProblem, RepositoryReport, VerifyShare, verify},
};

#[cfg(test)]
mod tests;
