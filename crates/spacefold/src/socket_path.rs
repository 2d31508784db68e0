//! Where the socket of a store is: whoever serves it and whoever asks it find it by the same rule.

use std::{
    env, fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use spacefold_event_core::StorageError;

/// The name of the socket in the folder of the store.
const SOCKET: &str = "sock";
/// The folder of the sockets of stores whose own paths are too long, in that of the user's session.
const SOCKETS: &str = "spacefold";
/// Bytes of a path that a socket can be bound to: the system takes 108, one of which ends it.
const MAX_PATH_BYTES: usize = 107;

/// Where the socket of the store in a folder is while the process that has the store open serves it:
/// `sock` in the folder, or, where that path is too long for a socket, a file in `spacefold` of
/// `$XDG_RUNTIME_DIR` that is named after the device and inode of the folder: copies of a store have its
/// id, and are not it. By whatever path a folder is named, it is the same socket.
///
/// Nothing is made, and that a path is answered does not say that anybody listens there.
///
/// # Errors
/// [`StorageError`] where there is no such folder, or where its path is too long and the session of the
/// user has no folder for sockets.
///
/// # Examples
/// ```
/// use spacefold::{Spacefold, admin::socket_path};
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let spaces = Spacefold::open(&data)?;
/// assert_eq!(socket_path(&data)?, data.canonicalize()?.join("sock"));
/// # spaces.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn socket_path(store: impl AsRef<Path>) -> Result<PathBuf, StorageError> {
    let sessions = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    path_of(store.as_ref(), sessions.filter(|path| path.is_absolute()).as_deref())
}

fn path_of(store: &Path, session: Option<&Path>) -> Result<PathBuf, StorageError> {
    let failed = |cause: io::Error| {
        StorageError::new(format!("finding the socket of {}", store.display()), cause)
    };
    // A relative path is shorter than what others may know the folder by.
    let folder = store.canonicalize().map_err(failed)?;
    let within = folder.join(SOCKET);
    if fits(&within) {
        return Ok(within);
    }
    let too_long = |why: &str| {
        let why = format!("its path is too long for a socket, and {why}");
        failed(io::Error::new(io::ErrorKind::InvalidFilename, why))
    };
    let session = session.ok_or_else(|| too_long("XDG_RUNTIME_DIR names no folder"))?;
    let metadata = fs::metadata(&folder).map_err(failed)?;
    let name = format!("{:x}-{:x}.sock", metadata.dev(), metadata.ino());
    let beside = session.join(SOCKETS).join(name);
    if fits(&beside) {
        return Ok(beside);
    }
    Err(too_long("so is that of XDG_RUNTIME_DIR"))
}

fn fits(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() <= MAX_PATH_BYTES
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    fn folder_of(root: &Path, bytes: usize) -> PathBuf {
        let name = bytes - root.as_os_str().len() - 1;
        let folder = root.join("x".repeat(name));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn the_longest_path_that_can_be_bound_is_in_the_store_and_the_next_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let session = root.join("session");
        fs::create_dir_all(session.join(SOCKETS)).unwrap();
        let longest = MAX_PATH_BYTES - SOCKET.len() - 1;
        let fitting = folder_of(&root, longest);
        let within = path_of(&fitting, Some(&session)).unwrap();
        assert_eq!(within, fitting.join(SOCKET));
        UnixListener::bind(&within).unwrap();
        let long = folder_of(&root, longest + 1);
        UnixListener::bind(long.join(SOCKET)).unwrap_err();
        let beside = path_of(&long, Some(&session)).unwrap();
        assert_eq!(beside.parent().unwrap(), session.join(SOCKETS));
        UnixListener::bind(&beside).unwrap();
        let none = path_of(&long, None).unwrap_err().to_string();
        assert!(
            none.contains("XDG_RUNTIME_DIR") && none.contains(&*root.to_string_lossy()),
            "{none}"
        );
        path_of(&long, Some(&long)).unwrap_err();
    }

    #[test]
    fn it_is_the_same_by_whatever_path_the_store_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let long = folder_of(&root, MAX_PATH_BYTES);
        let link = root.join("link");
        symlink(&long, &link).unwrap();
        let by_itself = path_of(&long, Some(&root)).unwrap();
        assert_eq!(path_of(&link, Some(&root)).unwrap(), by_itself);
        assert_eq!(path_of(&long.join("../link/."), Some(&root)).unwrap(), by_itself);
        let other = folder_of(&root, MAX_PATH_BYTES + 1);
        assert_ne!(path_of(&other, Some(&root)).unwrap(), by_itself);
        path_of(&root.join("absent"), Some(&root)).unwrap_err();
    }
}
