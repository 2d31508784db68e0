//! The parts of a store that lie in files of ours, read and held against each other before anything
//! is changed, and before sled is opened: what is refused here leaves the folder as it was.

use spacefold_event_core::Position;

use super::compare::{self, Compare};
use crate::{
    block::segment::noted::NotedSegments,
    error::{OpenError, StorePart},
    folder::StoreFolder,
    head::Head,
    journal::{
        scan::{self, JournalScan, KeptFrames},
        segments::Segments,
    },
    kin::{self, Kin},
};

/// HEAD, segments and journal, which fit each other.
pub(crate) struct FittingParts {
    /// HEAD, brought up to the segments.
    pub(crate) head: Head,
    pub(crate) sealed: Segments,
    pub(crate) scan: JournalScan,
    /// The frames behind the segments, and perhaps some before.
    pub(crate) frames: KeptFrames,
    /// Whose sled's copy is.
    pub(crate) kin: Kin,
}

/// Reads the parts of a store, but for the segments that are as they were noted.
pub(crate) fn read(
    folder: &StoreFolder,
    head: &Head,
    noted: &NotedSegments,
) -> Result<FittingParts, OpenError> {
    let sealed = Segments::open_noted(folder, head.store_id, noted)?;
    let known_head = known_head(head, &sealed, folder)?;
    let kin = kin::judge(folder, head)?;
    let known = known_head.durable_head.max(kin.known());
    let (scan, frames) = scan::scan_and_keep(folder, &known_head, known, sealed.end())?;
    let parts = FittingParts { head: known_head, sealed, scan, frames, kin };
    if parts.sealed.end() > head.sealed_through {
        compare_newest_sealed(folder, head, &parts)?;
    }
    Ok(parts)
}

/// Makes sure that the folders are there that a store has from its first moment on. Nothing is made in
/// their place: what was in them would go unnoticed.
pub(crate) fn check_folders(folder: &StoreFolder) -> Result<(), OpenError> {
    let Some((part, what)) = folder.lost_part()? else { return Ok(()) };
    let what = format!("{what}: put the folder back with the files that belong to this HEAD");
    Err(differ(folder, part, what))
}

/// HEAD, brought up to the segments: a crash may have come between writing one and noting it.
pub(crate) fn known_head(
    head: &Head,
    sealed: &Segments,
    folder: &StoreFolder,
) -> Result<Head, OpenError> {
    if sealed.end() < head.sealed_through {
        return Err(OpenError::JournalDamaged {
            position: sealed.end().next(),
            file: folder.sealed_path(),
            offset: 0,
            what: format!("the segments end before position {}", head.sealed_through),
        });
    }
    if head.sealed_through > Position::START
        && sealed.hash_at(head.sealed_through) != Some(head.sealed_hash)
    {
        let what = format!(
            "HEAD knows another block that ends at position {}: one of them is of another copy of \
             the store",
            head.sealed_through
        );
        return Err(differ(folder, StorePart::Segments, what));
    }
    if head.clean && sealed.end() > head.durable_head {
        let what = format!(
            "it says that the store was closed at position {}, the segments go on to {}: HEAD is \
             older",
            head.durable_head,
            sealed.end()
        );
        return Err(differ(folder, StorePart::Head, what));
    }
    let durable_head = head.durable_head.max(sealed.end());
    let (sealed_through, sealed_hash) = (sealed.end(), sealed.last_hash());
    Ok(Head { sealed_through, sealed_hash, durable_head, ..head.clone() })
}

/// Compares segments that HEAD does not know with the journal. Until HEAD knows them the frames of
/// their events stay in it; where they do not, HEAD is older. Then the journal must have the frame that
/// HEAD has noted, and go on from what is in the segments.
fn compare_newest_sealed(
    folder: &StoreFolder,
    head: &Head,
    parts: &FittingParts,
) -> Result<(), OpenError> {
    let FittingParts { sealed, scan, frames, .. } = parts;
    let known = parts.head.durable_head;
    let all = match scan::scan_and_keep(folder, head, known, Position::new(u64::MAX)) {
        Ok((_, frames)) => Some(frames),
        Err(OpenError::JournalDamaged { .. }) => None,
        Err(error) => return Err(error),
    };
    let first = all.as_ref().map_or_else(
        || frames.first_position().max(head.sealed_through.next()),
        |_| head.sealed_through.next(),
    );
    let has_witness = head.witness.is_none() || scan.saw_witness;
    if all.is_none() && (!has_witness || first > sealed.end()) {
        let what = format!(
            "it knows segments up to position {}, they go on to {}, and the journal does not have \
             what is in those: HEAD is older, or they are of another copy of the store",
            head.sealed_through,
            sealed.end()
        );
        return Err(differ(folder, StorePart::Head, what));
    }
    let frames = all.as_ref().unwrap_or(frames);
    sealed.blocks_from(sealed.block_of(first)?, &mut |block, _| match compare::first_difference(
        &block.records,
        frames,
        Compare::Events,
    )? {
        None => Ok(()),
        Some(position) => {
            let what = format!("the journal has another event at position {position}");
            Err(differ(folder, StorePart::Segments, what))
        }
    })
}

pub(super) fn differ(folder: &StoreFolder, part: StorePart, what: String) -> OpenError {
    OpenError::PartsDiffer { path: folder.root().to_owned(), part, what }
}
