//! What is done to the files of the copy without sled.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use spacefold_disk::Folder as DiskFolder;
use spacefold_event_core::StoreMode;

use super::access::{self, create_folder};

/// The path by which sled finds a folder, whatever becomes of its name.
pub(super) fn held_path(folder: &Arc<dyn DiskFolder>) -> PathBuf {
    folder.held_path().unwrap_or_else(|| folder.path().to_owned())
}

/// Removes a folder, or whatever is in its place, if there is anything.
pub(super) fn remove_if_any(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// Copies a folder with everything in it.
pub(super) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    create_folder(to, access::mode_of(from))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Makes the folders of a copy that are missing, with the mode of the store; whether that of the
/// copy itself was.
pub(super) fn make_folders(above: &Path, name: &str, mode: StoreMode) -> io::Result<bool> {
    let folder = above.join(name);
    let is_made = |folder: &Path| match create_folder(folder, mode) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(false),
        made => made.map(|()| true),
    };
    let is_new = is_made(&folder)?;
    is_made(&folder.join("blobs"))?;
    Ok(is_new)
}

/// Gives what sled has made by itself the mode of its folder.
pub(super) fn follow_mode(folder: &Path) -> io::Result<()> {
    let mode = access::mode_of(folder);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_sleds = |name: &str| name == "conf" || name.starts_with("snap.");
        if entry.file_name().to_str().is_some_and(is_sleds) {
            match access::set_file_mode(&entry.path(), mode) {
                // It was an older snapshot.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                set => set?,
            }
        }
    }
    Ok(())
}

/// sled takes the file that a crash left half written for its newest snapshot, and never opens
/// again.
pub(super) fn remove_unfinished_snapshots(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// How long a lock on sled's file is waited for, and how often it is tried meanwhile. The store's
/// own lock is held, so whoever has this one is on the way out: a child that was forked while the
/// file was open holds it until it is replaced by its program.
const LOCK_TRIES: u32 = 400;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Opens sled's file for our own syncs; `None` when it stays open elsewhere, which sled itself does
/// not tell from other errors.
pub(super) fn open_unlocked(path: &Path) -> io::Result<Option<File>> {
    let mode = access::mode_of(path.parent().unwrap_or(path));
    let file = access::open_or_create(path, mode)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => {
                file.unlock()?;
                return Ok(Some(file));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
    }
    Ok(None)
}

/// Syncs a file, or the entries of a folder.
pub(super) fn sync_path(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
