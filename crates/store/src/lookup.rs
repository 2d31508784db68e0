//! What is looked up in the index of the blocks: first what is in memory, then the postings that are
//! kept, without holding anybody up. An index that turns out to be damaged is made anew.

use std::{collections::BTreeMap, sync::RwLockReadGuard};

use spacefold_event_core::{
    EventFilter, Position, ReadError, Revision, StorageError, Timestamp, least_after,
};
use spacefold_runs::RunsError;

use crate::{
    block::{
        self,
        index::{Candidates, FoundBlocks, KeptPostings},
    },
    error::OpenError,
    journal::segments::Segments,
    shared::SharedStore,
    view::LogView,
};

/// Spaces whose revisions are brought into memory at a time.
const LOADED_SPACES: usize = 1_024;

impl SharedStore {
    /// The revision of a space at the durable head.
    ///
    /// # Cost
    /// None to speak of where it is in memory; else that of a look at a page, mostly.
    pub(crate) fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        if let Some(revision) = self.view().revision(space_id) {
            return Ok(revision);
        }
        let (view, found) = self.look_up(|kept| kept.revision(space_id))?;
        if let Some(revision) = view.revision(space_id) {
            return Ok(revision);
        }
        let Some(revision) = found else { return Ok(Revision::NONE) };
        let epoch = view.index.epoch();
        drop(view);
        let mut view = self.view_mut();
        if view.index.epoch() == epoch {
            view.index.note_revision(space_id, revision);
        }
        Ok(revision)
    }

    /// Some position at or before that of this revision of a space, in the same block or append;
    /// `None` when the space is not there yet.
    pub(crate) fn near_revision(
        &self,
        space_id: &str,
        revision: Revision,
    ) -> Result<Option<Position>, ReadError> {
        if revision == Revision::NONE || revision > self.revision(space_id)? {
            return Ok(None);
        }
        let in_memory = |view: &LogView| {
            let fresh = view.index.fresh_block_of_revision(space_id, revision);
            fresh.or_else(|| view.tail_near_revision(space_id, revision))
        };
        if let Some(near) = in_memory(&self.view()) {
            return Ok(Some(near));
        }
        let (view, kept) = self.look_up(|kept| kept.first_of_revision(space_id, revision))?;
        Ok(kept.or_else(|| in_memory(&view)))
    }

    /// The first position of the block that holds a position, which the index had on the disk; `None`
    /// where it has not any more.
    ///
    /// # Cost
    /// None to speak of where the segment was used before; else that of reading its index.
    pub(crate) fn kept_block_of(&self, position: Position) -> Result<Option<Position>, ReadError> {
        if let Some(first) = self.sealed.block_of(position) {
            return Ok(Some(first));
        }
        let (view, found) = self.look_up(|kept| kept.block_of(position))?;
        if found.is_none() && view.index.is_kept(position) {
            let doing = format!("looking for the block with position {position}");
            return Err(StorageError::new(doing, "the index of the blocks has none").into());
        }
        Ok(found)
    }

    /// The first position of the last block whose first event was recorded at or before `time`; and the
    /// position of the last event in a block then.
    pub(crate) fn block_as_of(
        &self,
        time: Timestamp,
    ) -> Result<(Option<Position>, Position), ReadError> {
        let end = {
            let index = &self.view().index;
            let fresh = index.block_as_of(time);
            if fresh.is_some() || index.end_of_kept() == Position::START {
                return Ok((fresh, index.end()));
            }
            index.end_of_kept()
        };
        let (view, kept) = self.look_up(|kept| kept.block_as_of(time, end))?;
        Ok((view.index.block_as_of(time).or(kept), view.index.end()))
    }

    /// The next blocks, or runs of the tail, from `from` on that may hold events that pass `filter`;
    /// `None` beyond the durable head.
    pub(crate) fn candidates(
        &self,
        from: Position,
        filter: &EventFilter,
    ) -> Result<Option<Candidates>, ReadError> {
        {
            let view = self.view();
            if from > view.index.end() {
                return Ok(view.tail_candidates(from, filter));
            }
            if filter.is_all() || !view.index.is_kept(from) {
                return Ok(Some(view.index.candidates(from, filter, FoundBlocks::default())));
            }
        }
        let (view, found) = self.look_up(|kept| FoundBlocks::find(kept, filter, from))?;
        Ok(match from <= view.index.end() {
            true => Some(view.index.candidates(from, filter, found)),
            false => view.tail_candidates(from, filter),
        })
    }

    /// The next spaces behind `after`, sorted.
    pub(crate) fn spaces_after(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ReadError> {
        let in_memory = |view: &LogView| {
            let all = view.index.spaces()?.map(|(id, _)| id);
            let all = all.chain(view.newest_spaces().map(|(id, _)| id));
            Some(least_after(all, after, limit))
        };
        if let Some(spaces) = in_memory(&self.view()) {
            return Ok(spaces);
        }
        let (view, kept) = self.look_up(|kept| kept.spaces(after, limit))?;
        let kept = kept.iter().map(|(id, _)| id.as_str());
        Ok(least_after(kept.chain(view.newest_spaces().map(|(id, _)| id)), after, limit))
    }

    /// The spaces with their revisions, sorted by id.
    pub(crate) fn spaces(&self) -> Result<Vec<(String, Revision)>, ReadError> {
        let in_memory = |view: &LogView| {
            let all = view.index.spaces()?.chain(view.newest_spaces());
            Some(all.map(|(id, revision)| (id.to_owned(), revision)).collect::<BTreeMap<_, _>>())
        };
        let found = in_memory(&self.view());
        let spaces = match found {
            Some(spaces) => spaces,
            None => {
                let (view, kept) = self.look_up(|kept| kept.spaces(None, usize::MAX))?;
                let newest = view.newest_spaces().map(|(id, revision)| (id.to_owned(), revision));
                kept.into_iter().chain(newest).collect()
            }
        };
        Ok(spaces.into_iter().collect())
    }

    /// Brings the revisions of all spaces into memory, as far as they have room there, until `is_over`.
    pub(crate) fn load_revisions(&self, is_over: impl Fn() -> bool) -> Result<(), ReadError> {
        let dropped = self.view().index.dropped_revisions();
        let mut after: Option<String> = None;
        while !is_over() {
            let (view, spaces) =
                self.look_up(|kept| kept.spaces(after.as_deref(), LOADED_SPACES))?;
            let epoch = view.index.epoch();
            drop(view);
            let mut view = self.view_mut();
            if view.index.epoch() != epoch {
                continue;
            }
            spaces.iter().for_each(|(id, revision)| view.index.note_revision(id, *revision));
            if view.index.dropped_revisions() != dropped {
                break;
            }
            let Some((last, _)) = spaces.into_iter().next_back() else {
                view.index.has_all_revisions(dropped);
                break;
            };
            after = Some(last);
        }
        Ok(())
    }

    /// Looks something up in what the index has on the disk; what was found, and the view that it is of.
    fn look_up<T>(
        &self,
        find: impl Fn(&KeptPostings) -> Result<T, RunsError>,
    ) -> Result<(RwLockReadGuard<'_, LogView>, T), ReadError> {
        let mut was_damaged = false;
        loop {
            let (epoch, kept) = {
                let index = &self.view().index;
                (index.epoch(), index.kept())
            };
            match find(&kept) {
                Ok(found) => {
                    let view = self.view();
                    if view.index.epoch() == epoch {
                        return Ok((view, found));
                    }
                }
                Err(error @ RunsError::Damaged { .. }) if !was_damaged => {
                    tracing::warn!(%error, "the index of the blocks is rebuilt");
                    was_damaged = true;
                    self.make_index_anew(epoch)?;
                }
                Err(error) => return Err(StorageError::from(error).into()),
            }
        }
    }

    /// Makes the index anew from the segments, unless that has been done since an epoch.
    pub(crate) fn make_index_anew(&self, epoch: u64) -> Result<(), ReadError> {
        let failed = |error: OpenError| match error {
            OpenError::Storage(error) => ReadError::Storage(error),
            other => StorageError::new("rebuilding the index of the blocks", other).into(),
        };
        let sealed = Segments::open(&self.folder, self.store_id).map_err(failed)?;
        let made = self.kept_index.make_anew(
            epoch,
            block::genesis(self.store_id),
            &mut |change| change(&mut self.view_mut().index),
            &|from, visit| sealed.blocks_from(from, &mut |block, _| visit(block)),
        );
        made.map_err(failed)
    }

    /// Writes what the index knows of the blocks up to one that ends at a position, all of which are in
    /// segments.
    pub(crate) fn keep_index(&self, through: Position) -> Result<(), StorageError> {
        let keep = || {
            let mut change = |change: &mut dyn FnMut(&mut _)| change(&mut self.view_mut().index);
            self.kept_index.keep(through, &mut change)
        };
        let epoch = self.view().index.epoch();
        match keep() {
            Err(error @ RunsError::Damaged { .. }) => {
                tracing::warn!(%error, "the index of the blocks is rebuilt");
                let made = self.make_index_anew(epoch);
                made.map_err(|error| StorageError::new("keeping the index of the blocks", error))?;
                Ok(keep()?)
            }
            kept => Ok(kept?),
        }
    }
}

#[cfg(test)]
mod tests;
