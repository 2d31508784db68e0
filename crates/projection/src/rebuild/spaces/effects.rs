//! What events did, as a rebuild has found it.

use std::sync::Arc;

use spacefold_event_core::{Position, ReadError, StorageError};
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
}

impl EffectSource for NewEffects {
    fn effects(&self, after: Position, to: Position) -> Result<Effects, ReadError> {
        let effects = self.persisted.effects_with(&self.recent, after, to);
        Ok(effects.map_err(StorageError::from)?)
    }
}
