//! Repairing a store in its place: what is damaged of the log is mended from what is whole, here or in
//! another copy, where the chain proves that it fits; what can be made anew is. Whatever is replaced is
//! set aside first.

use std::path::Path;

use spacefold_disk::Access;
use spacefold_event_core::{Position, StorageError};

use crate::{
    aside,
    block::segment::noted::NotedSegments,
    clock,
    environment::Environment,
    error::OpenError,
    folder::{HEAD, StoreFolder},
    head_file::HeadFile,
    recovery::{self, heal::OtherCopy},
    remake::RemakeError,
    salvage::FoundCopy,
};

const DERIVED: &str = "derived";

/// What came of a [`repair_log`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// Whether anything of journal, segments or HEAD was damaged, and is mended.
    pub log_mended: bool,
    /// The position of the last event.
    pub head: Position,
    /// What was set aside, by its name in the folder of the store: it may be deleted once the store has
    /// proved to be good.
    pub set_aside: Vec<String>,
}

/// Mends the log of the store at `path`, which nobody may have open, and makes what is derived of it
/// anew: sled's copy here, indexes of blocks and ids by the next opening, states and rows by whoever
/// folds them. What the store lacks is taken from its own parts, and from the store in the folder
/// `other`, in whatever condition that is: only where the chain proves that it fits.
///
/// What is replaced stays beside, under a name that ends in `.set-aside-<n>`.
///
/// # Errors
/// [`RemakeError::Open`] with what is still wrong: of the log nothing is changed then, and
/// [`salvage`](crate::salvage) takes what is whole into a new store. [`RemakeError::NothingThere`] where
/// `other` has nothing of this store.
///
/// # Cost
/// Reads every byte of the journal and its segments, and of `other`, and writes sled's copy.
pub fn repair_log(path: &Path, other: Option<&Path>) -> Result<RepairReport, RemakeError> {
    clock::check()?;
    let environment = Environment::default();
    let no_store = || OpenError::NoStore { path: path.to_owned() };
    let folder = StoreFolder::open(&environment, path)?.ok_or_else(no_store)?;
    let before = names(&folder)?;
    let lock = folder.lock()?;
    match repair(&folder, other) {
        Ok(report) => {
            let set_aside = names(&folder)?.into_iter().filter(|name| !before.contains(name));
            let set_aside = set_aside.filter(|name| name.contains(".set-aside-")).collect();
            drop(lock);
            Ok(RepairReport { set_aside, ..report })
        }
        Err(error) => {
            lock.give_back();
            Err(error)
        }
    }
}

fn names(folder: &StoreFolder) -> Result<Vec<String>, StorageError> {
    let mut names = folder.held().names()?;
    names.sort();
    Ok(names)
}

fn repair(folder: &StoreFolder, other: Option<&Path>) -> Result<RepairReport, RemakeError> {
    let mut head_file = HeadFile::open(folder)?;
    let store_id = head_file.head().store_id;
    let other = other.map(|path| (path, FoundCopy::look(path, store_id))).map(|(path, found)| {
        let found = found?;
        let nothing = || RemakeError::NothingThere { path: path.to_owned() };
        if found.is_empty() { Err(nothing()) } else { Ok(found) }
    });
    let other = other.transpose()?;
    recovery::parts::check_folders(folder)?;
    let head = keep_copy_of_head(folder)?;
    let has_damaged_slot = head_file.is_damaged();
    let healed = recovery::heal::heal(
        folder,
        &mut head_file,
        other.as_ref().map(|other| other as &dyn OtherCopy),
    );
    // Whether what is there now is a store is for opening to say.
    let read = healed.and_then(|healed| {
        let (parts, older_head) =
            recovery::read_parts(folder, head_file.head(), &NotedSegments::new())?;
        Ok((healed, parts.scan.end.head, older_head))
    });
    let (healed, end, older_head) = match read {
        Ok(read) => read,
        Err(error) => {
            folder.held().remove(&head)?;
            return Err(error.into());
        }
    };
    let log_mended = healed || has_damaged_slot || older_head.is_some();
    if has_damaged_slot || older_head.is_some() {
        older_head.into_iter().for_each(|mended| head_file.mend(mended));
        head_file.update(|head| head.healed += 1)?;
        head_file.update(|_| {})?;
    }
    recovery::renew_copy(folder, &mut head_file)?;
    set_derived_aside(folder)?;
    Ok(RepairReport { log_mended, head: end, set_aside: Vec::new() })
}

/// Copies HEAD beside itself, and answers the name: it is written in its place.
fn keep_copy_of_head(folder: &StoreFolder) -> Result<String, StorageError> {
    let root = folder.held();
    let name = aside::free_name(root.as_ref(), HEAD)?;
    let bytes = folder.open_head(Access::Read)?.read_all()?;
    let kept = root.create(&name)?;
    kept.write_all_at(&bytes, 0)?;
    kept.sync_all()?;
    root.sync()?;
    Ok(name)
}

/// Sets aside what is derived, which is made anew.
fn set_derived_aside(folder: &StoreFolder) -> Result<(), StorageError> {
    let root = folder.held();
    if root.folder(DERIVED.as_ref())?.is_none() {
        return Ok(());
    }
    let name = aside::free_name(root.as_ref(), DERIVED)?;
    root.rename(DERIVED.as_ref(), name.as_ref())?;
    root.sync()
}
