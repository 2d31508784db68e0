//! A store on a disk of the caller's: for tests that plant faults in one.

use std::{path::Path, sync::Arc};

use spacefold_disk::Disk;

use crate::{
    embedded_log::EmbeddedLog, environment::Environment, error::OpenError, options::StoreOptions,
};

/// Opens a store as [`EmbeddedLog::open_with`] does, on a disk. Sled's copy is not on it: it is in
/// the operating system's folder of that path.
///
/// # Errors
/// [`OpenError`].
pub fn open_on(
    disk: Arc<dyn Disk>,
    path: &Path,
    options: &StoreOptions,
) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open_in(&Environment::on(disk), path, options)
}
