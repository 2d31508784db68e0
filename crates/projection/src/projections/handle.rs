//! What one reads a registered projection with.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use spacefold_event_core::Position;
use spacefold_state::StateHash;

use super::{error::CatchUpError, info::ProjectionInfo, slot::ProjectionSlot};
use crate::table::{TableError, TableView};

/// Reads a registered projection, while it is folded. Clones are cheap.
pub struct ProjectionHandle<P> {
    slot: Arc<ProjectionSlot>,
    projection: PhantomData<fn() -> P>,
}

impl<P> ProjectionHandle<P> {
    pub(crate) const fn new(slot: Arc<ProjectionSlot>) -> Self {
        Self { slot, projection: PhantomData }
    }

    #[cfg(test)]
    pub(crate) fn slot_for_tests(&self) -> &ProjectionSlot {
        &self.slot
    }

    /// Answers a query from the rows as of one position: as far as they are folded, or as of the
    /// version before while a new one is built.
    ///
    /// # Errors
    /// [`CatchUpError::Table`].
    ///
    /// # Cost
    /// Folding waits for the query.
    pub fn read<T>(
        &self,
        query: impl FnOnce(&TableView<'_>) -> Result<T, TableError>,
    ) -> Result<T, CatchUpError> {
        Ok(self.slot.read(query)?)
    }

    /// Folds up to the durable head as it is now, in this thread, and answers the position that is
    /// read then.
    ///
    /// # Errors
    /// [`CatchUpError`]; what was folded stays folded.
    pub fn catch_up(&self) -> Result<Position, CatchUpError> {
        self.slot.catch_up()
    }

    /// Folds up to a position, in this thread, or to the durable head where that comes first; answers
    /// the position that is read then. For callers with little time.
    ///
    /// # Errors
    /// [`CatchUpError`]; what was folded stays folded.
    pub fn catch_up_to(&self, position: Position) -> Result<Position, CatchUpError> {
        self.slot.catch_up_to(position)
    }

    /// Waits until it is folded up to `position` by the thread that folds it, or `timeout` has passed;
    /// answers the position that is read then.
    ///
    /// # Errors
    /// [`CatchUpError::Paused`] when it will not get there by itself.
    pub fn wait(&self, position: Position, timeout: Duration) -> Result<Position, CatchUpError> {
        self.slot.wait(position, timeout)
    }

    /// The last position that is folded.
    #[must_use]
    pub fn position(&self) -> Position {
        self.slot.read(|view| view.position())
    }

    /// The hash of all rows: two folds agree exactly when their hashes do.
    ///
    /// # Errors
    /// [`CatchUpError::Table`].
    ///
    /// # Cost
    /// Reads every row; folding does not wait for it.
    pub fn state_hash(&self) -> Result<StateHash, CatchUpError> {
        let frozen = self.slot.folded().current.frozen();
        Ok(frozen.hash()?)
    }

    /// How it is doing.
    #[must_use]
    pub fn info(&self) -> ProjectionInfo {
        self.slot.info()
    }

    /// Whether anything of it is persisted: whether it was ever folded.
    #[must_use]
    pub fn is_persisted(&self) -> bool {
        self.slot.is_persisted()
    }
}

impl<P> Clone for ProjectionHandle<P> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.slot))
    }
}

impl<P> fmt::Debug for ProjectionHandle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionHandle").field("info", &self.info()).finish_non_exhaustive()
    }
}
