//! The states of the spaces as they are persisted, one at a time.

use spacefold_event_core::{Envelope, LogReader, Position, ReadError, Revision};
use spacefold_runs::RunsError;
use spacefold_state::{SpaceState, StateHash};

use super::effects::NewEffects;
use crate::{
    effects::EffectSource,
    kept_states::{Marker, StatesView},
    rebuild::RebuildError,
    replay::fold_space_while,
};

/// How many events are compared at a time.
const COMPARED_EVENTS: u64 = 1 << 16;

/// The persisted states, as they were when the rebuild began.
pub(super) struct OldStates {
    marker: Marker,
    view: StatesView,
    head: Position,
}

/// A persisted state, folded on.
pub(super) struct OldState {
    pub(super) state: SpaceState,
    /// Its hash; that of the new state where the two agree as of the revision of the further one.
    pub(super) hash: StateHash,
}

impl OldStates {
    pub(super) const fn new(marker: Marker, view: StatesView, head: Position) -> Self {
        Self { marker, view, head }
    }

    pub(super) const fn view(&self) -> &StatesView {
        &self.view
    }

    /// The first event of which the new states have another effect than these; of none where what is
    /// persisted of them is damaged, the first event.
    pub(super) fn effects_part(&self, new: &NewEffects) -> Result<Option<Position>, ReadError> {
        // Where they are damaged it is seen which.
        if matches!(new.are_just_those_of(&self.view), Ok(true)) {
            return Ok(None);
        }
        let end = self.marker.position().min(self.head);
        let mut after = Position::START;
        while after < end {
            let to = after.plus(COMPARED_EVENTS).min(end);
            let old = match self.view.effects(after, to) {
                Ok(old) => old,
                Err(RunsError::Storage(error)) => return Err(error.into()),
                Err(RunsError::Damaged { .. } | _) => return Ok(Some(after.next())),
            };
            let new = new.effects(after, to)?;
            if let Some(position) = old.first_difference(&new) {
                return Ok(Some(position));
            }
            after = to;
        }
        Ok(None)
    }

    /// The persisted state of a space, folded on to the head as far as it can be.
    ///
    /// What is wrong with it stays wrong, so that it is found: one that is damaged or lost is a
    /// space without a state, and one that is too old takes in nothing more. A state that is ahead
    /// of the head, since the store goes on meanwhile, is compared as of where it is.
    pub(super) fn state(
        &self,
        log: &dyn LogReader,
        new: &SpaceState,
    ) -> Result<Option<OldState>, RebuildError> {
        let persisted = self.view.state(new.space_id())?;
        let mut state = persisted.unwrap_or_else(|| SpaceState::new(new.space_id()));
        if state.revision() > new.revision() {
            let mut ahead = new.clone();
            let takes = |event: &Envelope<'_>| event.revision <= state.revision();
            fold_space_while(log, &mut ahead, log.durable_head(), takes, &mut |_, _, _| {})?;
            let hash = if ahead == state { new.state_hash() } else { state.state_hash() };
            return Ok(Some(OldState { state, hash }));
        }
        let (from, head) = (self.marker.position(), self.head);
        if state.revision() < new.revision() {
            let takes = |event: &Envelope<'_>| from < event.position;
            fold_space_while(log, &mut state, head, takes, &mut |_, _, _| {})?;
        }
        let hash = if state == *new { new.state_hash() } else { state.state_hash() };
        Ok((state.revision() > Revision::NONE).then_some(OldState { state, hash }))
    }
}
