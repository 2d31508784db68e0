//! What a rebuild needs of the projection that it folds anew, while that is read and folded on.

use spacefold_event_core::Position;

use super::{Slot, pages::NextPage};
use crate::projections::{
    error::CatchUpError,
    generation::{Generation, Stopped},
    root::sweep_generations,
};

/// What a rebuild begins with.
pub(crate) struct Begun {
    /// What is read, as it is; `None` when nothing of this version is.
    pub(crate) old: Option<Generation>,
    /// What is folded beside it: empty, or as far as an earlier rebuild has come.
    pub(crate) new: Generation,
}

/// What to do with what an earlier rebuild, which was cut short, has folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftBehind {
    /// Fold on from there.
    GoOn,
    /// Remove it.
    Discard,
    /// Leave it as it is.
    Ignore,
}

impl Slot {
    /// Begins to fold a new state, or goes on with the one that an earlier rebuild has left.
    pub(crate) fn begin_rebuild(&self, left: LeftBehind) -> Result<Begun, CatchUpError> {
        let _folding = self.fold_alone();
        let version = self.projection.version();
        let (number, builds_version) = {
            let generations = self.generations();
            (generations.root.building, generations.building.is_some())
        };
        let left = match (left, number) {
            (LeftBehind::GoOn, Some(number)) if !builds_version => {
                Generation::load(&*self.log, self.place(number), number)?
            }
            (LeftBehind::Discard, Some(_)) if !builds_version => {
                let mut generations = self.generations_mut();
                let mut root = generations.root;
                root.building = None;
                root.store(&*self.store, self.projection.name())?;
                generations.root = root;
                let kept = generations.in_use();
                drop(generations);
                sweep_generations(&*self.store, self.projection.name(), &kept);
                None
            }
            _ => None,
        };
        let mut generations = self.generations_mut();
        let current = &generations.current;
        let is_there = generations.root.current.is_some() || current.position() > Position::START;
        let old = (is_there && current.version() == version).then(|| current.snapshot());
        let skipped = current.skipped().clone();
        let left = left.filter(|left| left.version() == version && *left.skipped() == skipped);
        let new = match left {
            Some(mut left) => {
                left.resume();
                left
            }
            None => {
                let number = generations.root.take_number();
                Generation::empty(self.place(number), number, version).skipping(&skipped)
            }
        };
        generations.rebuilding = Some(new.number());
        Ok(Begun { old, new })
    }

    /// Checkpoints a state that a rebuild folds, so that the next one finds it.
    pub(crate) fn keep_building(&self, new: &mut Generation) -> Result<(), CatchUpError> {
        let checkpointed = new.checkpoint()?;
        let _folding = self.fold_alone();
        let mut generations = self.generations_mut();
        let mut root = generations.root;
        root.building = Some(new.number());
        if root != generations.root {
            root.store(&*self.store, self.projection.name())?;
            generations.root = root;
        }
        drop(generations);
        new.take_over(checkpointed);
        Ok(())
    }

    /// Puts a state that a rebuild has folded in the place of what is read, in one step, once it is
    /// as far.
    pub(crate) fn replace(&self, mut new: Generation) -> Result<(), CatchUpError> {
        let _folding = self.fold_alone();
        let to = self.generations().current.position();
        while new.position() < to {
            let next = new.position().next();
            match self.next_page(next, to)? {
                NextPage::Page(page) => {
                    for envelope in page.envelopes() {
                        new.apply(&*self.projection, envelope).map_err(
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
        let checkpointed = new.checkpoint()?;
        new.take_over(checkpointed);
        {
            let mut generations = self.generations_mut();
            generations.rebuilding = None;
            generations.root.building = Some(new.number());
            generations.building = Some(new);
        }
        self.swap()
    }

    /// Lets go of a state that a rebuild has folded, and of all others that are in no use.
    pub(crate) fn give_up_building(&self, new: Generation) -> Result<(), CatchUpError> {
        let _folding = self.fold_alone();
        let number = Some(new.number());
        drop(new);
        let kept = {
            let mut generations = self.generations_mut();
            generations.rebuilding = None;
            if generations.root.building == number {
                let mut root = generations.root;
                root.building = None;
                root.store(&*self.store, self.projection.name())?;
                generations.root = root;
            }
            generations.in_use()
        };
        sweep_generations(&*self.store, self.projection.name(), &kept);
        Ok(())
    }

    /// An empty state that nothing will ever name: the next sweep removes what it leaves behind.
    pub(crate) fn scratch(&self) -> Generation {
        let mut generations = self.generations_mut();
        let number = generations.root.take_number();
        let version = self.projection.version();
        let skipped = generations.current.skipped().clone();
        Generation::empty(self.place(number), number, version).skipping(&skipped)
    }
}
