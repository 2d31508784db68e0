//! What events did, as a rebuild has found it.

use std::sync::Arc;

use spacefold_event_core::{Position, ReadError, StorageError};
use spacefold_runs::RunsError;
use spacefold_state::Effects;

use crate::{effects::EffectSource, kept_states::StatesView};

/// What the events did, as the new states have it.
pub(crate) struct NewEffects {
    persisted: StatesView,
    recent: Arc<Effects>,
}

impl NewEffects {
    pub(super) const fn new(persisted: StatesView, recent: Arc<Effects>) -> Self {
        Self { persisted, recent }
    }

    /// Whether these are seen at a glance to be those of other states; where they are not, they may be all
    /// the same.
    pub(super) fn are_just_those_of(&self, others: &StatesView) -> Result<bool, RunsError> {
        Ok(!self.persisted.has_rows() && others.has_just(&self.recent)?)
    }
}

impl EffectSource for NewEffects {
    fn effects(&self, after: Position, to: Position) -> Result<Effects, ReadError> {
        let effects = self.persisted.effects_with(&self.recent, after, to);
        Ok(effects.map_err(StorageError::from)?)
    }
}
