//! Folding a projection further, by the one thread that may.

use std::sync::{MutexGuard, atomic::Ordering};

use spacefold_event_core::{
    Envelope, Position, ReadError,
    closing::{InCallback, Running},
};

use super::{ProjectionSlot, fold::NextPage};
use crate::{
    effects::Reading,
    projections::{error::CatchUpError, generation::Stopped, paused::Paused},
    table::TableError,
};

/// How many events are applied before readers get their turn.
const TURN_EVENTS: usize = 256;
/// A checkpoint is due when this much was changed since the last one, or this many events were folded.
const MAX_RECENT_BYTES: usize = 16 << 20;
const MAX_RECENT_EVENTS: u64 = 1 << 20;
/// When it has caught up, this many suffice: no more are folded again after a kill.
const MAX_RECENT_EVENTS_LIVE: u64 = 1 << 16;

/// Keeps others from folding; its thread may call the projection.
pub(super) struct FoldingAlone<'a> {
    slot: &'a ProjectionSlot,
    _alone: MutexGuard<'a, ()>,
    _in_callback: InCallback,
    _running: Running,
}

impl<'a> FoldingAlone<'a> {
    /// Waits until nobody else folds.
    pub(super) fn begin(slot: &'a ProjectionSlot) -> Self {
        let (_running, _in_callback) = (slot.callbacks.enter(), InCallback::begin());
        Self { slot, _alone: slot.folding.lock(), _in_callback, _running }
    }

    /// Folds up to the durable head as it is now, and answers the position that is read then.
    pub(super) fn to_head(&self) -> Result<Position, CatchUpError> {
        self.to(self.slot.fold.log.durable_head())
    }

    /// Folds up to `head`, or to where it is already.
    pub(super) fn to(&self, head: Position) -> Result<Position, CatchUpError> {
        match self.on_to(head) {
            Err(CatchUpError::Table(TableError::Damaged { what })) => {
                let name = self.slot.fold.name();
                tracing::warn!(name, what, "the rows of a projection are damaged: refolding");
                self.slot.begin_anew()?;
                self.on_to(head)
            }
            folded => folded,
        }
    }

    fn on_to(&self, head: Position) -> Result<Position, CatchUpError> {
        loop {
            let next = {
                let folded = self.slot.folded();
                if let Some(paused) = folded.target().paused() {
                    return Err(CatchUpError::Paused(paused.clone()));
                }
                folded.target().position().next()
            };
            self.check_stop()?;
            if next > head {
                break;
            }
            match self.slot.fold.next_page(next, head)? {
                NextPage::Page(reading) => self.fold_page(&reading)?,
                NextPage::Unreadable(paused) => {
                    if !self.slot.folded_mut().target_mut().pass(next) {
                        return Err(self.pause(paused));
                    }
                }
            }
        }
        self.caught_up()?;
        Ok(self.slot.folded().current.position())
    }

    /// Folds the events of a page; checkpoints where that is due.
    fn fold_page(&self, reading: &Reading) -> Result<(), CatchUpError> {
        let mut envelopes = reading.page.envelopes().peekable();
        while envelopes.peek().is_some() {
            self.check_stop()?;
            let folded = self.fold_turn(envelopes.by_ref().take(TURN_EVENTS), reading);
            self.slot.notify();
            match folded {
                Ok(()) => {}
                Err(Stopped::Event(paused)) => return Err(self.pause(paused)),
                Err(Stopped::Table(error)) => return Err(error.into()),
            }
        }
        let is_due = {
            let folded = self.slot.folded();
            folded.target().recent_bytes() >= MAX_RECENT_BYTES
                || folded.recent_events() >= MAX_RECENT_EVENTS
        };
        if is_due { self.checkpoint() } else { Ok(()) }
    }

    fn fold_turn<'e>(
        &self,
        events: impl Iterator<Item = Envelope<'e>>,
        reading: &Reading,
    ) -> Result<(), Stopped> {
        let mut folded = self.slot.folded_mut();
        let target = folded.target_mut();
        for envelope in events {
            self.slot.fold.apply(target, envelope, reading)?;
        }
        Ok(())
    }

    fn check_stop(&self) -> Result<(), ReadError> {
        if self.slot.stop.load(Ordering::Acquire) { Err(ReadError::Closed) } else { Ok(()) }
    }

    /// Stands in front of an event; answers why it does not go on.
    fn pause(&self, paused: Paused) -> CatchUpError {
        let name = self.slot.fold.name();
        tracing::warn!(name, %paused, "a projection is paused");
        self.slot.folded_mut().target_mut().pause(paused.clone());
        self.slot.notify();
        self.checkpoint().err().unwrap_or(CatchUpError::Paused(paused))
    }

    /// At the durable head: what was built takes its place, or a checkpoint is made if it is due.
    fn caught_up(&self) -> Result<(), CatchUpError> {
        let (is_built, is_due) = {
            let folded = self.slot.folded();
            (folded.building.is_some(), folded.recent_events() >= MAX_RECENT_EVENTS_LIVE)
        };
        if is_built || is_due {
            self.checkpoint()?;
        }
        if is_built { self.swap() } else { Ok(()) }
    }

    /// Persists the rows and the position of what is folded, in one step.
    pub(super) fn checkpoint(&self) -> Result<(), CatchUpError> {
        let (checkpointed, root) = self.slot.folded().persist(&*self.slot.fold.log)?;
        let mut folded = self.slot.folded_mut();
        let counted = folded.generations.current();
        folded.generations.adopt(root);
        folded.target_mut().take_over(checkpointed);
        let is_first = folded.generations.current() != counted;
        drop(folded);
        if is_first {
            // What was there was of another log, or damaged.
            self.slot.folded().generations.sweep(None);
        }
        Ok(())
    }

    /// Puts what was built, and is checkpointed, in the place of what is read.
    pub(super) fn swap(&self) -> Result<(), CatchUpError> {
        let root = {
            let folded = self.slot.folded();
            let root = folded.generations.with_current(folded.target().number());
            folded.generations.store(root)?;
            root
        };
        let mut folded = self.slot.folded_mut();
        folded.generations.adopt(root);
        if let Some(built) = folded.building.take() {
            folded.current = built;
        }
        drop(folded);
        self.slot.notify();
        self.slot.folded().generations.sweep(None);
        Ok(())
    }
}
