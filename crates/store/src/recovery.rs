//! Opening: from what is on disk to what readers see; sled's copy is made anew when it is wrong.

use std::{
    fs,
    sync::{Arc, PoisonError},
};

use spacefold_event_core::{Position, ReadError, Records, StorageError, Timestamp};

use crate::{
    block::index::{BlockIndex, kept},
    block::plan::BlockPlan,
    block::{self, Block},
    error::OpenError,
    folder::Folder,
    head::Head,
    head::file::HeadFile,
    journal::{
        JournalEnd,
        files::JournalFiles,
        frame::Frame,
        fresh_tail, heal,
        scan::{self, Scan},
        sealed_files::SealedFiles,
    },
    run::Run,
    shared::Shared,
    sled_copy::{self, SledCopy, SledError},
    view::View,
};

/// A store that has been read back.
pub(crate) struct Recovered {
    pub(crate) shared: Shared,
    pub(crate) end: JournalEnd,
}

/// Both copies, each checked against the other.
struct Loaded {
    /// HEAD, brought up to the sealed files.
    head: Head,
    sled: SledCopy,
    view: View,
    scan: Scan,
}

/// Why sled's copy is not taken as it is.
enum CopyFault {
    /// It is wrong: set it aside.
    Wrong(String),
    Failed(OpenError),
}

impl From<SledError> for CopyFault {
    fn from(error: SledError) -> Self {
        copy_fault(error)
    }
}

impl<E: Into<OpenError>> From<E> for CopyFault {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Reads a store back, and makes what is wrong of one copy anew from the other. The lock must be
/// held.
pub(crate) fn recover(folder: &Folder, journal_file_bytes: u64) -> Result<Recovered, OpenError> {
    let mut head_file = HeadFile::open(&folder.head(), folder.root())?;
    let head = head_file.head();
    if !head.clean || head.incarnation == 0 {
        folder.sync_names()?;
    }
    let loaded = match load_or_make_anew(folder, &mut head_file) {
        Err(damage @ OpenError::JournalDamaged { .. }) => {
            tracing::warn!(%damage, "mending the journal from what is whole");
            if !heal::heal(folder, &mut head_file)? {
                return Err(damage);
            }
            load_or_make_anew(folder, &mut head_file)?
        }
        loaded => loaded?,
    };
    let Loaded { head: known, sled, view, scan } = loaded;
    if head_file.head().sealed_through < known.sealed_through {
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
    let (files, end) = if was_closed || cfg!(feature = "bug-trust-cache") {
        let mut files = scan.files;
        files.spare.extend(scan.unused);
        (JournalFiles::new(folder, journal_file_bytes, files), scan.end)
    } else {
        // A file that was being made when the disk failed may never take what is written to it.
        remove_files(folder, &scan.unused);
        let files = JournalFiles::new(folder, journal_file_bytes, scan.files.clone());
        let end = fresh_tail::write(folder, &mut head_file, &files, &scan)?;
        (files, end)
    };
    let store_id = head_file.head().store_id;
    let shared = Shared::new(folder.clone(), store_id, head_file, view, sled, Arc::new(files));
    Ok(Recovered { shared, end })
}

/// Removes files of the journal that hold nothing. One that stays is in nobody's way.
fn remove_files(folder: &Folder, slots: &[u64]) {
    for path in slots.iter().map(|slot| folder.journal_file(*slot)) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "an unused journal file stays");
        }
    }
}

/// Loads both copies; sled's is made anew from the journal when it is wrong.
fn load_or_make_anew(folder: &Folder, head_file: &mut HeadFile) -> Result<Loaded, OpenError> {
    let sealed = SealedFiles::open(folder, head_file.head().store_id)?;
    let head = known_head(head_file.head(), &sealed, folder)?;
    match load(folder, &head, &sealed) {
        Ok(loaded) => Ok(loaded),
        Err(CopyFault::Failed(error)) => Err(error),
        Err(CopyFault::Wrong(what)) => {
            tracing::warn!(what, "sled's copy of the log is wrong: making it anew");
            let made = make_anew(folder, &head, &sealed)?;
            head_file.update(|head| head.healed += 1)?;
            Ok(made)
        }
    }
}

/// HEAD, brought up to the sealed files: a crash may have come between writing one and noting it.
pub(crate) fn known_head(
    head: &Head,
    sealed: &SealedFiles,
    folder: &Folder,
) -> Result<Head, OpenError> {
    if sealed.end() < head.sealed_through {
        return Err(OpenError::JournalDamaged {
            position: sealed.end().next(),
            file: folder.sealed(),
            offset: 0,
            what: format!("the sealed files end before position {}", head.sealed_through),
        });
    }
    let durable_head = head.durable_head.max(sealed.end());
    let (sealed_through, sealed_hash) = (sealed.end(), sealed.last_hash());
    Ok(Head { sealed_through, sealed_hash, durable_head, ..head.clone() })
}

/// Opens sled's copy and the journal, each checked against the other.
fn load(folder: &Folder, head: &Head, sealed: &SealedFiles) -> Result<Loaded, CopyFault> {
    if head.durable_head > Position::START && fs::symlink_metadata(folder.sled()).is_err() {
        return Err(CopyFault::Wrong("it is missing".to_owned()));
    }
    let sled = SledCopy::open(&folder.sled()).map_err(copy_fault)?;
    let (index, last) = read_copy(&sled, head, sealed)?;
    let known = head.durable_head.max(index.end());
    let end = index.end();
    let (view, scan) = read_journal(folder, head, known, index, last.as_ref())?;
    // Closing seals every full block there is.
    if head.clean && BlockPlan::next(view.tail.runs(), end.next()).is_some() {
        return Err(CopyFault::Wrong(format!("it ends at position {end}")));
    }
    Ok(Loaded { head: head.clone(), sled, view, scan })
}

/// Reads all of the journal, so that nothing of sled's copy is let go while that is the only one.
fn check_journal(folder: &Folder, head: &Head, sealed: &SealedFiles) -> Result<(), OpenError> {
    sealed.blocks_from(Position::new(1), &mut |_, _| Ok(()))?;
    scan::scan(folder, head, head.durable_head, &mut |_| Ok(())).map(drop)
}

/// Sets sled's copy aside, if one is there, and makes it anew from the journal.
fn make_anew(folder: &Folder, head: &Head, sealed: &SealedFiles) -> Result<Loaded, OpenError> {
    check_journal(folder, head, sealed)?;
    if fs::symlink_metadata(folder.sled()).is_ok() {
        sled_copy::set_aside(&folder.sled())?;
    }
    let made = SledCopy::open(&folder.sled()).map_err(copy_fault).and_then(|sled| {
        let (index, last) = read_copy(&sled, head, sealed)?;
        let (view, scan) = read_journal(folder, head, head.durable_head, index, last.as_ref())?;
        Ok(Loaded { head: head.clone(), sled, view, scan })
    });
    made.map_err(|fault| match fault {
        CopyFault::Failed(error) => error,
        CopyFault::Wrong(what) => {
            StorageError::new("making sled's copy of the log anew", what).into()
        }
    })
}

/// The index of the blocks that sled has, those of sealed files it lacked now among them, and the
/// last block.
fn read_copy(
    sled: &SledCopy,
    head: &Head,
    sealed: &SealedFiles,
) -> Result<(BlockIndex, Option<Records>), CopyFault> {
    let genesis = block::genesis(head.store_id);
    let mut last = None;
    let mut index = kept::load(sled, genesis, |end, hash| {
        let block = block_holding(sled, end, head)?;
        let block = block.filter(|block| block.hash == *hash);
        last = block.map(|block| block.records).filter(|last| last.last_position() == end);
        Ok::<_, CopyFault>(last.is_some())
    })?;
    while let Some(block) = block_at(sled, index.end().next(), head)? {
        if block.previous != index.last_hash() {
            return Err(CopyFault::Wrong("a block that does not follow the one before".to_owned()));
        }
        index.add(&block.records, block.hash);
        kept::keep_when_due(sled, &mut |change| change(&mut index)).map_err(copy_fault)?;
        last = Some(block.records);
    }
    let newest = sled.last_block().map_err(copy_fault)?;
    if newest.is_some_and(|newest| newest.first() > index.end()) {
        return Err(CopyFault::Wrong(format!("no block at position {}", index.end().next())));
    }
    sled.keep_places(sealed.places_from(index.end().next()))?;
    let mut gap = None;
    sealed.blocks_from(index.end().next(), &mut |block, bytes| {
        let first = block.records.first_position();
        if gap.is_none() && (first != index.end().next() || block.previous != index.last_hash()) {
            gap = Some(first);
        }
        if gap.is_some() {
            return Ok(());
        }
        let put = sled.put_block(first, bytes);
        put.map_err(|error| StorageError::new(format!("putting the block at {first}"), error))?;
        index.add(&block.records, block.hash);
        kept::keep_when_due(sled, &mut |change| change(&mut index))
            .map_err(|error| StorageError::new("keeping the index of the blocks", error))?;
        last = Some(block.records.clone());
        Ok(())
    })?;
    if let Some(first) = gap {
        return Err(CopyFault::Wrong(format!("it does not fit the sealed block at {first}")));
    }
    if head.sealed_through > Position::START {
        let block = block_holding(sled, head.sealed_through, head)?;
        if block.is_none_or(|block| block.hash != head.sealed_hash) {
            let what = format!("its block at {} is not the sealed one", head.sealed_through);
            return Err(CopyFault::Wrong(what));
        }
    }
    Ok((index, last))
}

/// The block that begins at a position.
fn block_at(sled: &SledCopy, first: Position, head: &Head) -> Result<Option<Block>, CopyFault> {
    let block = block_holding(sled, first, head)?;
    Ok(block.filter(|block| block.records.first_position() == first))
}

/// The last block that begins at or before a position.
fn block_holding(
    sled: &SledCopy,
    position: Position,
    head: &Head,
) -> Result<Option<Block>, CopyFault> {
    let stored = sled.block_at_or_before(position).map_err(copy_fault)?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    let block = block::decode(&stored.bytes(), head.store_id);
    let block = block.map_err(|error| CopyFault::Wrong(error.to_string()))?;
    if block.records.first_position() != stored.first() {
        return Err(CopyFault::Wrong(format!("another block at position {}", stored.first())));
    }
    Ok(Some(block))
}

/// Reads the journal behind the blocks into the tail, and checks that the last block is made of
/// what the journal holds.
fn read_journal(
    folder: &Folder,
    head: &Head,
    known: Position,
    index: BlockIndex,
    last: Option<&Records>,
) -> Result<(View, Scan), CopyFault> {
    let sealed_end = index.end();
    let last_recorded_at = last.map_or(Timestamp::MIN, Records::last_recorded_at);
    let mut view = View::new(index, last_recorded_at);
    let from = last.map_or(sealed_end.next(), Records::first_position);
    let mut differs = None;
    let scan = scan::scan(folder, head, known, &mut |frame| {
        if frame.header.last_position() < from {
            return Ok(());
        }
        for run in runs(frame)? {
            let difference = || last.and_then(|last| first_difference(last, &run.records));
            differs = differs.or_else(difference);
            if run.records.last_position() > sealed_end {
                view.publish(run);
            }
        }
        Ok(())
    })?;
    match differs {
        Some(position) => Err(CopyFault::Wrong(format!("another event at position {position}"))),
        None => Ok((view, scan)),
    }
}

/// The first position at which a block and an append hold different events.
fn first_difference(block: &Records, run: &Records) -> Option<Position> {
    let first = block.first_position().max(run.first_position());
    let end = block.last_position().min(run.last_position());
    let id = |records: &Records, position: Position| {
        let place = usize::try_from(position.since(records.first_position())).ok()?;
        records.event_ids().get(place).copied()
    };
    let mut positions = (first.get()..=end.get()).map(Position::new);
    positions.find(|position| id(block, *position) != id(run, *position))
}

pub(crate) fn runs(frame: &Frame<'_>) -> Result<Vec<Run>, OpenError> {
    let position = frame.header.first_position;
    let unpacked = frame.runs().map_err(|error| {
        StorageError::new(format!("unpacking the append at position {position}"), error)
    })?;
    Ok(unpacked)
}

fn copy_fault(error: SledError) -> CopyFault {
    match error {
        SledError::Broken(what) => CopyFault::Wrong(what),
        SledError::Storage(error) => CopyFault::Failed(error.into()),
        SledError::ProcessRestartRequired => CopyFault::Failed(OpenError::ProcessRestartRequired {
            what: SledError::ProcessRestartRequired.to_string(),
        }),
    }
}

/// Makes sled's copy of an open store anew: what is in sealed files at once, the rest goes back
/// into the tail, from which the sealer takes it again. Does nothing when that has been done since
/// `wrong` was found to be so.
pub(crate) fn rebuild_copy(shared: &Shared, wrong: &Arc<SledCopy>) -> Result<(), ReadError> {
    let _maintenance = shared.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
    // What is being filed counts as neither filed nor not.
    shared.progress.wait_until_filed();
    if !Arc::ptr_eq(&shared.sled()?, wrong) {
        return Ok(());
    }
    let head = {
        let head_file = shared.head_file.lock().unwrap_or_else(PoisonError::into_inner);
        head_file.head().clone()
    };
    let failed = |error: OpenError| match error {
        OpenError::Storage(error) => ReadError::Storage(error),
        other => StorageError::new("making sled's copy of the log anew", other).into(),
    };
    shared.replace_copy(|durable_head| {
        let sealed = SealedFiles::open(&shared.folder, shared.store_id).map_err(failed)?;
        check_journal(&shared.folder, &head, &sealed).map_err(failed)?;
        sled_copy::set_aside(&shared.folder.sled())?;
        let wrong = |fault| match fault {
            CopyFault::Failed(error) => failed(error),
            CopyFault::Wrong(what) => {
                StorageError::new("making sled's copy of the log anew", what).into()
            }
        };
        let sled = SledCopy::open(&shared.folder.sled()).map_err(copy_fault).map_err(wrong)?;
        let (index, last) = read_copy(&sled, &head, &sealed).map_err(wrong)?;
        let last_recorded_at = last.as_ref().map_or(Timestamp::MIN, Records::last_recorded_at);
        let sealed_end = index.end();
        let mut view = View::new(index, last_recorded_at);
        // The writer may be writing behind the durable head: what stands there is not ours yet.
        scan::scan(&shared.folder, &head, durable_head, &mut |frame| {
            let range = sealed_end.next()..=durable_head;
            if range.contains(&frame.header.last_position()) {
                let is_behind = |run: &Run| run.records.last_position() > sealed_end;
                runs(frame)?.into_iter().filter(is_behind).for_each(|run| view.publish(run));
            }
            Ok(())
        })
        .map_err(failed)?;
        Ok((sled.into(), view))
    })?;
    let mut head_file = shared.head_file.lock().unwrap_or_else(PoisonError::into_inner);
    head_file.update(|head| head.healed += 1)?;
    Ok(())
}
