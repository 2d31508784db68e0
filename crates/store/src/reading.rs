//! A store where nothing can be written: events are read from the sealed files and the journal
//! alone. Sled's copy is left as it is, since sled writes whenever it is opened; what only that has
//! answers with the reason. Nothing is changed, and nothing is appended.

use spacefold_event_core::{Position, ReadError, StorageError, Timestamp};

use crate::{
    block,
    block::index::BlockIndex,
    error::OpenError,
    folder::Folder,
    head::{Head, file::HeadFile},
    journal::{
        files::JournalFiles,
        scan::{self, Scan, unpack},
        sealed_files::SealedFiles,
    },
    recovery::{
        self, Recovered,
        parts::{Parts, known_head},
    },
    shared::Shared,
    view::View,
};

/// Reads a store back as far as that goes without changing it, since `why` nothing can be written.
/// The lock must be held.
///
/// Cost: reads every sealed file and all of the journal.
pub(crate) fn open(
    folder: &Folder,
    journal_file_bytes: u64,
    why: &StorageError,
) -> Result<Recovered, OpenError> {
    let mut head_file = HeadFile::open_to_read(folder)?;
    let (Parts { head, sealed, .. }, mended) = recovery::read_parts(folder, head_file.head())?;
    if let Some(mended) = mended {
        head_file.mend(mended);
    }
    let all = Position::new(u64::MAX);
    let (view, scan) = view(folder, &head, &sealed, (head.durable_head, all))?;
    let files = JournalFiles::new(folder, journal_file_bytes, scan.files);
    let end = scan.end;
    let shared = Shared::new(folder.clone(), head_file, view, why.clone(), files.into(), &end);
    shared.sealed.sealed_through(sealed.end());
    shared.progress.fail(why);
    Ok(Recovered { shared, end })
}

/// What readers see up to a position: the blocks of the sealed files, then the frames behind them.
/// Everything up to `known` was durable.
fn view(
    folder: &Folder,
    head: &Head,
    sealed: &SealedFiles,
    (known, to): (Position, Position),
) -> Result<(View, Scan), OpenError> {
    let mut index = BlockIndex::new(block::genesis(head.store_id));
    let mut last_recorded_at = Timestamp::MIN;
    sealed.blocks_from(Position::new(1), &mut |block, _| {
        index.add(&block.records, block.hash);
        last_recorded_at = block.records.last_recorded_at();
        Ok(())
    })?;
    let sealed_end = index.end();
    let mut view = View::new(index, last_recorded_at);
    let scan = scan::scan(folder, head, known, &mut |frame| {
        let last = frame.header.last_position();
        if sealed_end < last && last <= to {
            let behind = unpack(frame.header.first_position, frame.runs())?.into_iter();
            let behind = behind.filter(|run| run.records.last_position() > sealed_end);
            behind.for_each(|run| view.publish(run));
        }
        Ok(())
    })?;
    Ok((view, scan))
}

/// Goes on without sled's copy in an open store, where `why` it can be used no more: what it had
/// is read from the sealed files and the journal, and appends are refused.
pub(crate) fn go_on_without_copy(shared: &Shared, why: &StorageError) -> Result<(), ReadError> {
    tracing::error!(%why, "sled's copy of the log cannot be used: reading goes on without it");
    shared.progress.fail(why);
    let _maintenance = shared.lock_maintenance();
    // What is being filed counts as neither filed nor not.
    shared.progress.wait_until_filed();
    if !shared.has_usable_sled() {
        return Ok(());
    }
    let head = shared.lock_head_file().head().clone();
    let failed = |error: OpenError| match error {
        OpenError::Storage(error) => ReadError::Storage(error),
        other => StorageError::new("reading the log without sled's copy", other).into(),
    };
    shared.replace_copy(|durable_head| {
        let sealed = SealedFiles::open(&shared.folder, shared.store_id).map_err(failed)?;
        let head = known_head(&head, &sealed, &shared.folder).map_err(failed)?;
        let (view, _) =
            view(&shared.folder, &head, &sealed, (durable_head, durable_head)).map_err(failed)?;
        shared.sealed.sealed_through(sealed.end());
        Ok((why.clone().into(), view))
    })
}

#[cfg(test)]
mod tests;
