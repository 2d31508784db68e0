//! Opening: from what is on disk to what readers see.
//!
//! First HEAD, segments and journal are held against each other ([`parts`]), and whatever does not
//! fit is refused; a HEAD that is older than the journal is mended, and damage ([`heal`]). Nothing is
//! changed before that. Then the index of the blocks is brought up to the segments, and what
//! opening writes of its own comes last. Sled's copy is opened behind, and made anew when it is wrong
//! ([`copy`]).

pub(crate) mod compare;
mod copy;
pub(crate) mod heal;
mod older_head;
pub(crate) mod parts;

use std::sync::Arc;

use spacefold_disk::Access;
use spacefold_event_core::StorageError;

use self::parts::FittingParts;
use crate::{
    block::{
        self,
        index::kept::{FoundIndex, KeptIndex},
        plan::BlockPlan,
        segment::noted::NotedSegments,
    },
    copy_in_use::{Copy, Unopened},
    error::{OpenError, StorePart},
    folder::{StoreFolder, journal_name},
    head::Head,
    head_file::HeadFile,
    ids::IdIndex,
    journal::{JournalEnd, files::JournalFiles, fresh_tail},
    shared::SharedStore,
    view::LogView,
};

pub(crate) use self::copy::{go_back, rebuild as rebuild_copy};

/// A store that has been read back.
pub(crate) struct Recovered {
    pub(crate) shared: SharedStore,
    pub(crate) end: JournalEnd,
}

/// Reads a store back, and makes what is wrong of one copy anew from the other. The lock must be
/// held.
pub(crate) fn recover(
    folder: &StoreFolder,
    journal_file_bytes: u64,
) -> Result<Recovered, OpenError> {
    let mut head_file = HeadFile::open(folder)?;
    parts::check_folders(folder)?;
    let head = head_file.head();
    if !head.clean || head.incarnation == 0 {
        folder.sync_names()?;
    }
    let (parts, kept_index, view) = load(folder, &mut head_file)?;
    let FittingParts { head: known, sealed, scan, kin, .. } = parts;
    let ids = IdIndex::open(&folder.derived(), known.store_id, &sealed, true)?;
    if head_file.head().sealed_through < known.sealed_through {
        // Who wrote the segment may not have come to sync its name, in a session that appended nothing.
        folder.sync_names()?;
        head_file.update(|head| {
            (head.sealed_through, head.sealed_hash) = (known.sealed_through, known.sealed_hash);
            head.durable_head = known.durable_head;
        })?;
    }
    if let Some(cut) = &scan.cut {
        tracing::warn!(file = %cut.file.display(), offset = cut.offset, "cut a torn tail");
    }
    let head = head_file.head();
    let was_closed = head.clean && scan.end.head == head.durable_head;
    let is_there = folder.copies().is_there();
    let unopened = Unopened { head: known, sealed, kin, end: scan.end.head, was_closed, is_there };
    let (files, end) = if was_closed {
        let mut files = scan.files;
        let Headless { blank, used } = Headless::look(folder, &scan.headless);
        if head.incarnation == 0 {
            // The first file is made before HEAD says that anything is written: one that is here
            // was being made when that was stopped, and may never take what is written to it.
            remove_files(folder, &blank);
        } else {
            files.spare.extend(blank);
        }
        files.spare.extend(&scan.unfinished);
        let files = JournalFiles::new(folder, journal_file_bytes, files);
        if !used.is_empty() {
            // None may be left: a journal without any has lost them.
            files.prepare_first()?;
        }
        set_aside(folder, &used);
        (files, scan.end)
    } else {
        let (path, newest) = (folder.root().display(), scan.end.head);
        let unproved = scan.unwitnessed.len();
        tracing::info!(%path, %newest, unproved, "the store was not closed: it is recovered");
        let files = JournalFiles::new(folder, journal_file_bytes, scan.files.clone());
        files.prepare_first()?;
        let Headless { blank, used } = Headless::look(folder, &scan.headless);
        // A file that was being made when the disk failed may never take what is written to it.
        remove_files(folder, &blank);
        set_aside(folder, &used);
        remove_files(folder, &scan.unfinished);
        // A session that ended before it had a copy has not closed the store.
        let is_sealed =
            is_there && BlockPlan::next(view.tail.runs(), view.index.end().next()).is_none();
        let end = fresh_tail::write(folder, &mut head_file, &files, &scan, is_sealed)?;
        (files, end)
    };
    let copy = Copy::Unopened(Arc::new(unopened));
    let known = (kept_index, ids, view);
    let shared = SharedStore::new(folder.clone(), head_file, known, copy, files.into(), &end);
    Ok(Recovered { shared, end })
}

/// What readers see of a store before sled's copy is opened: the blocks of the segments, which the
/// index is brought up to and kept if it may be, then the frames behind them.
pub(crate) fn view(
    found: FoundIndex,
    parts: &FittingParts,
    may_write: bool,
) -> Result<(KeptIndex, LogView), OpenError> {
    let FittingParts { head, sealed, frames, .. } = parts;
    let is_end = |end, hash: &_| sealed.hash_at(end) == Some(*hash);
    let (kept_index, mut index) = found.open(block::genesis(head.store_id), is_end)?;
    kept_index.catch_up(&mut index, may_write, sealed.unnoted(), &|from, visit| {
        sealed.blocks_from(from, &mut |block, _| visit(block))
    })?;
    let mut view = LogView::new(index);
    frames.runs_behind(sealed.end())?.into_iter().for_each(|run| view.publish(run));
    Ok((kept_index, view))
}

/// How much of a file is looked at to tell whether it was used: what is written to one begins at
/// its start.
const LOOKED_AT_BYTES: usize = 64 << 10;

/// Files of the journal whose header does not read.
#[derive(Default)]
struct Headless {
    /// They have never been written to.
    blank: Vec<u64>,
    /// Nothing that is known of is in them, and yet they are set aside: they would be written over
    /// else.
    used: Vec<u64>,
}

impl Headless {
    fn look(folder: &StoreFolder, slots: &[u64]) -> Self {
        let is_blank = |slot| {
            let file = folder.open_journal_file(slot, Access::Read)?;
            Ok::<_, StorageError>(file.read_begin(LOOKED_AT_BYTES)?.iter().all(|byte| *byte == 0))
        };
        let mut found = Self::default();
        for slot in slots.iter().copied() {
            match is_blank(slot) {
                Ok(true) => found.blank.push(slot),
                Ok(false) => found.used.push(slot),
                // It stays where it is then, and is not used.
                Err(error) => tracing::warn!(%error, "a damaged journal file stays"),
            }
        }
        found
    }
}

/// Sets files of the journal aside. One that cannot be stays where it is, and is not used.
fn set_aside(folder: &StoreFolder, slots: &[u64]) {
    let mut aside = folder.journal_aside();
    for slot in slots {
        if let Err(error) = aside.take(&journal_name(*slot)) {
            tracing::warn!(%error, "a damaged journal file stays");
        }
    }
}

/// Removes files of the journal that hold nothing of their own. One that stays is in nobody's way.
fn remove_files(folder: &StoreFolder, slots: &[u64]) {
    for slot in slots {
        if let Err(error) = folder.remove_journal_file(*slot) {
            tracing::warn!(%error, "an unused journal file stays");
        }
    }
}

/// Reads the parts, and what readers see of them; damage is mended from sled's copy.
fn load(
    folder: &StoreFolder,
    head_file: &mut HeadFile,
) -> Result<(FittingParts, KeptIndex, LogView), OpenError> {
    match load_parts(folder, head_file) {
        Err(damage @ OpenError::JournalDamaged { .. }) => {
            tracing::warn!(%damage, "mending the journal from what is whole");
            if !heal::heal(folder, head_file, None)? {
                return Err(damage);
            }
            load_parts(folder, head_file)
        }
        loaded => loaded,
    }
}

fn load_parts(
    folder: &StoreFolder,
    head_file: &mut HeadFile,
) -> Result<(FittingParts, KeptIndex, LogView), OpenError> {
    let found = FoundIndex::look(&folder.derived());
    let (parts, mended) = read_parts(folder, head_file.head(), &found.noted_segments())?;
    copy::look_at_copy(folder, &parts)?;
    let (kept_index, view) = view(found, &parts, true)?;
    if let Some(mended) = mended {
        head_file.mend(mended);
    }
    Ok((parts, kept_index, view))
}

/// Reads the parts that lie in files of ours, but for the segments that are as they were noted; and what
/// HEAD should say, where it is older than they are. Nothing is changed.
pub(crate) fn read_parts(
    folder: &StoreFolder,
    head: &Head,
    noted: &NotedSegments,
) -> Result<(FittingParts, Option<Head>), OpenError> {
    parts::check_folders(folder)?;
    match parts::read(folder, head, noted) {
        Err(found @ OpenError::PartsDiffer { part: StorePart::Head, .. }) => {
            let mended = older_head::mend(folder, head, found)?;
            Ok((parts::read(folder, &mended, noted)?, Some(mended)))
        }
        read => Ok((read?, None)),
    }
}

/// Makes sled's copy anew from the journal, whatever the one that is there holds. The lock must be
/// held.
pub(crate) fn renew_copy(folder: &StoreFolder, head_file: &mut HeadFile) -> Result<(), OpenError> {
    let noted = NotedSegments::new();
    let (parts, mended) = read_parts(folder, head_file.head(), &noted)?;
    drop(copy::make_anew(folder, &parts.head, &parts.sealed)?);
    if let Some(mended) = mended {
        head_file.mend(mended);
    }
    Ok(head_file.update(|head| head.healed += 1)?)
}

#[cfg(test)]
mod tests;
