//! Making files and folders that only those may read and change who are to, whatever the process
//! takes away from modes by itself (umask).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use spacefold_event_core::StoreMode;

/// The bits of a mode that say who may do what.
const PERMISSIONS: u32 = 0o777;

/// What a folder says of who may read and change what is in it; `None` when it is not there.
pub(super) fn mode_of(folder: &Path) -> Option<StoreMode> {
    fs::metadata(folder).ok().map(|found| StoreMode::new(found.mode()))
}

/// Makes a folder.
pub(super) fn create_folder(path: &Path, mode: StoreMode) -> io::Result<()> {
    DirBuilder::new().mode(mode.folder()).create(path)?;
    let found = fs::metadata(path)?.mode();
    if found & PERMISSIONS == mode.folder() {
        return Ok(());
    }
    // One that hands its group on (setgid) goes on doing so.
    let wanted = found & !PERMISSIONS & 0o7777 | mode.folder();
    tolerate(fs::set_permissions(path, Permissions::from_mode(wanted)))
}

/// Opens a file with options that make it.
pub(super) fn open_new(
    options: &mut OpenOptions,
    path: &Path,
    mode: StoreMode,
) -> io::Result<File> {
    let file = options.mode(mode.file()).open(path)?;
    if file.metadata()?.mode() & PERMISSIONS != mode.file() {
        tolerate(file.set_permissions(Permissions::from_mode(mode.file())))?;
    }
    Ok(file)
}

/// There are file systems that know no modes, and files of another user in a folder of a group.
fn tolerate(set: io::Result<()>) -> io::Result<()> {
    let is_unable = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
    };
    set.or_else(|error| if is_unable(&error) { Ok(()) } else { Err(error) })
}
