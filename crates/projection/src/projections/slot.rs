//! One registered projection: the generation that is read, and the one that is built beside it.
//!
//! One thread folds at a time, with `folding`; it locks `folded` for some hundred events at
//! a time, so that readers wait for no more than that. What is written to the store is written
//! while readers go on, since only the folding thread changes rows.

mod pages;
mod rebuilding;

use std::{
    sync::{
        Arc, MutexGuard, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use spacefold_event_core::{
    Envelope, LogReader, Position, ReadError,
    closing::{Callbacks, InCallback, Running},
    lock::{Condition, Lock, SharedLock},
};

use self::pages::NextPage;
use super::{
    Sources,
    error::CatchUpError,
    generation::{Checkpointed, Generation, LoadError, Stopped},
    info::{Building, ProjectionInfo},
    paused::Paused,
};
use crate::{
    apply_context::Around,
    derived_state::DerivedState,
    effects::{EffectSource, Reading},
    generations::{Generations, GenerationsRoot},
    projection::Projection,
    table::{TableError, TableView},
};

/// How many events are applied before readers get their turn.
const TURN_EVENTS: usize = 256;
/// A checkpoint is due when so much was changed since the last one, or so many events were folded.
const MAX_RECENT_BYTES: usize = 16 << 20;
const MAX_RECENT_EVENTS: u64 = 1 << 20;
/// When it has caught up, so many suffice: no more are folded again after a kill.
const MAX_RECENT_EVENTS_LIVE: u64 = 1 << 16;

pub(crate) struct ProjectionSlot {
    projection: Arc<dyn Projection>,
    sources: Sources,
    log: Arc<dyn LogReader>,
    folding: Lock<()>,
    folded: SharedLock<LoadedGenerations>,
    /// For those who wait for a position.
    waiting: Lock<()>,
    moved: Condition,
    /// Says that folding is to end.
    stop: Arc<AtomicBool>,
    /// Those who fold.
    callbacks: Arc<Callbacks>,
}

/// Keeps others from folding; its thread may call the projection.
pub(crate) struct FoldingAlone<'a> {
    _alone: MutexGuard<'a, ()>,
    _in_callback: InCallback,
    _running: Running,
}

/// The generations of a projection that are in memory.
pub(crate) struct LoadedGenerations {
    pub(crate) generations: Generations,
    /// What is read.
    pub(crate) current: Generation,
    /// What takes its place when it has caught up.
    pub(crate) building: Option<Generation>,
}

impl LoadedGenerations {
    /// The generation that is folded.
    fn target(&self) -> &Generation {
        self.building.as_ref().unwrap_or(&self.current)
    }

    fn target_mut(&mut self) -> &mut Generation {
        self.building.as_mut().unwrap_or(&mut self.current)
    }
}

impl ProjectionSlot {
    /// Goes on from what is persisted, as far as it is good for this log.
    pub(crate) fn open(
        (projection, sources): (Arc<dyn Projection>, Sources),
        log: Arc<dyn LogReader>,
        derived: DerivedState,
        stop: Arc<AtomicBool>,
        callbacks: Arc<Callbacks>,
    ) -> Result<Self, LoadError> {
        let name = projection.name();
        let version = projection.version();
        let mut generations = Generations::open(derived).map_err(TableError::from)?;
        let load = |generations: &Generations, number: Option<u64>| match number {
            Some(number) => Generation::load(&*log, generations, number),
            None => Ok(None),
        };
        let (current, building) = match load(&generations, generations.current())? {
            Some(current) if current.version() == version => {
                // What stays for a failure is in nobody's way.
                if let Err(error) = current.sweep() {
                    tracing::warn!(%error, name, "old rows of a projection could not be removed");
                }
                generations.sweep(None);
                (current, None)
            }
            Some(current) => {
                let begun = load(&generations, generations.building())?;
                let begun = begun.filter(|begun| begun.version() == version);
                let building = match begun {
                    Some(begun) => begun,
                    None => {
                        Generation::empty(&mut generations, version)?.skipping(current.skipped())
                    }
                };
                (current, Some(building))
            }
            None => {
                generations.forget_current();
                (Generation::empty(&mut generations, version)?, None)
            }
        };
        Ok(Self {
            projection,
            sources,
            log,
            folding: Lock::new(()),
            folded: SharedLock::new(LoadedGenerations { generations, current, building }),
            waiting: Lock::new(()),
            moved: Condition::new(),
            stop,
            callbacks,
        })
    }

    pub(crate) fn projection(&self) -> &Arc<dyn Projection> {
        &self.projection
    }

    /// Where the effects of events come from, if it goes by them.
    pub(crate) fn effects(&self) -> Option<&Arc<dyn EffectSource>> {
        self.projection.uses_effects().then_some(&self.sources.effects)
    }

    /// What the events of a page are folded with.
    pub(crate) fn around<'a>(&'a self, reading: &'a Reading) -> Around<'a> {
        let effects = reading.effects.as_deref();
        Around { effects, content: self.sources.content.as_deref() }
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
            name: self.projection.name(),
            version: current.version(),
            position,
            lag: self.log.durable_head().since(position),
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

    /// Waits until it is folded up to `position`, by whoever folds it.
    pub(crate) fn wait(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, CatchUpError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut waiting = self.waiting.lock();
        loop {
            {
                let folded = self.folded();
                let reached = folded.current.position();
                if reached >= position {
                    return Ok(reached);
                }
                if let Some(paused) = folded.target().paused() {
                    return Err(CatchUpError::Paused(paused.clone()));
                }
            }
            if self.stop.load(Ordering::Acquire) {
                return Err(ReadError::Closed.into());
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                let position = self.folded().current.position();
                return Ok(position);
            }
            let left = left.unwrap_or(timeout);
            let (guard, _) = self.moved.wait_timeout(waiting, left);
            waiting = guard;
        }
    }

    /// Folds up to the durable head as it is now, and answers the position that is read then.
    pub(crate) fn catch_up(&self) -> Result<Position, CatchUpError> {
        let _folding = self.fold_alone();
        self.fold_to(self.log.durable_head())
    }

    /// Folds up to `head`, or to where it is already.
    pub(crate) fn catch_up_to(&self, head: Position) -> Result<Position, CatchUpError> {
        let _folding = self.fold_alone();
        self.fold_to(head.min(self.log.durable_head()))
    }

    /// Changes a persisted row as no event has.
    #[cfg(test)]
    pub(crate) fn tamper(&self, key: &[u8], value: Option<&[u8]>) {
        self.folded_mut().current.tamper(key, value);
        self.checkpoint().unwrap();
    }

    /// Tries the event again that it is paused in front of.
    pub(crate) fn resume(&self) -> Result<Position, CatchUpError> {
        let _folding = self.fold_alone();
        self.folded_mut().target_mut().resume();
        self.fold_to(self.log.durable_head())
    }

    /// Leaves the event out that it is paused in front of, and goes on. Does nothing when it is not
    /// paused.
    pub(crate) fn skip(&self) -> Result<Position, CatchUpError> {
        let _folding = self.fold_alone();
        {
            let mut folded = self.folded_mut();
            let target = folded.target_mut();
            if let Some(paused) = target.resume() {
                if !target.skip(paused.position) {
                    target.pause(paused);
                    return Err(CatchUpError::TooManySkipped);
                }
                target.pass(paused.position);
            }
        }
        self.checkpoint()?;
        self.fold_to(self.log.durable_head())
    }

    /// Persists what was folded since the last checkpoint.
    pub(crate) fn save(&self) -> Result<(), CatchUpError> {
        let _folding = self.fold_alone();
        let is_due = {
            let folded = self.folded();
            folded.target().position() > folded.target().checkpointed()
        };
        if is_due {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Persists what was folded since the last checkpoint, when folding has ended for good. Waits for
    /// nobody: where somebody folds or reads, who may be waiting for the caller, it is folded again
    /// the next time.
    pub(crate) fn save_last(&self) -> Result<(), CatchUpError> {
        let (Some(_folding), Some(folded)) = (self.folding.try_lock(), self.folded.try_read())
        else {
            let name = self.projection.name();
            tracing::info!(name, "the last rows of a projection are not stored: it is in use");
            return Ok(());
        };
        if folded.target().position() <= folded.target().checkpointed() {
            return Ok(());
        }
        // In memory they need not be taken over any more. What is in no use goes the next time.
        self.persist(&folded)?;
        Ok(())
    }

    /// Wakes those who wait: after a change of `stop` too.
    pub(crate) fn notify(&self) {
        drop(self.waiting.lock());
        self.moved.notify_all();
    }

    /// Keeps folding away until the guard is dropped.
    pub(crate) fn fold_alone(&self) -> FoldingAlone<'_> {
        FoldingAlone {
            _running: self.callbacks.enter(),
            _in_callback: InCallback::begin(),
            _alone: self.folding.lock(),
        }
    }

    pub(crate) fn folded(&self) -> RwLockReadGuard<'_, LoadedGenerations> {
        self.folded.read()
    }

    pub(crate) fn folded_mut(&self) -> RwLockWriteGuard<'_, LoadedGenerations> {
        self.folded.write()
    }

    fn fold_to(&self, head: Position) -> Result<Position, CatchUpError> {
        match self.fold_on(head) {
            Err(CatchUpError::Table(TableError::Damaged { what })) => {
                let name = self.projection.name();
                tracing::warn!(name, what, "the rows of a projection are damaged: refolding");
                self.begin_anew()?;
                self.fold_on(head)
            }
            folded => folded,
        }
    }

    fn fold_on(&self, head: Position) -> Result<Position, CatchUpError> {
        loop {
            let next = {
                let folded = self.folded();
                if let Some(paused) = folded.target().paused() {
                    return Err(CatchUpError::Paused(paused.clone()));
                }
                folded.target().position().next()
            };
            if self.stop.load(Ordering::Acquire) {
                return Err(ReadError::Closed.into());
            }
            if next > head {
                break;
            }
            match self.next_page(next, head)? {
                NextPage::Page(reading) => self.fold_page(&reading)?,
                NextPage::Unreadable(paused) => {
                    if !self.folded_mut().target_mut().pass(next) {
                        return self.pause(paused);
                    }
                }
            }
        }
        self.caught_up()?;
        Ok(self.folded().current.position())
    }

    /// Folds the events of a page; checkpoints where that is due.
    fn fold_page(&self, reading: &Reading) -> Result<(), CatchUpError> {
        let mut envelopes = reading.page.envelopes().peekable();
        let around = self.around(reading);
        while envelopes.peek().is_some() {
            if self.stop.load(Ordering::Acquire) {
                return Err(ReadError::Closed.into());
            }
            let folded = self.fold_turn(envelopes.by_ref().take(TURN_EVENTS), around);
            self.notify();
            if let Err(stopped) = folded {
                return match stopped {
                    Stopped::Event(paused) => self.pause(paused).map(drop),
                    Stopped::Table(error) => Err(error.into()),
                };
            }
        }
        let is_due = {
            let folded = self.folded();
            let target = folded.target();
            target.recent_bytes() >= MAX_RECENT_BYTES
                || target.position().since(target.checkpointed()) >= MAX_RECENT_EVENTS
        };
        if is_due {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn fold_turn<'e>(
        &self,
        events: impl Iterator<Item = Envelope<'e>>,
        around: Around<'_>,
    ) -> Result<(), Stopped> {
        let mut folded = self.folded_mut();
        let target = folded.target_mut();
        for envelope in events {
            target.apply(&*self.projection, envelope, around)?;
        }
        Ok(())
    }

    fn pause(&self, paused: Paused) -> Result<Position, CatchUpError> {
        let name = self.projection.name();
        tracing::warn!(name, %paused, "a projection is paused");
        self.folded_mut().target_mut().pause(paused.clone());
        self.notify();
        self.checkpoint()?;
        Err(CatchUpError::Paused(paused))
    }

    /// At the durable head: what was built takes its place, or a checkpoint is made if it is due.
    fn caught_up(&self) -> Result<(), CatchUpError> {
        let (is_built, is_due) = {
            let folded = self.folded();
            let target = folded.target();
            let since = target.position().since(target.checkpointed());
            (folded.building.is_some(), since >= MAX_RECENT_EVENTS_LIVE)
        };
        if is_built || is_due {
            self.checkpoint()?;
        }
        if is_built {
            self.swap()?;
        }
        Ok(())
    }

    /// Persists the rows and the position of what is folded, in one step.
    fn checkpoint(&self) -> Result<(), CatchUpError> {
        let (checkpointed, root) = self.persist(&self.folded())?;
        let mut folded = self.folded_mut();
        let counted = folded.generations.current();
        folded.generations.adopt(root);
        folded.target_mut().take_over(checkpointed);
        let is_first = folded.generations.current() != counted;
        drop(folded);
        if is_first {
            // What was there was of another log, or damaged.
            self.folded().generations.sweep(None);
        }
        Ok(())
    }

    /// Writes the rows and the position of what is folded, and the root that names them.
    fn persist(
        &self,
        folded: &LoadedGenerations,
    ) -> Result<(Checkpointed, GenerationsRoot), CatchUpError> {
        let checkpointed = folded.target().checkpoint(&*self.log)?;
        let (generations, number) = (&folded.generations, folded.target().number());
        let root = match &folded.building {
            Some(_) => generations.with_building(Some(number)),
            None => generations.with_current(number),
        };
        generations.store(root)?;
        Ok((checkpointed, root))
    }

    /// Puts what was built, and is checkpointed, in the place of what is read.
    fn swap(&self) -> Result<(), CatchUpError> {
        let root = {
            let folded = self.folded();
            let root = folded.generations.with_current(folded.target().number());
            folded.generations.store(root)?;
            root
        };
        let mut folded = self.folded_mut();
        folded.generations.adopt(root);
        if let Some(built) = folded.building.take() {
            folded.current = built;
        }
        drop(folded);
        self.notify();
        self.folded().generations.sweep(None);
        Ok(())
    }

    /// Builds a new generation from the first event, beside the damaged one.
    pub(crate) fn begin_anew(&self) -> Result<(), TableError> {
        let anew = self.scratch()?;
        self.folded_mut().building = Some(anew);
        Ok(())
    }

    /// An empty state that nothing names yet, which leaves out what the one at hand does.
    pub(crate) fn scratch(&self) -> Result<Generation, TableError> {
        let mut folded = self.folded_mut();
        let anew = Generation::empty(&mut folded.generations, self.projection.version())?;
        Ok(anew.skipping(folded.target().skipped()))
    }
}
