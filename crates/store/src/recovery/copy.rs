//! Sled's copy: taken as it is where it is right, made anew beside it where it is not. It is opened
//! while the store is in use already: nothing but what is damaged elsewhere waits for it.

use std::sync::Arc;

use spacefold_event_core::{Position, ReadError, Records, StorageError};

use super::{
    compare::{self, Compare},
    parts::FittingParts,
};
use crate::{
    block::{
        self, Block, EncodedBlock,
        plan::{self, BlockPlan},
    },
    copy_in_use::{Copy, Unopened},
    error::OpenError,
    folder::StoreFolder,
    head::Head,
    journal::{
        scan::{self, unpack},
        segments::Segments,
    },
    kin::Kin,
    lineage::Lineage,
    log_copy::SledError,
    log_copy::{Duplicate, LogCopy},
    reserve,
    run::RecordRun,
    shared::SharedStore,
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

const MAKING: &str = "rebuilding sled's copy of the log";

const OPENING: &str = "opening sled's copy of the log";

impl SharedStore {
    /// Sled's copy, opened if it is not yet: neither view nor HEAD may be locked for it, and nothing be
    /// held up by maintenance.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn sled(&self) -> Result<Arc<dyn LogCopy>, ReadError> {
        if self.copy.is_unopened() {
            open(self);
        }
        self.copy.opened()
    }
}

/// Opens sled's copy of an open store, unless another thread has. Where that fails the store takes
/// no appends any more, and is read without it.
fn open(shared: &SharedStore) {
    let _maintenance = shared.maintenance.lock();
    let Some(unopened) = shared.copy.unopened() else { return };
    let opened = open_or_make_anew(shared, &unopened).and_then(|opened| {
        if opened.was_wrong {
            let mut head_file = shared.head_file.lock();
            head_file.update(|head| head.healed += 1)?;
        }
        Ok(opened)
    });
    let failure = match opened {
        Ok(opened) => {
            // It has nothing of what was appended since.
            let lineage = Lineage { position: unopened.end, ..shared.lineage() };
            if unopened.kin == Kin::Unknown
                && let Err(error) = opened.sled.note_lineage(&lineage)
            {
                // It has been read through to know; the next opening need not.
                tracing::warn!(%error, "sled's copy does not say whose it is");
            }
            shared.adopt(opened.sled, opened.blocks);
            return;
        }
        Err(OpenError::Storage(error)) => error,
        Err(error) => StorageError::new(OPENING, error),
    };
    let failure = shared.fail(failure);
    tracing::error!(%failure, "sled's copy of the log cannot be used: the store takes no appends");
    shared.copy.go_without(failure);
}

/// Blocks that no segment has, and what each holds.
type Unsealed = Vec<(Records, EncodedBlock)>;

/// Sled's copy, and the blocks of it that no segment has.
struct OpenedCopy {
    sled: Arc<dyn LogCopy>,
    blocks: Unsealed,
    was_wrong: bool,
}

fn open_or_make_anew(shared: &SharedStore, unopened: &Unopened) -> Result<OpenedCopy, OpenError> {
    let folder = &shared.folder;
    let runs: Vec<RecordRun> = {
        let view = shared.view();
        let runs = view.tail.runs();
        runs.take_while(|run| run.records.first_position() <= unopened.end).cloned().collect()
    };
    match open_checked(folder, unopened, &runs) {
        Err(CopyFault::Failed(OpenError::Storage(error)))
            if error.is_disk_full() && reserve::give_back(folder) =>
        {
            tracing::warn!(%error, "the disk is full: the space set aside was given back");
            open_or_make_anew(shared, unopened)
        }
        Err(CopyFault::Failed(error)) => Err(error),
        Ok((sled, blocks)) => Ok(OpenedCopy { sled, blocks, was_wrong: false }),
        Err(CopyFault::Wrong(what)) => {
            tracing::warn!(what, "sled's copy of the log is wrong: rebuilding it");
            let sled = make_anew(folder, &unopened.head, &unopened.sealed)?;
            Ok(OpenedCopy { sled, blocks: Vec::new(), was_wrong: true })
        }
    }
}

/// Opens sled's copy and holds it against the other parts: the blocks of segments that it lacks are
/// put into it, and those that it alone has are compared with the journal.
fn open_checked(
    folder: &StoreFolder,
    unopened: &Unopened,
    runs: &[RecordRun],
) -> Result<(Arc<dyn LogCopy>, Unsealed), CopyFault> {
    let Unopened { kin, head, sealed, .. } = unopened;
    if *kin == Kin::OtherStore {
        return Err(CopyFault::Wrong("it is another store's".to_owned()));
    }
    // The first session may have ended before it had one: nothing is sealed before.
    let had_copy = if unopened.was_closed { head.durable_head } else { sealed.end() };
    let needs_none = sealed.end() == Position::START && need_no_copy(runs);
    if had_copy > Position::START && !needs_none && !folder.copies().is_there() {
        return Err(CopyFault::Wrong("it is missing".to_owned()));
    }
    let sled = folder.copies().open()?;
    catch_up(sled.as_ref(), head, sealed)?;
    let blocks = unsealed_blocks(sled.as_ref(), unopened, runs)?;
    // Closing seals every full block there is, once there is a copy for it.
    let needs_none = needs_none && blocks.is_empty();
    let end = blocks.last().map_or(sealed.end(), |(records, _)| records.last_position());
    let behind = runs.iter().filter(|run| run.records.last_position() > end);
    if unopened.was_closed && !needs_none && BlockPlan::next(behind, end.next()).is_some() {
        return Err(CopyFault::Wrong(format!("it ends at position {end}")));
    }
    Ok((sled, blocks))
}

/// Whether the runs of a whole log are so little that no copy is made of them.
fn need_no_copy(runs: &[RecordRun]) -> bool {
    let records = runs.iter().map(|run| run.records.len()).sum();
    plan::needs_no_copy(records, runs.iter().map(RecordRun::body_bytes).sum())
}

/// Looks into a copy of the folder whether opening is refused for what sled has, where that does not say
/// whose it is: sled changes a folder that it opens. Where none can be made it is opened as it is.
pub(super) fn look_at_copy(folder: &StoreFolder, parts: &FittingParts) -> Result<(), OpenError> {
    let FittingParts { scan, sealed, kin, .. } = parts;
    if *kin != Kin::Unknown || !folder.copies().is_there() {
        return Ok(());
    }
    let Ok(duplicate) = Duplicate::of(folder.copies()) else {
        return Ok(());
    };
    let newest = duplicate.open().and_then(|sled| sled.last_block());
    let Ok(Some(newest)) = newest else { return Ok(()) };
    let newest = sealed.decode(&newest.bytes());
    if newest.is_ok_and(|newest| newest.records.last_position() > scan.end.head) {
        return Err(OpenError::JournalDamaged {
            position: scan.end.head.next(),
            file: scan.last_file.clone(),
            offset: scan.end.offset,
            what: format!("it ends at position {}", scan.end.head),
        });
    }
    Ok(())
}

/// Makes sled's copy anew from the segments, and sets the one that is there aside.
pub(super) fn make_anew(
    folder: &StoreFolder,
    head: &Head,
    sealed: &Segments,
) -> Result<Arc<dyn LogCopy>, OpenError> {
    // What is behind the segments may not be on the disk yet.
    let lineage = Lineage {
        store_id: head.store_id,
        position: sealed.end(),
        last_block_after: sealed.block_of(sealed.end())?.previous(),
        sessions: head.sessions.clone(),
    };
    replace(folder, head, sealed, &lineage)
}

/// Makes a copy of what is in the segments, whole and beside the one that is there; that one is
/// set aside only then.
fn replace(
    folder: &StoreFolder,
    head: &Head,
    sealed: &Segments,
    lineage: &Lineage,
) -> Result<Arc<dyn LogCopy>, OpenError> {
    let copies = folder.copies();
    copies.remove_beside()?;
    let make = || {
        let sled = copies.open_beside()?;
        sled.note_lineage(lineage)?;
        catch_up(sled.as_ref(), head, sealed)
    };
    if let Err(fault) = make() {
        copies.remove_beside()?;
        return Err(failed(fault));
    }
    copies.put_in_place()?;
    copies.open().map_err(|error| failed(error.into()))
}

/// Puts the blocks of segments into sled that it lacks at their end.
fn catch_up(sled: &dyn LogCopy, head: &Head, sealed: &Segments) -> Result<(), CopyFault> {
    let newest = block_holding(sled, Position::new(u64::MAX), sealed)?;
    let (mut end, mut hash) = newest.map_or_else(
        || (Position::START, block::genesis(head.store_id)),
        |newest| (newest.records.last_position(), newest.hash),
    );
    if end >= sealed.end() {
        let last = block_holding(sled, sealed.end(), sealed)?;
        let last = last.map(|block| (block.records.last_position(), block.hash));
        return match last == Some((sealed.end(), sealed.last_hash()))
            || sealed.end() == Position::START
        {
            true => Ok(()),
            false => Err(CopyFault::Wrong(format!(
                "its block at {} is not the sealed one",
                sealed.end()
            ))),
        };
    }
    sled.keep_places(&mut sealed.places_from(end.next())?.into_iter())?;
    let mut gap = None;
    sealed.blocks_from(end.next(), &mut |block, bytes| {
        let first = block.records.first_position();
        if gap.is_none() && (first != end.next() || block.previous != hash) {
            gap = Some(first);
        }
        if gap.is_none() {
            let put = sled.put_block(first, bytes);
            put.map_err(|error| StorageError::new(format!("putting the block at {first}"), error))?;
            (end, hash) = (block.records.last_position(), block.hash);
        }
        Ok(())
    })?;
    match gap {
        None => Ok(()),
        Some(first) => {
            Err(CopyFault::Wrong(format!("it does not fit the sealed block at {first}")))
        }
    }
}

/// The blocks that sled has and no segment, each of which holds what the journal does.
fn unsealed_blocks(
    sled: &dyn LogCopy,
    unopened: &Unopened,
    runs: &[RecordRun],
) -> Result<Unsealed, CopyFault> {
    let Unopened { kin, sealed, .. } = unopened;
    // One that says whose it is need not be read through to know.
    let compare = if matches!(kin, Kin::Own(_)) { Compare::Envelopes } else { Compare::Events };
    let (mut end, mut hash) = (sealed.end(), sealed.last_hash());
    let mut blocks = Vec::new();
    let newest = sled.last_block()?.map_or(Position::START, |newest| newest.first());
    while newest > end {
        let stored = sled.block_at_or_before(end.next())?;
        let stored = stored.filter(|stored| stored.first() == end.next());
        let Some(stored) = stored else {
            return Err(CopyFault::Wrong(format!("no block at position {}", end.next())));
        };
        let bytes = stored.bytes().into_owned();
        let block = decoded(&bytes, end.next(), sealed)?;
        let follows = block.previous == hash && block.verify_hash().is_ok();
        if !follows {
            return Err(CopyFault::Wrong("a block that does not follow the one before".to_owned()));
        }
        let records = block.records;
        (end, hash) = (records.last_position(), block.hash);
        if end > unopened.end {
            let what = format!(
                "sled's copy has events up to position {end}, the journal up to {}",
                unopened.end
            );
            return Err(StorageError::new(OPENING, what).into());
        }
        let differs =
            runs.iter().find_map(|run| compare::differs_at(&records, &run.records, compare));
        if let Some(position) = differs {
            return Err(CopyFault::Wrong(format!("another event at position {position}")));
        }
        blocks.push((records, EncodedBlock { bytes, hash }));
    }
    Ok(blocks)
}

/// The last block that begins at or before a position.
fn block_holding(
    sled: &dyn LogCopy,
    position: Position,
    sealed: &Segments,
) -> Result<Option<Block>, CopyFault> {
    let stored = sled.block_at_or_before(position)?;
    stored.map(|stored| decoded(&stored.bytes(), stored.first(), sealed)).transpose()
}

fn decoded(bytes: &[u8], first: Position, sealed: &Segments) -> Result<Block, CopyFault> {
    let block = sealed.decode(bytes);
    let block = block.map_err(|error| CopyFault::Wrong(error.to_string()))?;
    if block.records.first_position() != first {
        return Err(CopyFault::Wrong(format!("another block at position {first}")));
    }
    Ok(block)
}

/// Makes sled's copy of an open store anew: what is in segments at once, the rest goes back
/// into the tail, from which the sealer takes it again. Does nothing when that has been done since
/// `wrong` was found to be so.
pub(crate) fn rebuild(shared: &SharedStore, wrong: &Arc<dyn LogCopy>) -> Result<(), ReadError> {
    let _maintenance = shared.maintenance.lock();
    // What is being archived counts as neither archived nor not.
    shared.progress.wait_until_archived();
    if !Arc::ptr_eq(&shared.copy.opened()?, wrong) {
        return Ok(());
    }
    let head = {
        let head_file = shared.head_file.lock();
        head_file.head().clone()
    };
    // Nothing that is locked for it may be asked for while the copy is replaced.
    let mut lineage = shared.lineage();
    go_back(shared, &head, |sealed| {
        lineage.last_block_after = sealed.block_of(sealed.end())?.previous();
        replace(&shared.folder, &head, sealed, &lineage).map(Copy::Open)
    })?;
    let mut head_file = shared.head_file.lock();
    head_file.update(|head| head.healed += 1)?;
    Ok(())
}

/// Has an open store go back to the segments, with what is behind them in the tail, and to the copy
/// that is made of them. The sealer may not be at work, nor anything be archived.
pub(crate) fn go_back(
    shared: &SharedStore,
    head: &Head,
    make: impl FnOnce(&Segments) -> Result<Copy, OpenError>,
) -> Result<(), ReadError> {
    let failed = |error: OpenError| match error {
        OpenError::Storage(error) => ReadError::Storage(error),
        other => StorageError::new(MAKING, other).into(),
    };
    shared.replace_copy(|view| {
        let sealed = Segments::open(&shared.folder, shared.store_id).map_err(failed)?;
        let durable_head = view.durable_head();
        // The journal is read before the copy is let go: it may be the only one. The writer may be
        // writing behind the durable head: what stands there is not ours yet.
        let mut tail: Vec<RecordRun> = Vec::new();
        let behind = sealed.end().next()..=durable_head;
        let read = scan::scan(&shared.folder, head, durable_head, &mut |frame| {
            if behind.contains(&frame.header.last_position()) {
                tail.extend(unpack(frame.header.first_position, frame.runs())?);
            }
            Ok(())
        });
        read.map_err(failed)?;
        let copy = make(&sealed).map_err(failed)?;
        view.go_back_to(sealed.end());
        let is_behind = |run: &RecordRun| run.records.last_position() > sealed.end();
        tail.into_iter().filter(is_behind).for_each(|run| view.publish(run));
        shared.sealed.sealed_through(sealed.end());
        Ok(copy)
    })
}
