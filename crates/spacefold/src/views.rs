//! The registered projections of an open store, and the threads that fold them.
//!
//! Each that is followed has a thread of its own, so that one that is slow holds up no other. They do
//! not wait in the log, where each would be woken by the writer: the thread that folds the states of the
//! spaces tells them how far the log is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use spacefold_event_core::{
    ContentStore, LogReader, Position, ReadError,
    closing::Waited,
    lock::{Condition, Lock},
};
use spacefold_projection::{
    Builtin, CatchUpError, ContentIndex, LiveStates, Occurrence, Projection, ProjectionHandle,
    ProjectionInfo, Projections, RegisterError,
};

/// How far behind the head of the log the content index may be to be caught up at once.
const NEAR_EVENTS: u64 = 16_384;
/// How many events are folded between two looks at the time.
const STEP_EVENTS: u64 = 8_192;

/// How long folding rests after it has failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The registered projections of a store. Those that come with it cost nothing until one is asked
/// for: from then on it is folded like the others, also when the store is opened again.
pub(crate) struct Views {
    projections: Arc<Projections>,
    builtin: Lock<Option<Builtin>>,
    told: Arc<HeadNotice>,
    threads: Lock<Vec<(&'static str, JoinHandle<()>)>>,
    /// Whether what is registered is followed.
    follows: AtomicBool,
}

/// How far the log is, as far as the threads were told.
#[derive(Default)]
struct HeadNotice {
    head: Lock<NotifiedHead>,
    moved: Condition,
}

#[derive(Clone, Copy, Default)]
struct NotifiedHead {
    position: Position,
    closing: bool,
}

impl Views {
    pub(crate) fn new(states: Arc<LiveStates>, content: Arc<dyn ContentStore>) -> Self {
        Self {
            projections: Arc::new(Projections::new(states).with_content(content)),
            builtin: Lock::default(),
            told: Arc::default(),
            threads: Lock::default(),
            follows: AtomicBool::new(false),
        }
    }

    pub(crate) const fn projections(&self) -> &Arc<Projections> {
        &self.projections
    }

    /// Registers a projection, and follows it.
    pub(crate) fn register<P: Projection>(
        &self,
        projection: P,
    ) -> Result<ProjectionHandle<P>, RegisterError> {
        // First, so that nobody takes their names.
        self.builtin()?;
        let handle = self.projections.register(projection)?;
        self.follow(handle.info().name);
        Ok(handle)
    }

    pub(crate) fn builtin(&self) -> Result<Builtin, RegisterError> {
        let mut builtin = self.builtin.lock();
        if let Some(builtin) = builtin.as_ref() {
            return Ok(builtin.clone());
        }
        let registered = Builtin::register(&self.projections)?;
        Ok(builtin.insert(registered).clone())
    }

    /// One of those that come with the store, folded up to the durable head, and followed from now on.
    pub(crate) fn caught_up<P>(
        &self,
        of: impl FnOnce(Builtin) -> ProjectionHandle<P>,
    ) -> Result<ProjectionHandle<P>, CatchUpError> {
        let handle = of(self.builtin()?);
        handle.catch_up()?;
        self.follow(handle.info().name);
        Ok(handle)
    }

    /// Where a content is and was. The index answers while it is near the head of the log; else the
    /// log itself does, and the index is folded on by as much as that took, or by a thread of its own.
    pub(crate) fn occurrences(
        &self,
        log: &dyn LogReader,
        content_hash: &str,
    ) -> Result<Vec<Occurrence>, CatchUpError> {
        let index = match self.builtin() {
            Ok(builtin) => builtin.content_index,
            // Where nothing can be written there is none.
            Err(_) => return Ok(ContentIndex::occurrences_in(&self.projections, content_hash)?),
        };
        if index.info().lag <= NEAR_EVENTS {
            let found = index.catch_up().and_then(|_| index.occurrences(content_hash));
            match found {
                Err(CatchUpError::Table(error)) => {
                    tracing::warn!(%error, "the content index is wrong: the log is asked");
                }
                found => {
                    self.follow(ContentIndex::NAME);
                    return found;
                }
            }
        }
        let began = Instant::now();
        let found = ContentIndex::occurrences_in(&self.projections, content_hash)?;
        self.follow(ContentIndex::NAME);
        if !self.follows.load(Ordering::Acquire) {
            fold_on(&index, log.durable_head(), began.elapsed());
        }
        Ok(found)
    }

    pub(crate) fn infos(&self) -> Result<Vec<ProjectionInfo>, RegisterError> {
        self.builtin()?;
        Ok(self.projections.infos())
    }

    /// Follows what is registered from now on.
    pub(crate) fn follow_what_comes(&self) {
        self.follows.store(true, Ordering::Release);
    }

    /// Follows those that come with the store and were folded before.
    pub(crate) fn follow_what_is_there(&self) {
        match self.builtin() {
            Ok(Builtin { content_index, activity, open_problems, .. }) => {
                let handles = [
                    (content_index.is_persisted(), content_index.info().name),
                    (activity.is_persisted(), activity.info().name),
                    (open_problems.is_persisted(), open_problems.info().name),
                ];
                handles.into_iter().filter(|(used, _)| *used).for_each(|(_, it)| self.follow(it));
            }
            Err(error) => tracing::warn!(%error, "the projections of the store are not followed"),
        }
    }

    /// Tells the threads how far the log is.
    pub(crate) fn tell(&self, durable: Position) {
        let mut head = self.told.head.lock();
        if durable > head.position {
            head.position = durable;
            self.told.moved.notify_all();
        }
    }

    /// Ends the threads behind the events at hand, and all who wait for a projection. Waits for
    /// nobody.
    pub(crate) fn stop(&self) {
        self.projections.stop();
        // Behind the lock, so that none is started behind this.
        let _threads = self.threads.lock();
        self.told.head.lock().closing = true;
        self.told.moved.notify_all();
    }

    /// Waits for the threads that were told to stop, as far as the caller may, and persists what
    /// they have folded.
    pub(crate) fn close(&self) {
        if self.projections.callbacks().wait() == Waited::AllEnded {
            let threads = std::mem::take(&mut *self.threads.lock());
            for (name, thread) in threads {
                if thread.join().is_err() {
                    tracing::error!(name, "the thread that folds a projection has panicked");
                }
            }
        }
        if let Err(error) = self.projections.save_last() {
            // Rows are derived: the next opening folds what could not be stored.
            tracing::warn!(%error, "the rows of projections could not be stored");
        }
    }

    fn follow(&self, name: &'static str) {
        let mut threads = self.threads.lock();
        let is_known = threads.iter().any(|(known, _)| *known == name);
        if is_known || !self.follows.load(Ordering::Acquire) || self.told.head.lock().closing {
            return;
        }
        let (projections, told) = (Arc::clone(&self.projections), Arc::clone(&self.told));
        let running = projections.callbacks().enter();
        let thread = thread::Builder::new().name(format!("spacefold-{name}")).spawn(move || {
            run(&projections, name, &told);
            drop(running);
        });
        match thread {
            Ok(thread) => threads.push((name, thread)),
            Err(error) => tracing::warn!(%error, name, "a projection is not followed"),
        }
    }
}

/// Folds a projection for so long, or to the head.
fn fold_on(index: &ProjectionHandle<ContentIndex>, head: Position, time: Duration) {
    let until = Instant::now() + time;
    while index.position() < head && Instant::now() < until {
        let to = index.position().plus(STEP_EVENTS).min(head);
        if let Err(error) = index.catch_up_to(to) {
            tracing::warn!(%error, "the content index falls behind");
            return;
        }
    }
}

/// Folds one projection whenever the log has moved on.
fn run(projections: &Projections, name: &str, told: &HeadNotice) {
    // Once at first, whatever was told before.
    let mut seen = None;
    while let Some(head) = told.wait_beyond(seen) {
        match projections.catch_up(name) {
            // Whoever resumes it folds it on; new events do not concern it until then.
            Ok(_) | Err(CatchUpError::Paused(_)) => seen = Some(head),
            Err(CatchUpError::Read(ReadError::Closed)) => return,
            Err(error) => {
                tracing::warn!(%error, name, "a projection falls behind");
                told.rest();
            }
        }
    }
}

impl HeadNotice {
    /// Waits until the log is known to be beyond `seen`; `None` when the store is being closed.
    fn wait_beyond(&self, seen: Option<Position>) -> Option<Position> {
        let head = self.head.lock();
        let is_old = |head: &mut NotifiedHead| !head.closing && Some(head.position) <= seen;
        let head = self.moved.wait_while(head, is_old);
        (!head.closing).then_some(head.position)
    }

    /// Waits a while, or until the store is being closed.
    fn rest(&self) {
        let is_open = |head: &mut NotifiedHead| !head.closing;
        drop(self.moved.wait_timeout_while(self.head.lock(), REST_AFTER_FAILURE, is_open));
    }
}
