//! What a rebuild needs of the projection that it folds anew, while that is read and folded on.

use super::{ProjectionSlot, fold::NextPage, folding::FoldingAlone, loaded::RowsRebuildStart};
use crate::{
    generations::LeftBehind,
    projections::{error::CatchUpError, generation::Generation},
};

impl ProjectionSlot {
    /// Begins to fold a new state, or goes on with the one that an earlier rebuild has left.
    pub(crate) fn begin_rebuild(&self, left: LeftBehind) -> Result<RowsRebuildStart, CatchUpError> {
        let _folding = FoldingAlone::begin(self);
        self.folded_mut().begin_rebuild(&self.fold, left)
    }

    /// Checkpoints a state that a rebuild folds, so that the next one finds it.
    pub(crate) fn keep_building(&self, new: &mut Generation) -> Result<(), CatchUpError> {
        let checkpointed = new.checkpoint(&*self.fold.log)?;
        let _folding = FoldingAlone::begin(self);
        let generations = &mut self.folded_mut().generations;
        generations.replace(generations.with_building(Some(new.number())))?;
        new.take_over(checkpointed);
        Ok(())
    }

    /// Puts a state that a rebuild has folded in the place of what is read, in one step, once it is
    /// as far.
    pub(crate) fn replace(&self, mut new: Generation) -> Result<(), CatchUpError> {
        let folding = FoldingAlone::begin(self);
        let to = self.folded().current.position();
        while new.position() < to {
            let next = new.position().next();
            match self.fold.next_page(next, to)? {
                NextPage::Page(reading) => {
                    for envelope in reading.page.envelopes() {
                        self.fold.apply(&mut new, envelope, &reading)?;
                    }
                }
                NextPage::Unreadable(paused) => {
                    if !new.pass(next) {
                        return Err(CatchUpError::Paused(paused));
                    }
                }
            }
        }
        let checkpointed = new.checkpoint(&*self.fold.log)?;
        new.take_over(checkpointed);
        self.folded_mut().building = Some(new);
        folding.swap()
    }

    /// Lets go of a state that a rebuild has folded, and of all others that are in no use.
    pub(crate) fn give_up_building(&self, new: Generation) -> Result<(), CatchUpError> {
        let _folding = FoldingAlone::begin(self);
        let number = new.number();
        drop(new);
        Ok(self.folded_mut().generations.give_up(number, None)?)
    }
}
