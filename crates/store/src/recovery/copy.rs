//! Sled's copy: taken as it is where it is right, made anew beside it where it is not.

use std::sync::Arc;

use spacefold_event_core::{Position, ReadError, Records, StorageError, Timestamp};

use super::{
    compare::{self, Compare},
    parts::Parts,
};
use crate::{
    block::{
        self, Block,
        index::{BlockIndex, kept},
        plan::BlockPlan,
    },
    error::OpenError,
    folder::Folder,
    head::Head,
    journal::{
        scan::{self, unpack},
        sealed_files::SealedFiles,
    },
    kin::Kin,
    lineage::Lineage,
    log_copy::SledError,
    log_copy::{Duplicate, LogCopy},
    run::Run,
    shared::Shared,
    view::View,
};

/// Why sled's copy is not taken as it is.
pub(super) enum CopyFault {
    /// It is wrong: it is made anew.
    Wrong(String),
    Failed(OpenError),
}

impl From<SledError> for CopyFault {
    fn from(error: SledError) -> Self {
        match error {
            SledError::Broken(what) => Self::Wrong(what),
            SledError::Storage(error) => Self::Failed(error.into()),
            SledError::ProcessRestartRequired => Self::Failed(OpenError::ProcessRestartRequired {
                what: SledError::ProcessRestartRequired.to_string(),
            }),
        }
    }
}

impl<E: Into<OpenError>> From<E> for CopyFault {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// As an error, where nothing is left that could take the place of the copy.
fn failed(fault: CopyFault) -> OpenError {
    match fault {
        CopyFault::Failed(error) => error,
        CopyFault::Wrong(what) => StorageError::new(MAKING, what).into(),
    }
}

const MAKING: &str = "making sled's copy of the log anew";

/// Opens sled's copy, and checks it against the other parts.
pub(super) fn open(folder: &Folder, parts: &Parts) -> Result<(Arc<dyn LogCopy>, View), CopyFault> {
    let Parts { head, scan, .. } = parts;
    if parts.kin == Kin::OtherStore {
        return Err(CopyFault::Wrong("it is another store's".to_owned()));
    }
    if head.durable_head > Position::START && !folder.copies().is_there() {
        return Err(CopyFault::Wrong("it is missing".to_owned()));
    }
    if parts.kin == Kin::Unknown {
        look_at_copy(folder, parts)?;
    }
    let (sled, view) = open_checked(folder.copies().open()?, parts)?;
    // Closing seals every full block there is.
    let end = view.index.end();
    let is_whole = head.clean && scan.end.head == head.durable_head;
    if is_whole && BlockPlan::next(view.tail.runs(), end.next()).is_some() {
        return Err(CopyFault::Wrong(format!("it ends at position {end}")));
    }
    Ok((sled, view))
}

/// Looks into a copy of the folder whether opening is refused for what sled has: sled changes a folder
/// that it opens. Where none can be made it is opened as it is.
fn look_at_copy(folder: &Folder, parts: &Parts) -> Result<(), CopyFault> {
    let Ok(duplicate) = Duplicate::of(folder.copies()) else {
        return Ok(());
    };
    match duplicate.open().map_err(CopyFault::from).and_then(|sled| open_checked(sled, parts)) {
        Ok(_) | Err(CopyFault::Wrong(_)) => Ok(()),
        Err(CopyFault::Failed(error)) => Err(error.into()),
    }
}

fn open_checked(
    sled: Arc<dyn LogCopy>,
    parts: &Parts,
) -> Result<(Arc<dyn LogCopy>, View), CopyFault> {
    let Parts { head, sealed, scan, frames, kin } = parts;
    let (index, last) = read_copy(sled.as_ref(), head, sealed)?;
    if index.end() > scan.end.head {
        return Err(CopyFault::Failed(OpenError::JournalDamaged {
            position: scan.end.head.next(),
            file: scan.last_file.clone(),
            offset: scan.end.offset,
            what: format!("it ends at position {}", scan.end.head),
        }));
    }
    let differs = match (kin, &last) {
        // One that says whose it is need not be read through to know.
        (Kin::Own(_), Some(last)) => compare::first_difference(last, frames, Compare::Envelopes)?,
        _ => first_difference(sled.as_ref(), index.blocks_from(sealed.end().next()), parts)?,
    };
    if let Some(position) = differs {
        return Err(CopyFault::Wrong(format!("another event at position {position}")));
    }
    let last_recorded_at = last.as_ref().map_or(Timestamp::MIN, Records::last_recorded_at);
    let mut view = View::new(index, last_recorded_at);
    frames.runs_behind(view.index.end())?.into_iter().for_each(|run| view.publish(run));
    Ok((sled, view))
}

/// Compares blocks with the journal: the copy does not say whose it is.
fn first_difference(
    sled: &dyn LogCopy,
    blocks: impl Iterator<Item = Position>,
    parts: &Parts,
) -> Result<Option<Position>, CopyFault> {
    for first in blocks {
        let Some(block) = block_at(sled, first, &parts.sealed)? else {
            return Err(CopyFault::Wrong(format!("no block at position {first}")));
        };
        let records = &block.records;
        let differs = compare::first_difference(records, &parts.frames, Compare::Events)?;
        if differs.is_some() {
            return Ok(differs);
        }
    }
    Ok(None)
}

/// Makes sled's copy anew from the other parts, and sets the one that is there aside.
pub(super) fn make_anew(
    folder: &Folder,
    parts: &Parts,
) -> Result<(Arc<dyn LogCopy>, View), OpenError> {
    let Parts { head, sealed, .. } = parts;
    // What is behind the sealed files may not be on the disk yet.
    let lineage = Lineage {
        store_id: head.store_id,
        position: sealed.end(),
        last_block_after: sealed.block_of(sealed.end()).previous(),
        sessions: head.sessions.clone(),
    };
    replace(folder, head, sealed, &lineage)?;
    let sled = folder.copies().open().map_err(|error| failed(error.into()))?;
    open_checked(sled, parts).map_err(failed)
}

/// Makes a copy of what is in the sealed files, whole and beside the one that is there; that one is
/// set aside only then.
fn replace(
    folder: &Folder,
    head: &Head,
    sealed: &SealedFiles,
    lineage: &Lineage,
) -> Result<(), OpenError> {
    let copies = folder.copies();
    copies.remove_beside()?;
    let make = || {
        let sled = copies.open_beside()?;
        sled.note_lineage(lineage)?;
        let (mut index, _) = read_copy(sled.as_ref(), head, sealed)?;
        kept::keep(sled.as_ref(), &mut |change| change(&mut index))?;
        Ok::<_, CopyFault>(())
    };
    if let Err(fault) = make() {
        copies.remove_beside()?;
        return Err(failed(fault));
    }
    Ok(copies.put_in_place()?)
}

/// The index of the blocks that sled has, those of sealed files it lacked now among them, and the
/// last block.
fn read_copy(
    sled: &dyn LogCopy,
    head: &Head,
    sealed: &SealedFiles,
) -> Result<(BlockIndex, Option<Records>), CopyFault> {
    let genesis = block::genesis(head.store_id);
    let mut last = None;
    let mut index = kept::load(sled, genesis, |end, hash| {
        let block = block_holding(sled, end, sealed)?;
        let block = block.filter(|block| block.hash == *hash);
        last = block.map(|block| block.records).filter(|last| last.last_position() == end);
        Ok::<_, CopyFault>(last.is_some())
    })?;
    while let Some(block) = block_at(sled, index.end().next(), sealed)? {
        if block.previous != index.last_hash() {
            return Err(CopyFault::Wrong("a block that does not follow the one before".to_owned()));
        }
        index.add(&block.records, block.hash);
        kept::keep_when_due(sled, &mut |change| change(&mut index))?;
        last = Some(block.records);
    }
    let newest = sled.last_block()?;
    if newest.is_some_and(|newest| newest.first() > index.end()) {
        return Err(CopyFault::Wrong(format!("no block at position {}", index.end().next())));
    }
    sled.keep_places(&mut sealed.places_from(index.end().next()))?;
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
        let block = block_holding(sled, head.sealed_through, sealed)?;
        if block.is_none_or(|block| block.hash != head.sealed_hash) {
            let what = format!("its block at {} is not the sealed one", head.sealed_through);
            return Err(CopyFault::Wrong(what));
        }
    }
    Ok((index, last))
}

/// The block that begins at a position.
fn block_at(
    sled: &dyn LogCopy,
    first: Position,
    sealed: &SealedFiles,
) -> Result<Option<Block>, CopyFault> {
    let block = block_holding(sled, first, sealed)?;
    Ok(block.filter(|block| block.records.first_position() == first))
}

/// The last block that begins at or before a position.
fn block_holding(
    sled: &dyn LogCopy,
    position: Position,
    sealed: &SealedFiles,
) -> Result<Option<Block>, CopyFault> {
    let stored = sled.block_at_or_before(position)?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    let block = sealed.decode(&stored.bytes());
    let block = block.map_err(|error| CopyFault::Wrong(error.to_string()))?;
    if block.records.first_position() != stored.first() {
        return Err(CopyFault::Wrong(format!("another block at position {}", stored.first())));
    }
    Ok(Some(block))
}

/// Makes sled's copy of an open store anew: what is in sealed files at once, the rest goes back
/// into the tail, from which the sealer takes it again. Does nothing when that has been done since
/// `wrong` was found to be so.
pub(crate) fn rebuild(shared: &Shared, wrong: &Arc<dyn LogCopy>) -> Result<(), ReadError> {
    let _maintenance = shared.maintenance.lock();
    // What is being filed counts as neither filed nor not.
    shared.progress.wait_until_filed();
    if !Arc::ptr_eq(&shared.sled()?, wrong) {
        return Ok(());
    }
    let head = {
        let head_file = shared.head_file.lock();
        head_file.head().clone()
    };
    let read_error = |error: OpenError| match error {
        OpenError::Storage(error) => ReadError::Storage(error),
        other => StorageError::new(MAKING, other).into(),
    };
    // Nothing that is locked for it may be asked for while the copy is replaced.
    let lineage = shared.lineage();
    shared.replace_copy(|durable_head| {
        let (sled, view) =
            rebuild_from(shared, &head, lineage, durable_head).map_err(read_error)?;
        Ok((sled.into(), view))
    })?;
    let mut head_file = shared.head_file.lock();
    head_file.update(|head| head.healed += 1)?;
    Ok(())
}

fn rebuild_from(
    shared: &Shared,
    head: &Head,
    mut lineage: Lineage,
    durable_head: Position,
) -> Result<(Arc<dyn LogCopy>, View), OpenError> {
    let folder = &shared.folder;
    let sealed = SealedFiles::open(folder, shared.store_id)?;
    // The journal is read before the copy is let go: it may be the only one.
    scan::scan(folder, head, head.durable_head, &mut |_| Ok(()))?;
    lineage.last_block_after = sealed.block_of(sealed.end()).previous();
    replace(folder, head, &sealed, &lineage)?;
    let sled = folder.copies().open().map_err(|error| failed(error.into()))?;
    let (index, last) = read_copy(sled.as_ref(), head, &sealed).map_err(failed)?;
    let last_recorded_at = last.as_ref().map_or(Timestamp::MIN, Records::last_recorded_at);
    let sealed_end = index.end();
    let mut view = View::new(index, last_recorded_at);
    // The writer may be writing behind the durable head: what stands there is not ours yet.
    scan::scan(folder, head, durable_head, &mut |frame| {
        let range = sealed_end.next()..=durable_head;
        if range.contains(&frame.header.last_position()) {
            let is_behind = |run: &Run| run.records.last_position() > sealed_end;
            unpack(frame.header.first_position, frame.runs())?
                .into_iter()
                .filter(is_behind)
                .for_each(|run| view.publish(run));
        }
        Ok(())
    })?;
    Ok((sled, view))
}
