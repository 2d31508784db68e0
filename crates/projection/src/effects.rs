//! What the events of the log did to their spaces, for projections that go by it.

use std::sync::Arc;

use spacefold_event_core::{Page, Position, ReadError};
use spacefold_state::Effects;

/// Where the effects of events come from.
pub(crate) trait EffectSource: Send + Sync {
    /// The effects of the events after `after`, up to `to`, which are durable.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Corrupt`] with the first event whose effect is not known since it
    /// cannot be folded.
    fn effects(&self, after: Position, to: Position) -> Result<Effects, ReadError>;
}

/// A page of the log, and what its events did for a fold that goes by it.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) page: Page,
    pub(crate) effects: Option<Arc<Effects>>,
}

impl Reading {
    /// The page behind `after`, up to `to`.
    pub(crate) fn of(
        page: Page,
        (after, to): (Position, Position),
        effects: Option<&dyn EffectSource>,
    ) -> Result<Self, ReadError> {
        let up_to = page.next().previous().min(to);
        let effects = effects.map(|source| source.effects(after, up_to).map(Arc::new));
        Ok(Self { page, effects: effects.transpose()? })
    }
}
