//! What a rebuild needs of the states that it folds anew, while they are read and folded on.

use spacefold_event_core::{ReadError, StorageError};

use super::{FoldingState, LiveStates, persisted::StatesRebuildStart};
use crate::{
    generations::LeftBehind,
    kept_states::{KeptStates, Marker},
};

impl LiveStates {
    /// Begins to fold new states, or goes on with those that an earlier rebuild has left.
    pub(crate) fn begin_rebuild<E: From<ReadError> + From<StorageError>>(
        &self,
        left: LeftBehind,
    ) -> Result<StatesRebuildStart, E> {
        let mut held = self.held.lock();
        let persisted = self.persisted::<E>(&mut held.persisted)?;
        Ok(persisted.begin_rebuild(left)?)
    }

    /// Has the next rebuild find what this one has persisted.
    pub(crate) fn keep_building<E: From<ReadError> + From<StorageError>>(
        &self,
        number: u64,
    ) -> Result<(), E> {
        let mut held = self.held.lock();
        let persisted = self.persisted::<E>(&mut held.persisted)?;
        Ok(persisted.keep_building(number)?)
    }

    /// Puts what a rebuild has folded in the place of what is read, in one step: the next use folds
    /// on from there.
    pub(crate) fn replace<E: From<ReadError> + From<StorageError>>(
        &self,
        new: KeptStates,
        marker: Marker,
    ) -> Result<(), E> {
        let mut held = self.held.lock();
        let FoldingState { live, persisted } = &mut *held;
        self.persisted::<E>(persisted)?.replace(new, marker)?;
        self.published.store(None);
        *live = None;
        Ok(())
    }

    /// Lets go of what a rebuild has folded, and of all other generations that are in no use.
    pub(crate) fn give_up_building<E: From<ReadError> + From<StorageError>>(
        &self,
        number: u64,
    ) -> Result<(), E> {
        let mut held = self.held.lock();
        let persisted = self.persisted::<E>(&mut held.persisted)?;
        Ok(persisted.give_up_building(number)?)
    }
}
