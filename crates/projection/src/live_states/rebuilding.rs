//! What a rebuild needs of the states that it folds anew, while they are read and folded on.

use super::{Begun, Held, LiveStates};
use crate::{
    generations::LeftBehind,
    kept_states::{KeptStates, Marker},
    rebuild::RebuildError,
};

impl LiveStates {
    /// Begins to fold new states, or goes on with those that an earlier rebuild has left.
    pub(crate) fn begin_rebuild(&self, left: LeftBehind) -> Result<Begun, RebuildError> {
        let mut held = self.held.lock();
        let persisted = self.persisted::<RebuildError>(&mut held.persisted)?;
        Ok(persisted.begin_rebuild(left)?)
    }

    /// Has the next rebuild find what this one has persisted.
    pub(crate) fn keep_building(&self, number: u64) -> Result<(), RebuildError> {
        let mut held = self.held.lock();
        let persisted = self.persisted::<RebuildError>(&mut held.persisted)?;
        Ok(persisted.keep_building(number)?)
    }

    /// Puts what a rebuild has folded in the place of what is read, in one step: the next use folds
    /// on from there.
    pub(crate) fn replace(&self, new: KeptStates, marker: Marker) -> Result<(), RebuildError> {
        let mut held = self.held.lock();
        let Held { live, persisted } = &mut *held;
        self.persisted::<RebuildError>(persisted)?.replace(new, marker)?;
        self.published.store(None);
        *live = None;
        Ok(())
    }

    /// Lets go of what a rebuild has folded, and of all other generations that are in no use.
    pub(crate) fn give_up_building(&self, number: u64) -> Result<(), RebuildError> {
        let mut held = self.held.lock();
        let persisted = self.persisted::<RebuildError>(&mut held.persisted)?;
        Ok(persisted.give_up_building(number)?)
    }
}
