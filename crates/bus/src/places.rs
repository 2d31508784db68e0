//! The store of a feed, where places are kept: synced soon after something in it has moved.
//!
//! One thread sees to it for all who keep a place, and is there only while something is to be
//! synced: it waits as long as it may, syncs once for everything that moved meanwhile, and ends
//! when nothing has moved since.

use std::{
    sync::{
        Arc, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use spacefold_event_core::{
    StorageError,
    lock::{Condition, Lock, SharedLock},
};

use crate::place_store::PlaceStore;

/// What moved is synced within this time, unless told otherwise.
pub(crate) const SYNC_WITHIN: Duration = Duration::from_secs(1);

pub(crate) struct Places {
    store: Arc<dyn PlaceStore>,
    due: Arc<Due>,
    /// Whether it is synced for the last time: nothing is put or removed any more. Held by who changes
    /// something, so that no change falls between the last sync and the end.
    is_closed: SharedLock<bool>,
    /// Held while the store is synced for somebody, so that nobody takes a sync that is under way, and
    /// may fail, for one that is done.
    syncing: Lock<()>,
}

/// When the next sync is due. Shared with the thread, which must not keep the store open.
struct Due {
    state: Lock<SyncSchedule>,
    changed: Condition,
    /// Whether the store is about to be closed, which syncs it.
    is_closing: AtomicBool,
}

struct SyncSchedule {
    within: Duration,
    /// Whether something has moved that was not synced.
    is_dirty: bool,
    /// When that is to be synced at the latest.
    at: Option<Instant>,
    has_thread: bool,
    /// Whether the thread has the store for now.
    is_syncing: bool,
    /// Whether nobody keeps anything any more.
    has_ended: bool,
}

impl Places {
    pub(crate) fn new(store: Arc<dyn PlaceStore>) -> Self {
        let state = SyncSchedule {
            within: SYNC_WITHIN,
            is_dirty: false,
            at: None,
            has_thread: false,
            is_syncing: false,
            has_ended: false,
        };
        let due = Due {
            state: Lock::new(state),
            changed: Condition::new(),
            is_closing: AtomicBool::new(false),
        };
        Self {
            store,
            due: Arc::new(due),
            is_closed: SharedLock::new(false),
            syncing: Lock::new(()),
        }
    }

    /// Syncs what moves from now on within this time.
    pub(crate) fn sync_within(&self, within: Duration) {
        self.due.state.lock().within = within;
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.get(key)
    }

    pub(crate) fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
        self.store.keys(prefix)
    }

    /// Keeps a value, which is synced soon.
    pub(crate) fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.change(|store| store.put(key, value))
    }

    /// Removes a value, which is synced soon.
    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), StorageError> {
        self.change(|store| store.remove(key))
    }

    fn change(
        &self,
        change: impl FnOnce(&dyn PlaceStore) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let is_closed = self.is_closed.read();
        if *is_closed {
            return Err(StorageError::closed("keeping a place"));
        }
        change(&*self.store)?;
        // Before the end may come: it syncs only what is known to have moved.
        self.moved();
        drop(is_closed);
        Ok(())
    }

    /// Syncs for the last time: every later change is refused.
    pub(crate) fn close(&self) -> Result<(), StorageError> {
        *self.is_closed.write() = true;
        self.sync()
    }

    /// Syncs what was put and removed before the call, if anything was since the last time.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        let _alone = self.syncing.lock();
        {
            let mut state = self.due.state.lock();
            if !state.is_dirty && !state.is_syncing {
                return Ok(());
            }
            state.begin_sync();
        }
        let synced = self.store.sync();
        if synced.is_err() {
            self.due.state.lock().is_dirty = true;
        }
        synced
    }

    /// Says that the store is about to be closed: what cannot be synced then is no news.
    pub(crate) fn note_closing(&self) {
        self.due.is_closing.store(true, Ordering::Release);
    }

    fn moved(&self) {
        {
            let mut state = self.due.state.lock();
            state.is_dirty = true;
            if state.at.is_none() {
                // A time beyond what the clock can tell never comes.
                state.at = Instant::now().checked_add(state.within);
            }
            if state.has_thread || state.at.is_none() {
                return;
            }
            state.has_thread = true;
        }
        let (due, store) = (Arc::clone(&self.due), Arc::downgrade(&self.store));
        let thread = thread::Builder::new().name("spacefold-places".to_owned());
        if let Err(error) = thread.spawn(move || due.run(&store)) {
            self.due.state.lock().has_thread = false;
            tracing::warn!(%error, "no thread to sync places in: this one does");
            if let Err(error) = self.sync() {
                self.due.failed(&error);
            }
        }
    }
}

impl Drop for Places {
    /// Nothing is left unsynced, and nobody has the store behind the back of who lets go of it.
    fn drop(&mut self) {
        let is_left = {
            let mut state = self.due.state.lock();
            state.has_ended = true;
            self.due.changed.notify_all();
            while state.is_syncing {
                state = self.due.wait(state, None);
            }
            state.is_dirty
        };
        if is_left && let Err(error) = self.sync() {
            // It was closed before, most likely, and is synced then.
            tracing::debug!(%error, "places are not synced");
        }
    }
}

impl SyncSchedule {
    /// What has moved so far is synced now.
    const fn begin_sync(&mut self) {
        self.at = None;
        self.is_dirty = false;
    }
}

impl Due {
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, SyncSchedule>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, SyncSchedule> {
        match left {
            None => self.changed.wait(state),
            Some(left) => {
                let waited = self.changed.wait_timeout(state, left);
                waited.0
            }
        }
    }

    /// What the thread does.
    fn run(&self, store: &Weak<dyn PlaceStore>) {
        while self.is_to_sync() {
            let synced = store.upgrade().map_or(Ok(()), |store| store.sync());
            {
                let mut state = self.state.lock();
                state.is_syncing = false;
                state.is_dirty |= synced.is_err();
            }
            self.changed.notify_all();
            if let Err(error) = synced {
                self.failed(&error);
            }
        }
    }

    /// Waits until a sync is due; `false`, and the thread is gone, when none is.
    fn is_to_sync(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            let due = state.at.filter(|_| !state.has_ended);
            let Some(due) = due else {
                state.has_thread = false;
                return false;
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.begin_sync();
                state.is_syncing = true;
                return true;
            }
            state = self.wait(state, Some(left));
        }
    }

    fn failed(&self, error: &StorageError) {
        if self.is_closing.load(Ordering::Acquire) {
            tracing::debug!(%error, "places are not synced: the store is being closed");
        } else {
            tracing::warn!(%error, "a kill may take back places: they could not be synced");
        }
    }
}

#[cfg(test)]
mod tests;
