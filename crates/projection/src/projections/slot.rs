//! One registered projection: the generation that is read, and the one that is built beside it.
//!
//! One thread folds at a time, with `folding`; it locks `folded` for some hundred events at
//! a time, so that readers wait for no more than that. What is written to the store is written
//! while readers go on, since only the folding thread changes rows.

mod fold;
mod folding;
mod loaded;
mod rebuilding;
mod waiters;

use std::{
    sync::{
        Arc, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use spacefold_event_core::{
    Position, ReadError,
    closing::{Callbacks, InCallback},
    lock::{Lock, SharedLock},
};

pub(crate) use self::fold::ProjectionFold;
use self::{folding::FoldingAlone, loaded::LoadedGenerations, waiters::Waiters};
use super::{
    error::{CatchUpError, RegisterError},
    generation::Generation,
    info::{Building, ProjectionInfo},
};
use crate::{
    derived_state::DerivedState,
    table::{TableError, TableView},
};

pub(crate) struct ProjectionSlot {
    fold: ProjectionFold,
    folding: Lock<()>,
    folded: SharedLock<LoadedGenerations>,
    waiters: Waiters,
    /// Says that folding is to end.
    stop: Arc<AtomicBool>,
    /// Those who fold.
    callbacks: Arc<Callbacks>,
}

impl ProjectionSlot {
    /// Goes on from what is persisted, as far as it is good for this log.
    pub(crate) fn open(
        fold: ProjectionFold,
        derived: DerivedState,
        stop: Arc<AtomicBool>,
        callbacks: Arc<Callbacks>,
    ) -> Result<Self, RegisterError> {
        let folded = SharedLock::new(LoadedGenerations::open(&fold, derived)?);
        let (folding, waiters) = (Lock::default(), Waiters::default());
        Ok(Self { fold, folding, folded, waiters, stop, callbacks })
    }

    pub(crate) const fn fold(&self) -> &ProjectionFold {
        &self.fold
    }

    /// Answers from the rows as they are.
    pub(crate) fn read<T>(&self, query: impl FnOnce(&TableView<'_>) -> T) -> T {
        let _in_callback = InCallback::begin();
        query(&self.folded().current.view())
    }

    pub(crate) fn info(&self) -> ProjectionInfo {
        let folded = self.folded();
        let LoadedGenerations { current, building, .. } = &*folded;
        let position = current.position();
        ProjectionInfo {
            name: self.fold.name(),
            version: current.version(),
            position,
            lag: self.fold.log.durable_head().since(position),
            building: building.as_ref().map(|building| Building {
                version: building.version(),
                position: building.position(),
            }),
            paused: folded.target().paused().cloned(),
            skipped: folded.target().skipped().iter().copied().collect(),
        }
    }

    /// Whether anything of it is persisted.
    pub(crate) fn is_persisted(&self) -> bool {
        self.folded().generations.current().is_some()
    }

    /// Waits until it is folded up to `position`, by the thread that folds it.
    pub(crate) fn wait(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, CatchUpError> {
        let ask = || {
            let folded = self.folded();
            let reached = folded.current.position();
            if reached >= position {
                return Some(Ok(reached));
            }
            let paused = folded.target().paused().cloned().map(CatchUpError::Paused);
            let is_stopped = self.stop.load(Ordering::Acquire);
            paused.or_else(|| is_stopped.then(|| ReadError::Closed.into())).map(Err)
        };
        let waited = self.waiters.wait(timeout, ask);
        waited.unwrap_or_else(|| Ok(self.folded().current.position()))
    }

    /// Folds up to the durable head as it is now, and answers the position that is read then.
    pub(crate) fn catch_up(&self) -> Result<Position, CatchUpError> {
        FoldingAlone::begin(self).to_head()
    }

    /// Folds up to `head`, or to where it is already.
    pub(crate) fn catch_up_to(&self, head: Position) -> Result<Position, CatchUpError> {
        let folding = FoldingAlone::begin(self);
        folding.to(head.min(self.fold.log.durable_head()))
    }

    /// Changes a persisted row as no event has.
    #[cfg(test)]
    pub(crate) fn tamper(&self, key: &[u8], value: Option<&[u8]>) {
        self.folded_mut().current.tamper(key, value);
        FoldingAlone::begin(self).checkpoint().unwrap();
    }

    /// Tries the event again that it is paused in front of.
    pub(crate) fn resume(&self) -> Result<Position, CatchUpError> {
        let folding = FoldingAlone::begin(self);
        self.folded_mut().target_mut().resume();
        folding.to_head()
    }

    /// Leaves the event out that it is paused in front of, and goes on. Does nothing when it is not
    /// paused.
    pub(crate) fn skip(&self) -> Result<Position, CatchUpError> {
        let folding = FoldingAlone::begin(self);
        if !self.folded_mut().target_mut().skip() {
            return Err(CatchUpError::TooManySkipped);
        }
        folding.checkpoint()?;
        folding.to_head()
    }

    /// Persists what was folded since the last checkpoint.
    pub(crate) fn save(&self) -> Result<(), CatchUpError> {
        let folding = FoldingAlone::begin(self);
        let is_due = self.folded().recent_events() > 0;
        if is_due { folding.checkpoint() } else { Ok(()) }
    }

    /// Persists what was folded since the last checkpoint, when folding has ended for good. Waits for
    /// nobody: where somebody folds or reads, who may be waiting for the caller, it is folded again
    /// the next time.
    pub(crate) fn save_last(&self) -> Result<(), CatchUpError> {
        let (Some(_folding), Some(folded)) = (self.folding.try_lock(), self.folded.try_read())
        else {
            let name = self.fold.name();
            tracing::info!(name, "the last rows of a projection are not stored: it is in use");
            return Ok(());
        };
        if folded.recent_events() > 0 {
            // In memory they need not be taken over any more. What is in no use goes the next time.
            folded.persist(&*self.fold.log)?;
        }
        Ok(())
    }

    /// Wakes those who wait: after a change of `stop` too.
    pub(crate) fn notify(&self) {
        self.waiters.notify();
    }

    pub(crate) fn folded(&self) -> RwLockReadGuard<'_, LoadedGenerations> {
        self.folded.read()
    }

    fn folded_mut(&self) -> RwLockWriteGuard<'_, LoadedGenerations> {
        self.folded.write()
    }

    /// Builds a new generation from the first event, beside the damaged one.
    pub(crate) fn begin_anew(&self) -> Result<(), TableError> {
        let anew = self.scratch()?;
        self.folded_mut().building = Some(anew);
        Ok(())
    }

    /// An empty state that nothing names yet, which leaves out what the one at hand does.
    pub(crate) fn scratch(&self) -> Result<Generation, TableError> {
        self.folded_mut().scratch(self.fold.projection.version())
    }
}
