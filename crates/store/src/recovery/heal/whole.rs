//! The frames of the journal that are still whole, wherever they stand.

use std::collections::BTreeMap;

use spacefold_disk::Access;
use spacefold_event_core::{Position, Records, StorageError};

use super::other_copy::OtherCopy;
use crate::{
    folder::StoreFolder,
    head::{Head, extension::Witness},
    journal::{
        frame::{self, FrameHeader, GROUP_ALIGNMENT, OwnedFrame},
        scan::{FoundFiles, unpack},
    },
    recovery::compare::{self, Compare},
};

/// Every whole frame that counts, by its first position; of several at one, that of the latest
/// incarnation comes first.
pub(super) struct WholeFrames {
    frames: BTreeMap<Position, Vec<OwnedFrame>>,
    pub(super) synced_through: Position,
    /// A frame that HEAD has noted.
    witness: Option<Witness>,
    /// Where the log ends, when HEAD says so.
    closed_at: Option<Position>,
}

impl WholeFrames {
    pub(super) fn read(
        folder: &StoreFolder,
        head: &Head,
        found: &FoundFiles,
    ) -> Result<Self, StorageError> {
        let mut whole = Self {
            frames: BTreeMap::new(),
            synced_through: Position::START,
            witness: head.witness,
            closed_at: head.clean.then_some(head.durable_head),
        };
        for (place, file) in found.used.iter().enumerate() {
            whole.file(folder, file.slot, head, found.limit(place))?;
        }
        for slot in &found.headless {
            whole.file(folder, *slot, head, None)?;
        }
        whole.sort();
        Ok(whole)
    }

    /// Adds those of another copy of the store, as far as they are of sessions that HEAD knows.
    pub(super) fn add(&mut self, other: &dyn OtherCopy, head: &Head) -> Result<(), StorageError> {
        other.visit_frames(&mut |frame| {
            let header = &frame.header;
            if head.allows(header) && !head.sessions.excludes(header.incarnation) {
                self.frames.entry(header.first_position).or_default().push(frame.into());
            }
        })?;
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        for frames in self.frames.values_mut() {
            frames.sort_by_key(|frame| std::cmp::Reverse(frame.header.incarnation));
        }
    }

    fn file(
        &mut self,
        folder: &StoreFolder,
        slot: u64,
        head: &Head,
        limit: Option<Position>,
    ) -> Result<(), StorageError> {
        let bytes = folder.open_journal_file(slot, Access::Read)?.read_all()?;
        let mut offset = 0;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let Ok(frame) = frame::parse(rest, head.store_id, folder.schemas()) else {
                offset = (offset + 1).next_multiple_of(GROUP_ALIGNMENT);
                continue;
            };
            offset += frame.bytes.len();
            let header = &frame.header;
            self.synced_through = self.synced_through.max(header.synced_through);
            let is_ours = head.allows(header) && !head.sessions.excludes(header.incarnation);
            if is_ours && limit.is_none_or(|limit| header.first_position < limit) {
                self.frames.entry(header.first_position).or_default().push((&frame).into());
            }
        }
        Ok(())
    }

    /// The frames behind a position, each following the one before, and at least as far as another
    /// position.
    ///
    /// They must be of the journal that HEAD knows, and whole as far as can be told: when the store
    /// was not closed, nothing says that frames were the last ones but that they are there.
    pub(super) fn run_behind(&self, after: Position, through: Position) -> Option<Vec<OwnedFrame>> {
        let mut run: Vec<OwnedFrame> = Vec::new();
        let covers = |frame: &&OwnedFrame| frame.header.last_position() > after;
        // Of the latest incarnation: others may have been cut off as a torn tail.
        let starts = self.frames.range(..=after.next()).flat_map(|(_, frames)| frames);
        let mut next = starts.filter(covers).max_by_key(|frame| frame.header.incarnation);
        while let Some(frame) = next {
            let follows = frame.header.last_position().next();
            run.push(frame.clone());
            let behind = self.frames.get(&follows).map(Vec::as_slice).unwrap_or_default();
            next = behind.iter().find(|next| next.header.previous_crc == frame.header.crc);
        }
        let is_enough = super::run_end(&run, after) >= through;
        let is_last = self.closed_at.is_some_and(|end| end >= through) || !run.is_empty();
        (is_enough && is_last && self.fits_witness(&run, after)).then_some(run)
    }

    /// The first position at which a block holds another event than the whole frames do.
    pub(super) fn first_difference(
        &self,
        block: &Records,
    ) -> Result<Option<Position>, StorageError> {
        let (first, last) = (block.first_position(), block.last_position());
        for frame in self.frames.range(..=last).filter_map(|(_, frames)| frames.first()) {
            if frame.header.last_position() < first {
                continue;
            }
            for run in unpack(frame.header.first_position, frame.runs())? {
                let differs = compare::differs_at(block, &run.records, Compare::Events);
                if differs.is_some() {
                    return Ok(differs);
                }
            }
        }
        Ok(None)
    }

    /// Whether frames behind a position are those that HEAD has noted one of, as far as they go.
    fn fits_witness(&self, run: &[OwnedFrame], after: Position) -> bool {
        let Some(witness) = self.witness else { return true };
        let ends = |header: &FrameHeader| header.last_position() == witness.position;
        let found = run.iter().map(|frame| &frame.header).find(|header| ends(header));
        let follows = run.first().map(|frame| &frame.header);
        let follows = follows.filter(|header| header.first_position == witness.position.next());
        match (found, follows) {
            (Some(header), _) => header.crc == witness.crc,
            (None, Some(header)) => header.previous_crc == witness.crc,
            (None, None) => witness.position <= after,
        }
    }
}
