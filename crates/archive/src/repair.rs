//! Mends a store from a backup of it.

use std::{
    path::{Path, PathBuf},
    process,
};

use spacefold::admin::{RemakeError, RepairedStore};

use crate::{
    error::ArchiveError,
    repository::BackupRepository,
    restore::{RestoreOptions, restore},
};

/// Mends the store at `path`, which nobody may have open, in its place, as
/// [`spacefold::admin::repair`] does, with the newest backup, or this one, as the other copy: what is
/// damaged of the log is taken from there where the chain proves that it fits, and content where its hash
/// does. Whatever is replaced is set aside.
///
/// # Errors
/// [`ArchiveError::NothingFits`] where the repository is of another store; [`ArchiveError::Repair`] with
/// what cannot be mended, of which nothing is changed then; others, as [`restore`].
///
/// # Cost
/// Restores the backup beside the store, which takes its room for that time, and then as
/// [`spacefold::admin::repair`].
pub fn repair_from_backup(
    repository: &BackupRepository,
    path: impl AsRef<Path>,
    backup: Option<u64>,
) -> Result<RepairedStore, ArchiveError> {
    let path = path.as_ref();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = RestoredBeside(path.with_file_name(format!(".{name}.backup-{}", process::id())));
    beside.remove();
    let options = RestoreOptions::default();
    let options = backup.map_or(options, |number| options.backup(number));
    restore(repository, &beside.0, &options)?;
    match spacefold::admin::repair(path, Some(&beside.0)) {
        Ok(repaired) => Ok(repaired),
        // Nothing of this store is in a backup of another one.
        Err(RemakeError::NothingThere { .. }) => {
            Err(ArchiveError::NothingFits { place: repository.place(), path: path.to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

/// A store that goes with this.
struct RestoredBeside(PathBuf);

impl RestoredBeside {
    fn remove(&self) {
        // What cannot be removed is in nobody's way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for RestoredBeside {
    fn drop(&mut self) {
        self.remove();
    }
}
