//! One registered projection: the generation that is read, and the one that is built beside it.
//!
//! One thread folds at a time, with `folding`; it locks `generations` for some hundred events at
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
    Envelope, LogReader, Page, Position, ReadError, StateStore,
    closing::{Callbacks, InCallback, Running},
    lock::{Condition, Lock, SharedLock},
};

use self::pages::NextPage;
pub(crate) use self::rebuilding::LeftBehind;
use super::{
    error::CatchUpError,
    generation::{Checkpointed, Generation, LoadError, Stopped},
    info::{Building, ProjectionInfo},
    paused::Paused,
    root::{Root, sweep_generations},
};
use crate::{
    projection::Projection,
    table::{Place, TableError, TableView},
};

/// How many events are applied before readers get their turn.
const TURN_EVENTS: usize = 256;
/// A checkpoint is due when so much was changed since the last one, or so many events were folded.
const MAX_RECENT_BYTES: usize = 16 << 20;
const MAX_RECENT_EVENTS: u64 = 1 << 20;
/// When it has caught up, so many suffice: no more are folded again after a kill.
const MAX_RECENT_EVENTS_LIVE: u64 = 1 << 16;

pub(crate) struct Slot {
    projection: Arc<dyn Projection>,
    log: Arc<dyn LogReader>,
    store: Arc<dyn StateStore>,
    folding: Lock<()>,
    generations: SharedLock<Generations>,
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

pub(crate) struct Generations {
    pub(crate) root: Root,
    /// What is read.
    pub(crate) current: Generation,
    /// What takes its place when it has caught up.
    pub(crate) building: Option<Generation>,
    /// The number of the generation that a rebuild folds, which no sweep is to touch.
    rebuilding: Option<u64>,
}

impl Generations {
    /// The generation that is folded.
    fn target(&self) -> &Generation {
        self.building.as_ref().unwrap_or(&self.current)
    }

    /// The numbers of the generations that are in use.
    const fn in_use(&self) -> [Option<u64>; 3] {
        [self.root.current, self.root.building, self.rebuilding]
    }

    fn target_mut(&mut self) -> &mut Generation {
        self.building.as_mut().unwrap_or(&mut self.current)
    }
}

impl Slot {
    /// Goes on from what is persisted, as far as it is good for this log.
    pub(crate) fn open(
        projection: Arc<dyn Projection>,
        log: Arc<dyn LogReader>,
        store: Arc<dyn StateStore>,
        stop: Arc<AtomicBool>,
        callbacks: Arc<Callbacks>,
    ) -> Result<Self, LoadError> {
        let name = projection.name();
        let version = projection.version();
        let mut root = Root::load(&*store, name).map_err(TableError::from)?;
        let place = |number| Place::new(Arc::clone(&store), name, number);
        let load = |number: Option<u64>| match number {
            Some(number) => Generation::load(&*log, place(number), number),
            None => Ok(None),
        };
        let (current, building) = match load(root.current)? {
            Some(current) if current.version() == version => {
                // What stays for a failure is in nobody's way.
                if let Err(error) = current.rows().sweep() {
                    tracing::warn!(%error, name, "old rows of a projection could not be removed");
                }
                (current, None)
            }
            Some(current) => {
                let begun = load(root.building)?.filter(|begun| begun.version() == version);
                let building = begun.unwrap_or_else(|| {
                    let number = root.take_number();
                    let anew = Generation::empty(place(number), number, version);
                    anew.skipping(current.skipped())
                });
                (current, Some(building))
            }
            None => {
                root.current = None;
                let number = root.take_number();
                (Generation::empty(place(number), number, version), None)
            }
        };
        Ok(Self {
            projection,
            log,
            store,
            folding: Lock::new(()),
            generations: SharedLock::new(Generations { root, current, building, rebuilding: None }),
            waiting: Lock::new(()),
            moved: Condition::new(),
            stop,
            callbacks,
        })
    }

    pub(crate) fn projection(&self) -> &Arc<dyn Projection> {
        &self.projection
    }

    pub(crate) fn place(&self, number: u64) -> Place {
        Place::new(Arc::clone(&self.store), self.projection.name(), number)
    }

    /// Answers from the rows as they are.
    pub(crate) fn read<T>(&self, query: impl FnOnce(&TableView<'_>) -> T) -> T {
        let _in_callback = InCallback::begin();
        query(&self.generations().current.view())
    }

    pub(crate) fn info(&self) -> ProjectionInfo {
        let generations = self.generations();
        let Generations { current, building, .. } = &*generations;
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
            paused: generations.target().paused().cloned(),
            skipped: generations.target().skipped().iter().copied().collect(),
        }
    }

    /// Whether anything of it is persisted.
    pub(crate) fn is_persisted(&self) -> bool {
        self.generations().root.current.is_some()
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
                let generations = self.generations();
                let reached = generations.current.position();
                if reached >= position {
                    return Ok(reached);
                }
                if let Some(paused) = generations.target().paused() {
                    return Err(CatchUpError::Paused(paused.clone()));
                }
            }
            if self.stop.load(Ordering::Acquire) {
                return Err(ReadError::Closed.into());
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                let position = self.generations().current.position();
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
        self.generations_mut().current.tamper(key, value);
        self.checkpoint().unwrap();
    }

    /// Tries the event again that it is paused in front of.
    pub(crate) fn resume(&self) -> Result<Position, CatchUpError> {
        let _folding = self.fold_alone();
        self.generations_mut().target_mut().resume();
        self.fold_to(self.log.durable_head())
    }

    /// Leaves the event out that it is paused in front of, and goes on. Does nothing when it is not
    /// paused.
    pub(crate) fn skip(&self) -> Result<Position, CatchUpError> {
        let _folding = self.fold_alone();
        {
            let mut generations = self.generations_mut();
            let target = generations.target_mut();
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
            let generations = self.generations();
            generations.target().position() > generations.target().checkpointed()
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
        let (Some(_folding), Some(generations)) =
            (self.folding.try_lock(), self.generations.try_read())
        else {
            let name = self.projection.name();
            tracing::info!(name, "the last rows of a projection are not stored: it is in use");
            return Ok(());
        };
        if generations.target().position() <= generations.target().checkpointed() {
            return Ok(());
        }
        // In memory they need not be taken over any more.
        let (_, root) = self.persist(&generations)?;
        if root.current != generations.root.current {
            let kept = [root.current, root.building, generations.rebuilding];
            sweep_generations(&*self.store, self.projection.name(), &kept);
        }
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

    pub(crate) fn generations(&self) -> RwLockReadGuard<'_, Generations> {
        self.generations.read()
    }

    pub(crate) fn generations_mut(&self) -> RwLockWriteGuard<'_, Generations> {
        self.generations.write()
    }

    fn fold_to(&self, head: Position) -> Result<Position, CatchUpError> {
        match self.fold_on(head) {
            Err(CatchUpError::Table(TableError::Damaged { what })) => {
                let name = self.projection.name();
                tracing::warn!(name, what, "the rows of a projection are damaged: refolding");
                self.begin_anew();
                self.fold_on(head)
            }
            folded => folded,
        }
    }

    fn fold_on(&self, head: Position) -> Result<Position, CatchUpError> {
        loop {
            let next = {
                let generations = self.generations();
                if let Some(paused) = generations.target().paused() {
                    return Err(CatchUpError::Paused(paused.clone()));
                }
                generations.target().position().next()
            };
            if self.stop.load(Ordering::Acquire) {
                return Err(ReadError::Closed.into());
            }
            if next > head {
                break;
            }
            match self.next_page(next, head)? {
                NextPage::Page(page) => self.fold_page(&page)?,
                NextPage::Unreadable(paused) => {
                    if !self.generations_mut().target_mut().pass(next) {
                        return self.pause(paused);
                    }
                }
            }
        }
        self.caught_up()?;
        Ok(self.generations().current.position())
    }

    /// Folds the events of a page; checkpoints where that is due.
    fn fold_page(&self, page: &Page) -> Result<(), CatchUpError> {
        let mut envelopes = page.envelopes().peekable();
        while envelopes.peek().is_some() {
            if self.stop.load(Ordering::Acquire) {
                return Err(ReadError::Closed.into());
            }
            let folded = self.fold_turn(envelopes.by_ref().take(TURN_EVENTS));
            self.notify();
            if let Err(stopped) = folded {
                return match stopped {
                    Stopped::Event(paused) => self.pause(paused).map(drop),
                    Stopped::Table(error) => Err(error.into()),
                };
            }
        }
        let is_due = {
            let generations = self.generations();
            let target = generations.target();
            target.recent_bytes() >= MAX_RECENT_BYTES
                || target.position().since(target.checkpointed()) >= MAX_RECENT_EVENTS
        };
        if is_due {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn fold_turn<'e>(&self, events: impl Iterator<Item = Envelope<'e>>) -> Result<(), Stopped> {
        let mut generations = self.generations_mut();
        let target = generations.target_mut();
        for envelope in events {
            target.apply(&*self.projection, envelope)?;
        }
        Ok(())
    }

    fn pause(&self, paused: Paused) -> Result<Position, CatchUpError> {
        let name = self.projection.name();
        tracing::warn!(name, %paused, "a projection is paused");
        self.generations_mut().target_mut().pause(paused.clone());
        self.notify();
        self.checkpoint()?;
        Err(CatchUpError::Paused(paused))
    }

    /// At the durable head: what was built takes its place, or a checkpoint is made if it is due.
    fn caught_up(&self) -> Result<(), CatchUpError> {
        let (is_built, is_due) = {
            let generations = self.generations();
            let target = generations.target();
            let folded = target.position().since(target.checkpointed());
            (generations.building.is_some(), folded >= MAX_RECENT_EVENTS_LIVE)
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
        let (checkpointed, root) = self.persist(&self.generations())?;
        let mut generations = self.generations_mut();
        let is_first = generations.root.current != root.current;
        generations.root = root;
        generations.target_mut().take_over(checkpointed);
        let kept = generations.in_use();
        drop(generations);
        if is_first {
            // What was there was of another log, or damaged.
            sweep_generations(&*self.store, self.projection.name(), &kept);
        }
        Ok(())
    }

    /// Writes the rows and the position of what is folded, and the root that names them.
    fn persist(&self, generations: &Generations) -> Result<(Checkpointed, Root), CatchUpError> {
        let checkpointed = generations.target().checkpoint()?;
        let mut root = generations.root;
        let number = Some(generations.target().number());
        match &generations.building {
            Some(_) => root.building = number,
            None => root.current = number,
        }
        if root != generations.root {
            root.store(&*self.store, self.projection.name())?;
        }
        Ok((checkpointed, root))
    }

    /// Puts what was built, and is checkpointed, in the place of what is read.
    fn swap(&self) -> Result<(), CatchUpError> {
        let name = self.projection.name();
        let mut root = self.generations().root;
        root.current = root.building.take();
        root.store(&*self.store, name)?;
        let kept = {
            let mut generations = self.generations_mut();
            generations.root = root;
            if let Some(built) = generations.building.take() {
                generations.current = built;
            }
            generations.in_use()
        };
        self.notify();
        sweep_generations(&*self.store, name, &kept);
        Ok(())
    }

    /// Builds a new generation from the first event, beside the damaged one.
    pub(crate) fn begin_anew(&self) {
        let mut generations = self.generations_mut();
        let number = generations.root.take_number();
        let anew = Generation::empty(self.place(number), number, self.projection.version());
        generations.building = Some(anew.skipping(generations.target().skipped()));
    }
}
