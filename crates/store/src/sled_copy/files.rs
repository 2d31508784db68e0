//! What is done to the files of the copy without sled.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use spacefold_event_core::StorageError;

use crate::folder::{
    access::{self, create_folder},
    aside::place_beside,
};

/// Renames the folder of a copy to `<folder>.set-aside-<n>`, n counting up. Those that are there stay:
/// what was set aside may turn out to be what was needed. Answers the new path.
///
/// # Errors
/// [`StorageError`]; the folder has its old name or its new one.
pub(crate) fn set_aside(folder: &Path) -> Result<PathBuf, StorageError> {
    let failed =
        |cause: io::Error| StorageError::new(format!("set aside {}", folder.display()), cause);
    let path = place_beside(folder).map_err(failed)?;
    fs::rename(folder, &path).map_err(failed)?;
    sync_path(folder.parent().unwrap_or(folder)).map_err(failed)?;
    Ok(path)
}

/// Removes a folder, or whatever is in its place, if there is anything.
///
/// # Errors
/// [`StorageError`]; some of it may be gone.
pub(crate) fn remove_if_any(path: &Path) -> Result<(), StorageError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => Err(cause),
    };
    removed.map_err(|cause| StorageError::new(format!("remove {}", path.display()), cause))
}

/// A copy of a folder beside it, to be opened in its place: sled changes the folders that it opens.
/// Removed when it is dropped.
#[derive(Debug)]
pub(crate) struct CopiedFolder {
    path: PathBuf,
}

impl CopiedFolder {
    /// Copies a folder to another place, in place of what an earlier copy has left there.
    ///
    /// # Errors
    /// [`StorageError`]; nothing stays of the copy.
    pub(crate) fn of(folder: &Path, path: &Path) -> Result<Self, StorageError> {
        remove_if_any(path)?;
        let copied = Self { path: path.to_owned() };
        let doing = || format!("copy {} to {}", folder.display(), path.display());
        copy_folder(folder, path).map_err(|cause| StorageError::new(doing(), cause))?;
        Ok(copied)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CopiedFolder {
    fn drop(&mut self) {
        if let Err(error) = remove_if_any(&self.path) {
            tracing::warn!(%error, "a copy that is not needed any more stays");
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
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

/// Makes the folders of a copy that are missing, with the mode of the store.
pub(super) fn make_folders(folder: &Path) -> io::Result<()> {
    let mode = access::mode_of(folder.parent().unwrap_or(folder));
    for folder in [folder, &folder.join("blobs")] {
        match create_folder(folder, mode) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
            made => made?,
        }
    }
    Ok(())
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
