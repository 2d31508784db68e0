//! Making an empty store.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process,
};

use spacefold_disk::Folder as DiskFolder;
use spacefold_event_core::{LogId, LogIdentity, Position, StorageError, StoreMode, Timestamp};

use crate::{
    block,
    environment::Environment,
    error::OpenError,
    folder::{HEAD, JOURNAL, LOCK, SEALED, StoreFolder, missing, parent_of},
    head::{Fence, Head, format_version::FormatVersion, sessions::Sessions},
    head_file::HeadFile,
};

/// Makes an empty store: complete in a folder beside, synced, then renamed into place, so that
/// whatever happens a store is absent or complete.
pub(crate) fn create(
    environment: &Environment,
    path: &Path,
    head: &Head,
    mode: StoreMode,
) -> Result<StoreFolder, OpenError> {
    let above = parent_of(path);
    environment.disk.create_folders(&above)?;
    let above = environment.disk.folder(&above)?.ok_or_else(|| missing(above))?;
    let name = path.file_name().unwrap_or_else(|| OsStr::new("store"));
    let beside = format!(".{}.new-{}", name.to_str().unwrap_or("store"), process::id()).into();
    let made = create_by_way_of(above.as_ref(), name, &beside, head, mode);
    if made.is_err() {
        // Nothing is left of what did not become a store; what cannot be removed is in nobody's way.
        let _ = above.remove_folder(&beside);
    }
    made?;
    above.sync()?;
    StoreFolder::open(environment, path)?
        .ok_or_else(|| OpenError::NoStore { path: path.to_owned() })
}

fn create_by_way_of(
    above: &dyn DiskFolder,
    name: &OsStr,
    beside: &OsString,
    head: &Head,
    mode: StoreMode,
) -> Result<(), StorageError> {
    above.remove_folder(beside)?;
    let root = above.create_folder(beside, mode)?;
    let journal = root.create_folder(JOURNAL.as_ref(), mode)?;
    let sealed = root.create_folder(SEALED.as_ref(), mode)?;
    root.create(LOCK)?;
    HeadFile::create(root.create(HEAD)?.as_ref(), head)?;
    [journal, sealed, root].iter().try_for_each(|folder| folder.sync())?;
    above.rename(beside.as_ref(), name.as_ref())
}

/// What a store says of itself that is empty, and whose log is its own.
pub(crate) fn new_head(store_id: [u8; 16]) -> Head {
    Head {
        format_version: FormatVersion::First,
        sequence: 0,
        store_id,
        incarnation: 0,
        durable_head: Position::START,
        clean: true,
        sealed_through: Position::START,
        sealed_hash: block::genesis(store_id),
        created_at: Timestamp::now(),
        healed: 0,
        fence: Fence::default(),
        witness: None,
        sessions: Sessions::default(),
        identity: LogIdentity::created(LogId::from_bytes(store_id)),
    }
}
