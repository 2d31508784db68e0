//! What works over the log of a store, opened here or followed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use spacefold_bus::Feed;
use spacefold_event_core::{
    ContentStore, LogReader, ReadError, Revision, closing::is_in_callback, lock::Lock,
};
use spacefold_projection::{DerivedState, LiveStates, SnapshotError, TimeTravel};
use spacefold_store::EmbeddedLog;

use crate::{options::Options, views::Views};

/// A log in the folder of a store, as far as reading it goes.
pub(crate) trait StoredLog: LogReader {
    /// Every space that has an event, with its revision at the durable head; sorted by id.
    fn spaces(&self) -> Result<Vec<(String, Revision)>, ReadError>;

    /// Ends every wait for the durable head, those to come too.
    fn stop_waiting(&self);
}

impl StoredLog for EmbeddedLog {
    fn spaces(&self) -> Result<Vec<(String, Revision)>, ReadError> {
        self.spaces()
    }

    fn stop_waiting(&self) {
        self.stop_waiting();
    }
}

/// What the handles of a store and its folding thread share.
pub(crate) struct Engine {
    pub(crate) log: Arc<dyn StoredLog>,
    pub(crate) content: Arc<dyn ContentStore>,
    pub(crate) live: Arc<LiveStates>,
    pub(crate) past: TimeTravel,
    pub(crate) views: Views,
    pub(crate) feed: Feed,
    pub(crate) closing: AtomicBool,
    /// The thread that keeps the states folded, if one does.
    pub(crate) folding: Lock<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Folds a log into states and rows that are kept in `derived`.
    pub(crate) fn new(
        log: Arc<dyn StoredLog>,
        content: Arc<dyn ContentStore>,
        derived: DerivedState,
        feed: Feed,
        options: &Options,
    ) -> Self {
        let live = LiveStates::new(log.clone(), derived);
        let live = Arc::new(live.with_memory_bytes(options.states_memory_bytes));
        let past = TimeTravel::with_history_cache(Arc::clone(&live), options.history_cache);
        let views = Views::new(Arc::clone(&live), Arc::clone(&content));
        let (closing, folding) = (AtomicBool::new(false), Lock::new(None));
        Self { log, content, live, past, views, feed, closing, folding }
    }

    /// Persists the states of now and those of the past.
    pub(crate) fn save_states(&self) -> Result<(), SnapshotError> {
        self.live.save()?;
        self.past.save()
    }

    /// Ends what runs behind what is at hand, and all waiting. Waits for nobody, and hurries those on
    /// whom another one waits who closes, where the caller may be one of them.
    pub(crate) fn stop(&self) {
        self.closing.store(true, Ordering::Release);
        self.log.stop_waiting();
        self.views.stop();
        self.feed.close();
        if is_in_callback() {
            self.views.projections().callbacks().hurry();
            self.feed.callbacks().hurry();
        }
    }

    /// Waits for projections and handlers, as far as the caller may, and stores what was folded,
    /// but for the states.
    pub(crate) fn end_callbacks(&self) {
        self.views.close();
        self.feed.callbacks().wait();
    }

    /// Stores the folded states: where that fails the next opening folds them.
    pub(crate) fn save_last(&self) {
        if let Err(error) = self.save_states() {
            tracing::warn!(%error, "the states of the spaces could not be stored");
        }
    }

    /// Waits for the folding thread, which ends with the log.
    pub(crate) fn join(&self) {
        let Some(thread) = self.folding.lock().take() else { return };
        // It may rest after a failure.
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the folding thread has panicked");
        }
    }
}
