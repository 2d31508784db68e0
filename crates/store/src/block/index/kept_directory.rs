//! The directory of the blocks that are kept: found by position, by number and by time, a row of it at a
//! time.

use spacefold_event_core::{Position, Revision, Timestamp};
use spacefold_runs::RunsError;

use super::{
    directory::{BlockEntry, DirectoryRow},
    rows::{self, KeptPostings},
};

impl KeptPostings {
    /// The first position of the block that holds a position; `None` where none does.
    pub(crate) fn block_of(&self, position: Position) -> Result<Option<Position>, RunsError> {
        let row = self.row_at(position)?;
        let block = row.as_ref().and_then(|row| row.block_at(position));
        Ok(block.map(|(_, entry)| entry.first()))
    }

    /// The first position of the last block whose first event was recorded at or before `time`, among
    /// those up to a position.
    ///
    /// # Cost
    /// A look at a page for each halving of the rows.
    pub(crate) fn block_as_of(
        &self,
        time: Timestamp,
        end: Position,
    ) -> Result<Option<Position>, RunsError> {
        let (mut low, mut high) = (1, end.get().saturating_add(1));
        let mut found = None;
        while low < high {
            let Some(row) = self.row_at(Position::new(low.midpoint(high)))? else { break };
            let begun = row.begun_by(time);
            match begun.checked_sub(1).and_then(|last| row.entries.get(last)) {
                Some(last) => {
                    found = Some(last.first());
                    if begun < row.entries.len() {
                        break;
                    }
                    low = row.end.next().get();
                }
                None => high = row.first().map_or(low, Position::get),
            }
        }
        Ok(found)
    }

    /// The first position of the block that holds this revision of a space, if one does.
    pub(crate) fn first_of_revision(
        &self,
        space_id: &str,
        revision: Revision,
    ) -> Result<Option<Position>, RunsError> {
        let Some(block) = self.block_of_revision(space_id, revision)? else { return Ok(None) };
        let found = BlocksByNumber::of(self).get(block)?;
        Ok(found.map(|(entry, _)| entry.first()))
    }

    pub(super) fn row_at(&self, position: Position) -> Result<Option<DirectoryRow>, RunsError> {
        let row = self.0.floor(&rows::directory_key(position))?;
        Ok(row.and_then(|(_, value)| DirectoryRow::decode(&value)))
    }

    fn row_of(&self, block: u32) -> Result<Option<DirectoryRow>, RunsError> {
        let Some((_, first)) = self.0.floor(&rows::number_key(block))? else { return Ok(None) };
        let first = first.first_chunk().map(|first| u64::from_le_bytes(*first));
        first.map_or(Ok(None), |first| self.row_at(Position::new(first)))
    }
}

/// Looks blocks up by their numbers, which mostly rise.
pub(super) struct BlocksByNumber<'k> {
    kept: &'k KeptPostings,
    row: Option<DirectoryRow>,
}

impl<'k> BlocksByNumber<'k> {
    pub(super) const fn of(kept: &'k KeptPostings) -> Self {
        Self { kept, row: None }
    }

    /// A block, and the position of its last event; `None` where it is not kept.
    pub(super) fn get(&mut self, block: u32) -> Result<Option<(BlockEntry, Position)>, RunsError> {
        let is_in = |row: &DirectoryRow| row.block(block).is_some();
        if !self.row.as_ref().is_some_and(is_in) {
            self.row = self.kept.row_of(block)?;
        }
        let found = self.row.as_ref().and_then(|row| row.block(block));
        Ok(found.map(|(entry, last)| (*entry, last)))
    }
}
