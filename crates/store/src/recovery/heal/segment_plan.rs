//! What is to become of the segments: which are made anew of sled's blocks, and which are in the
//! way, damaged or of another store.

use spacefold_event_core::{Position, StorageError};

use super::{
    blocks::{Blocks, ChainEnd},
    end_of,
    whole::WholeFrames,
};
use crate::{
    block::{self, Block},
    error::{OpenError, StorePart},
    folder::{StoreFolder, segment_name},
    head::Head,
    journal::segments,
};

/// What is to be done, all of which has been seen to be possible.
pub(super) struct SegmentPlan {
    /// HEAD, brought to where the segments end then.
    pub(super) head: Head,
    /// What files are to be made of: the blocks behind an end, up to a position.
    lacking: Vec<(ChainEnd, Position)>,
    /// The names of files that are not to be read.
    aside: Vec<Position>,
}

impl SegmentPlan {
    /// Looks at every byte of the segments; `None` when sled does not have what they lack.
    ///
    /// # Errors
    /// [`OpenError::PartsDiffer`] when some are of another copy of the store.
    pub(super) fn make(
        folder: &StoreFolder,
        head: &Head,
        sled: &Blocks<'_>,
        frames: &WholeFrames,
    ) -> Result<Option<Self>, OpenError> {
        let mut plan = Self { head: head.clone(), lacking: Vec::new(), aside: Vec::new() };
        let mut end = (Position::START, block::genesis(head.store_id));
        let firsts = folder.segment_firsts()?;
        let mut rest = firsts.as_slice();
        while let Some((first, later)) = rest.split_first() {
            let is_gap = *first > end.0.next();
            if *first <= end.0 {
                // What is before it goes on to behind its begin, and is proven to be ours.
                plan.aside.push(*first);
                rest = later;
                continue;
            }
            if !is_gap && let Some(found) = check(folder, head, *first, end, frames)? {
                end = found;
                rest = later;
                continue;
            }
            // Files are made up to where another one begins, if a block of sled's ends there.
            let begins = if is_gap { rest } else { later }.iter();
            let mut ends: Vec<Position> = begins.map(|first| first.previous()).collect();
            ends.push(head.sealed_through);
            ends.retain(|last| *last <= head.sealed_through);
            match plan.fill(sled, end, &ends) {
                Some(filled) => end = filled,
                // What HEAD does not know of is in the journal still, which is read for it.
                None if *first > head.sealed_through => {
                    if is_gap && segments::is_of(folder, *first, head.store_id)? {
                        return Ok(None);
                    }
                    plan.aside.push(*first);
                    rest = later;
                }
                None => return Ok(None),
            }
        }
        if end.0 < head.sealed_through {
            // Those that are missing; or else it takes sled to tell whose those are that are there.
            let ours = |end: ChainEnd| end.0 == Position::START || sled.have(end);
            match plan.fill(sled, end, &[head.sealed_through]) {
                Some(filled) => end = filled,
                None if ours(end) => {}
                None => return Ok(None),
            }
        }
        (plan.head.sealed_through, plan.head.sealed_hash) = end;
        Ok(Some(plan))
    }

    /// Has a file made behind an end, up to the first of some positions at which a block of sled's
    /// ends; where it ends then.
    fn fill(&mut self, sled: &Blocks<'_>, after: ChainEnd, ends: &[Position]) -> Option<ChainEnd> {
        let end = end_of(&sled.through(after, ends)?)?;
        self.lacking.push((after, end.0));
        Some(end)
    }

    /// Whether there is nothing to be done, as far as HEAD knows.
    pub(super) fn is_idle(&self, head: &Head) -> bool {
        self.lacking.is_empty()
            && self.aside.is_empty()
            && self.head.sealed_through >= head.sealed_through
    }

    /// Does it. What a new file takes the place of is set aside with what is in the way.
    pub(super) fn carry_out(
        &self,
        folder: &StoreFolder,
        sled: &Blocks<'_>,
    ) -> Result<(), OpenError> {
        let mut aside = folder.sealed_aside();
        let is_replaced =
            |first: &Position| self.lacking.iter().any(|(after, _)| after.0.next() == *first);
        for first in self.aside.iter().filter(|first| is_replaced(first)) {
            aside.keep(&segment_name(*first))?;
        }
        for (after, last) in &self.lacking {
            let gone =
                || StorageError::new("mending a segment", "sled's blocks cannot be read again");
            let blocks = sled.through(*after, &[*last]).ok_or_else(gone)?;
            segments::write(folder, self.head.store_id, &blocks)?;
        }
        for first in self.aside.iter().filter(|first| !is_replaced(first)) {
            aside.take(&segment_name(*first))?;
        }
        Ok(())
    }
}

/// Where a file ends that is whole and follows an end, and that HEAD and the journal know nothing
/// against; `None` when it is damaged, or not of this store.
fn check(
    folder: &StoreFolder,
    head: &Head,
    first: Position,
    after: ChainEnd,
    frames: &WholeFrames,
) -> Result<Option<ChainEnd>, OpenError> {
    let differs = |what: String| OpenError::PartsDiffer {
        path: folder.root().to_owned(),
        part: StorePart::Segments,
        what,
    };
    // Until HEAD knows of a file, the frames of its events stay.
    let is_unknown = first > head.sealed_through;
    let mut other = None;
    let mut visit = |block: &Block| {
        if is_unknown && other.is_none() {
            other = frames.first_difference(&block.records)?;
        }
        Ok(())
    };
    let found = segments::check(folder, head.store_id, first, after.1, &mut visit)?;
    if let (Some(_), Some(position)) = (found, other) {
        return Err(differs(format!("the journal has another event at position {position}")));
    }
    let Some((last, hash)) = found else { return Ok(None) };
    let passes = first <= head.sealed_through && head.sealed_through < last;
    if passes || last == head.sealed_through && hash != head.sealed_hash {
        return Err(differs(format!(
            "HEAD knows another block that ends at position {}: one of them is of another copy of \
             the store",
            head.sealed_through
        )));
    }
    Ok(Some((last, hash)))
}
