//! A store where nothing can be written: events are read from the segments and the journal
//! alone. Sled's copy is left as it is, since sled writes whenever it is opened; what only that has
//! answers with the reason. Nothing is changed, and nothing is appended.

use spacefold_event_core::{ReadError, StorageError};

use crate::{
    block::index::kept::FoundIndex,
    copy_in_use::Copy,
    error::OpenError,
    folder::StoreFolder,
    head_file::HeadFile,
    ids::IdIndex,
    journal::files::JournalFiles,
    recovery::{self, Recovered, parts::known_head},
    shared::SharedStore,
};

/// Reads a store back as far as that goes without changing it, since `why` nothing can be written.
/// The lock must be held.
///
/// Cost: as that of opening a store that can be written; what the index of the blocks lacks is read
/// each time.
pub(crate) fn open(
    folder: &StoreFolder,
    journal_file_bytes: u64,
    why: &StorageError,
) -> Result<Recovered, OpenError> {
    let mut head_file = HeadFile::open_to_read(folder)?;
    let found = FoundIndex::look(&folder.derived());
    let noted = found.noted_segments();
    let (parts, mended) = recovery::read_parts(folder, head_file.head(), &noted)?;
    if let Some(mended) = mended {
        head_file.mend(mended);
    }
    let (kept_index, view) = recovery::view(found, &parts, false)?;
    let store_id = head_file.head().store_id;
    let ids = IdIndex::open(&folder.derived(), store_id, &parts.sealed, false)?;
    let files = JournalFiles::new(folder, journal_file_bytes, parts.scan.files);
    let end = parts.scan.end;
    let copy = Copy::Unusable(why.clone());
    let known = (kept_index, ids, view);
    let shared = SharedStore::new(folder.clone(), head_file, known, copy, files.into(), &end);
    shared.sealed.sealed_through(parts.sealed.end());
    shared.progress.fail(why);
    Ok(Recovered { shared, end })
}

/// Goes on without sled's copy in an open store, where `why` it can be used no more: what it had
/// is read from the segments and the journal, and appends are refused.
pub(crate) fn go_on_without_copy(
    shared: &SharedStore,
    why: &StorageError,
) -> Result<(), ReadError> {
    tracing::error!(%why, "sled's copy of the log cannot be used: reading goes on without it");
    shared.progress.fail(why);
    let _maintenance = shared.lock_maintenance();
    // What is being archived counts as neither archived nor not.
    shared.progress.wait_until_archived();
    if !shared.copy.is_usable() {
        return Ok(());
    }
    let head = shared.lock_head_file().head().clone();
    recovery::go_back(shared, &head, |sealed| {
        known_head(&head, sealed, &shared.folder)?;
        Ok(Copy::Unusable(why.clone()))
    })
}

#[cfg(test)]
mod tests;
