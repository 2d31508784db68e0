//! What a rebuild needs of the projection that it folds anew, while that is read and folded on.

use spacefold_event_core::Position;

use super::{ProjectionSlot, pages::NextPage};
use crate::{
    generations::LeftBehind,
    projections::{
        error::CatchUpError,
        generation::{Frozen, Generation, Stopped},
    },
};

/// What a rebuild begins with.
pub(crate) struct RowsRebuildStart {
    /// What is read, as it is; `None` when nothing of this version is.
    pub(crate) old: Option<Frozen>,
    /// What is folded beside it: empty, or as far as an earlier rebuild has come.
    pub(crate) new: Generation,
}

impl ProjectionSlot {
    /// Begins to fold a new state, or goes on with the one that an earlier rebuild has left.
    pub(crate) fn begin_rebuild(&self, left: LeftBehind) -> Result<RowsRebuildStart, CatchUpError> {
        let _folding = self.fold_alone();
        let version = self.projection.version();
        let mut folded = self.folded_mut();
        // What is being made may be of another version of the projection.
        let left = if folded.building.is_some() { LeftBehind::Ignore } else { left };
        let left = match folded.generations.left_behind(left)? {
            Some(number) => Generation::load(&*self.log, &folded.generations, number)?,
            None => None,
        };
        let current = &folded.current;
        let is_there =
            folded.generations.current().is_some() || current.position() > Position::START;
        let old = (is_there && current.version() == version).then(|| current.frozen());
        let skipped = current.skipped().clone();
        let left = left.filter(|left| left.version() == version && *left.skipped() == skipped);
        let new = match left {
            Some(mut left) => {
                left.resume();
                left
            }
            None => Generation::empty(&mut folded.generations, version)?.skipping(&skipped),
        };
        folded.generations.rebuild(new.number());
        Ok(RowsRebuildStart { old, new })
    }

    /// Checkpoints a state that a rebuild folds, so that the next one finds it.
    pub(crate) fn keep_building(&self, new: &mut Generation) -> Result<(), CatchUpError> {
        let checkpointed = new.checkpoint(&*self.log)?;
        let _folding = self.fold_alone();
        let generations = &mut self.folded_mut().generations;
        generations.replace(generations.with_building(Some(new.number())))?;
        new.take_over(checkpointed);
        Ok(())
    }

    /// Puts a state that a rebuild has folded in the place of what is read, in one step, once it is
    /// as far.
    pub(crate) fn replace(&self, mut new: Generation) -> Result<(), CatchUpError> {
        let _folding = self.fold_alone();
        let to = self.folded().current.position();
        while new.position() < to {
            let next = new.position().next();
            match self.next_page(next, to)? {
                NextPage::Page(reading) => {
                    for envelope in reading.page.envelopes() {
                        new.apply(&*self.projection, envelope, self.around(&reading)).map_err(
                            |stopped| match stopped {
                                Stopped::Event(paused) => CatchUpError::Paused(paused),
                                Stopped::Table(error) => error.into(),
                            },
                        )?;
                    }
                }
                NextPage::Unreadable(paused) => {
                    if !new.pass(next) {
                        return Err(CatchUpError::Paused(paused));
                    }
                }
            }
        }
        let checkpointed = new.checkpoint(&*self.log)?;
        new.take_over(checkpointed);
        self.folded_mut().building = Some(new);
        self.swap()
    }

    /// Lets go of a state that a rebuild has folded, and of all others that are in no use.
    pub(crate) fn give_up_building(&self, new: Generation) -> Result<(), CatchUpError> {
        let _folding = self.fold_alone();
        let number = new.number();
        drop(new);
        self.folded_mut().generations.give_up(number, None)?;
        Ok(())
    }
}
