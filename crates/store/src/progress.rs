//! What the threads of an open store tell one another, and how they wait for it.

use std::time::{Duration, Instant};

use spacefold_event_core::{AppendError, Position, StorageError, StorageErrorKind, Timestamp};

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of the tail at which appends wait for the sealer.
const MAX_TAIL_BYTES: usize = 64 << 20;
/// The longest that is waited in one go.
const LONG: Duration = Duration::from_secs(3_600);

/// How far the store has come.
#[derive(Debug, Default)]
pub(crate) struct ProgressState {
    /// The last event that was written.
    pub(crate) head: Position,
    /// The last event that is durable; never moves back.
    pub(crate) durable_head: Position,
    /// Bytes of the events that are in no block yet.
    pub(crate) tail_bytes: usize,
    /// Whether every journal file holds events that are in no segment yet.
    pub(crate) files_are_full: bool,
    /// Whether blocks are being put into a segment.
    pub(crate) is_archiving: bool,
    closed: bool,
    /// Why the store takes no appends any more.
    failure: Option<StoreFailure>,
    /// Since when.
    failed_at: Option<Timestamp>,
}

/// Why the store takes no appends any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreFailure {
    pub(crate) kind: StorageErrorKind,
    pub(crate) reason: String,
}

impl StoreFailure {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { kind: StorageErrorKind::Other, reason: reason.into() }
    }
}

impl From<&StorageError> for StoreFailure {
    fn from(error: &StorageError) -> Self {
        Self { kind: error.kind(), reason: error.to_string() }
    }
}

impl From<StoreFailure> for AppendError {
    fn from(StoreFailure { kind, reason }: StoreFailure) -> Self {
        Self::Refused { kind, reason }
    }
}

/// Why what is waited for will not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WaitError {
    Closed,
    Failed(StoreFailure),
}

/// How far the store has come, to be waited for.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<ProgressState>,
    changed: Condvar,
}

impl Progress {
    pub(crate) fn new(head: Position, tail_bytes: usize) -> Self {
        let state =
            ProgressState { head, durable_head: head, tail_bytes, ..ProgressState::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, ProgressState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits. What `change` reads of others is newer than what
    /// any change before has read.
    pub(crate) fn update(&self, change: impl FnOnce(&mut ProgressState)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Refuses appends from now on. The first reason stays.
    pub(crate) fn fail(&self, reason: impl Into<StoreFailure>) {
        let reason = reason.into();
        self.update(|state| {
            state.failure.get_or_insert(reason);
            state.failed_at.get_or_insert_with(Timestamp::now);
        });
    }

    /// Nothing moves any more.
    pub(crate) fn close(&self) {
        self.update(|state| state.closed = true);
    }

    /// Why appends are refused, if they are.
    pub(crate) fn failure(&self) -> Option<StoreFailure> {
        self.state().failure.clone()
    }

    /// Since when appends are refused, if they are.
    pub(crate) fn failed_at(&self) -> Option<Timestamp> {
        self.state().failed_at
    }

    /// Bytes of the events that are in no block yet.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.state().tail_bytes
    }

    pub(crate) fn head(&self) -> Position {
        self.state().head
    }

    pub(crate) fn durable_head(&self) -> Position {
        self.state().durable_head
    }

    /// Waits until the durable head is at a position or beyond, or the time is over; answers the
    /// durable head.
    pub(crate) fn wait_durable(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, WaitError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state();
        while state.durable_head < position {
            if state.closed {
                return Err(WaitError::Closed);
            }
            if let Some(reason) = &state.failure {
                return Err(WaitError::Failed(reason.clone()));
            }
            let left = deadline.map_or(LONG, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left.min(LONG));
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(state.durable_head)
    }

    /// Whether blocks are being put into a segment.
    pub(crate) fn is_archiving(&self) -> bool {
        self.state().is_archiving
    }

    /// Whether an append that needs a file would wait for one.
    #[cfg(test)]
    pub(crate) fn are_files_full(&self) -> bool {
        self.state().files_are_full
    }

    /// Waits while blocks are being put into a segment.
    pub(crate) fn wait_until_archived(&self) {
        let mut state = self.state();
        while state.is_archiving {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits while the sealer is behind by more than it may be; with `for_file`, also while there
    /// is no journal file to go on in. A failure ends the wait: the reason.
    pub(crate) fn wait_for_room(&self, for_file: bool) -> Result<(), StoreFailure> {
        let mut state = self.state();
        loop {
            if let Some(reason) = &state.failure {
                return Err(reason.clone());
            }
            let has_file = !(for_file && state.files_are_full);
            if state.tail_bytes <= MAX_TAIL_BYTES && has_file {
                return Ok(());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
