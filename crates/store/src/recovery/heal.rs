//! Mending the journal: what is damaged is taken from sled's blocks, where their chain proves that
//! they are this store's and fit, and from the frames that are still whole.

mod blocks;
mod other_copy;
mod segment_plan;
mod whole;

use spacefold_event_core::Position;

pub(crate) use self::other_copy::OtherCopy;
use self::{
    blocks::{Blocks, ChainEnd},
    segment_plan::SegmentPlan,
    whole::WholeFrames,
};
use crate::{
    block::{self, EncodedBlock},
    error::OpenError,
    folder::{StoreFolder, journal_name},
    head::{Fence, Head},
    head_file::HeadFile,
    journal::{
        JournalEnd,
        files::{FileSet, JournalFiles},
        frame::OwnedFrame,
        fresh_tail,
        scan::{self, FoundFiles},
        segments,
    },
    kin,
};

/// Mends whatever of the journal can be mended, from another copy of the store too, if there is one;
/// whether anything was. The lock must be held. Nothing is changed unless every event that is known to
/// have been durable is there afterwards.
///
/// # Errors
/// [`OpenError::PartsDiffer`] when the parts are not all of this store and of one time.
pub(crate) fn heal(
    folder: &StoreFolder,
    head_file: &mut HeadFile,
    other: Option<&dyn OtherCopy>,
) -> Result<bool, OpenError> {
    let head = head_file.head().clone();
    let kin = kin::judge(folder, &head)?;
    let sled = Blocks::new(folder, &head, kin, other);
    let found = FoundFiles::list(folder, &head)?;
    let mut whole = WholeFrames::read(folder, &head, &found)?;
    if let Some(other) = other {
        whole.add(other, &head)?;
    }
    let Some(sealed) = SegmentPlan::make(folder, &head, &sled, &whole)? else { return Ok(false) };
    let known = kin.known().max(head.durable_head).max(head.sealed_through);
    let frames = plan_frames(folder, &sled, &sealed.head, &whole, known)?;
    if matches!(frames, Frames::Lost) || matches!(frames, Frames::Whole) && sealed.is_idle(&head) {
        return Ok(false);
    }
    sealed.carry_out(folder, &sled)?;
    let sealed = sealed.head;
    match frames {
        Frames::Behind { blocks, run } => {
            write_frames(folder, head_file, &sealed, &blocks, &run, &found)?;
            // All that is known of has been written and synced in their place.
            let mut aside = folder.journal_aside();
            for file in &found.used {
                aside.take(&journal_name(file.slot))?;
            }
        }
        Frames::Whole | Frames::Lost => head_file.update(|head| {
            (head.sealed_through, head.sealed_hash) = (sealed.sealed_through, sealed.sealed_hash);
            head.durable_head = head.durable_head.max(sealed.sealed_through);
            head.healed += 1;
        })?,
    }
    Ok(true)
}

/// Where blocks end, and the hash of the last one; `None` when there are none.
fn end_of(blocks: &[EncodedBlock]) -> Option<ChainEnd> {
    let last = blocks.last()?;
    Some((block::peek(&last.bytes).ok()?.last_position(), last.hash))
}

/// What is behind the segments.
enum Frames {
    Whole,
    /// Blocks of sled's that follow, or none, and the whole frames behind them.
    Behind {
        blocks: Vec<EncodedBlock>,
        run: Vec<OwnedFrame>,
    },
    Lost,
}

/// What can be had of the events behind the segments. Nothing is changed.
fn plan_frames(
    folder: &StoreFolder,
    sled: &Blocks<'_>,
    head: &Head,
    frames: &WholeFrames,
    known: Position,
) -> Result<Frames, OpenError> {
    let known = known.max(frames.synced_through).max(head.sealed_through);
    match scan::scan(folder, head, known, &mut |_| Ok(())) {
        Ok(_) => return Ok(Frames::Whole),
        Err(OpenError::JournalDamaged { .. }) => {}
        Err(error) => return Err(error),
    }
    if let Some(run) = frames.run_behind(head.sealed_through, known) {
        return Ok(Frames::Behind { blocks: Vec::new(), run });
    }
    let blocks = sled.behind((head.sealed_through, head.sealed_hash));
    for block in &blocks {
        let block = block::decode(&block.bytes, head.store_id, folder.schemas()).ok();
        let differs = block.map(|block| frames.first_difference(&block.records)).transpose()?;
        if differs.flatten().is_some() {
            return Ok(Frames::Lost);
        }
    }
    let end = end_of(&blocks).map(|(end, _)| end);
    Ok(match end.and_then(|end| frames.run_behind(end, known)) {
        Some(run) => Frames::Behind { blocks, run },
        None => Frames::Lost,
    })
}

/// Writes what was found behind the segments: blocks to another one, frames to a new file.
fn write_frames(
    folder: &StoreFolder,
    head_file: &mut HeadFile,
    sealed: &Head,
    blocks: &[EncodedBlock],
    run: &[OwnedFrame],
    found: &FoundFiles,
) -> Result<(), OpenError> {
    let (mut sealed_end, mut sealed_hash) = (sealed.sealed_through, sealed.sealed_hash);
    if let Some(end) = end_of(blocks) {
        (sealed_end, sealed_hash) = end;
        // Before the file: one that HEAD does not know is held against the journal, which is damaged
        // there, and one that is missing is made again.
        head_file.update(|head| {
            (head.sealed_through, head.sealed_hash) = end;
            head.durable_head = head.durable_head.max(sealed_end);
        })?;
        segments::write(folder, sealed.store_id, blocks)?;
    }
    head_file.begin_incarnation(run_end(run, sealed_end), |head| {
        (head.sealed_through, head.sealed_hash) = (sealed_end, sealed_hash);
    })?;
    // Files that are there may hold frames of the run: a new one is written.
    let new = FileSet { next_slot: found.next_slot, ..FileSet::default() };
    let files = JournalFiles::new(folder, u64::MAX, new);
    let mut end = JournalEnd {
        slot: None,
        number: found.last_number(),
        offset: 0,
        crc: 0,
        head: run_end(run, sealed_end),
    };
    let position = fresh_tail::write_file(&files, head_file.head(), &mut end, run)?;
    Ok(head_file.update(|head| {
        head.durable_head = end.head;
        head.witness = end.witness();
        head.fence = Fence { position, incarnation: head.incarnation };
        head.healed += 1;
    })?)
}

fn run_end(run: &[OwnedFrame], sealed_end: Position) -> Position {
    run.last().map_or(sealed_end, |frame| frame.header.last_position())
}
