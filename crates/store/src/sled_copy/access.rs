//! Making the files and folders of sled's copy that only those may read and change who are to,
//! whatever the process takes away from modes by itself (umask).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use spacefold_event_core::StoreMode;

/// The bits of a mode that say who may do what.
const PERMISSIONS: u32 = 0o777;

/// What a folder says of who may read and change what is in it; one that is not there
/// yet is its owner's alone.
pub(super) fn mode_of(folder: &Path) -> StoreMode {
    fs::metadata(folder).map_or(StoreMode::PRIVATE, |found| StoreMode::new(found.mode()))
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

/// Opens a file to read and write it; it is made when it is missing, and else has the mode it had.
pub(super) fn open_or_create(path: &Path, mode: StoreMode) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            open_new(options.create(true), path, mode)
        }
        opened => opened,
    }
}

/// Opens a file with options that make it.
fn open_new(options: &mut OpenOptions, path: &Path, mode: StoreMode) -> io::Result<File> {
    let file = options.mode(mode.file()).open(path)?;
    if file.metadata()?.mode() & PERMISSIONS != mode.file() {
        tolerate(file.set_permissions(Permissions::from_mode(mode.file())))?;
    }
    Ok(file)
}

/// Gives a file that another has made its mode.
pub(super) fn set_file_mode(path: &Path, mode: StoreMode) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.mode() & PERMISSIONS == mode.file() {
        return Ok(());
    }
    tolerate(fs::set_permissions(path, Permissions::from_mode(mode.file())))
}

/// There are file systems that know no modes, and files of another user in a folder of a group.
fn tolerate(set: io::Result<()>) -> io::Result<()> {
    let is_unable = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
    };
    set.or_else(|error| if is_unable(&error) { Ok(()) } else { Err(error) })
}
