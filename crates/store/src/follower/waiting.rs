//! Waiting for new events in files that another process writes: of all who wait one looks, the others
//! are woken by him.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use spacefold_disk::{ChangeWatch, Folder};
use spacefold_event_core::{Position, ReadError};

use crate::{folder::HEAD, live::LIVE};

/// How long who has just seen something new waits before he looks again, without being told: an owner
/// that appends all the time is not to pay for each telling.
const BUSY_PAUSE: Duration = Duration::from_millis(2);
/// For how long he does so.
const BUSY_FOR: Duration = Duration::from_millis(20);
/// How long who is told of changes waits for one before he looks all the same.
const TOLD_PAUSE: Duration = Duration::from_secs(1);

/// What a look at the files has found.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingLook {
    pub(super) head: Position,
    /// Whether their owner gives hints.
    pub(super) is_told: bool,
    /// Whether there is something to be done that nobody waits for.
    pub(super) is_behind: bool,
}

/// Those who wait.
#[derive(Debug)]
pub(super) struct Waiting {
    state: Mutex<WaitState>,
    changed: Condvar,
    watch: Option<ChangeWatch>,
    poll_interval: Duration,
    /// Whether what has changed was told, as far as is known.
    hears: AtomicBool,
}

#[derive(Debug, Default)]
struct WaitState {
    is_looking: bool,
    is_stopped: bool,
    /// When something new was seen.
    seen_new: Option<Instant>,
}

impl Waiting {
    pub(super) fn new(folder: &Arc<dyn Folder>, poll_interval: Duration) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            watch: ChangeWatch::over(folder),
            poll_interval,
            hears: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, WaitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits from now on.
    pub(super) fn stop(&self) {
        self.state().is_stopped = true;
        self.changed.notify_all();
        if let Some(watch) = &self.watch {
            watch.wake();
        }
    }

    /// Waits until the head is at a position or beyond, or the time is over; answers the head. `look`
    /// looks at the files, and does some of what is to be done.
    pub(super) fn wait(
        &self,
        position: Position,
        timeout: Duration,
        look: impl Fn() -> Result<WaitingLook, ReadError>,
    ) -> Result<Position, ReadError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut before = None;
        loop {
            let WaitingLook { head, is_told, is_behind } = look()?;
            let mut state = self.state();
            if before.is_some_and(|before| before < head) {
                state.seen_new = Some(Instant::now());
            }
            before = Some(head);
            if head >= position {
                return Ok(head);
            }
            if state.is_stopped {
                return Err(ReadError::Closed);
            }
            let now = Instant::now();
            let left = deadline.map_or(TOLD_PAUSE, |end| end.saturating_duration_since(now));
            if left.is_zero() {
                return Ok(head);
            }
            if state.is_looking {
                let left = left.min(self.poll_interval);
                let waited = self.changed.wait_timeout(state, left);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                continue;
            }
            state.is_looking = true;
            let is_busy = state.seen_new.is_some_and(|then| then.elapsed() < BUSY_FOR);
            drop(state);
            let seat = LookersTurn(self);
            if is_behind {
                // The time until something is new is for that.
            } else if is_busy {
                thread::sleep(left.min(BUSY_PAUSE));
            } else {
                self.wait_for_change(head, left, is_told, &look)?;
            }
            drop(seat);
        }
    }

    /// Waits until something changes, for a while.
    fn wait_for_change(
        &self,
        head: Position,
        left: Duration,
        is_told: bool,
        look: &impl Fn() -> Result<WaitingLook, ReadError>,
    ) -> Result<(), ReadError> {
        let Some(watch) = self.watch.as_ref().filter(|watch| watch.arm(&[LIVE, HEAD])) else {
            thread::sleep(left.min(self.poll_interval));
            return Ok(());
        };
        // What has changed before is not told.
        if look()?.head > head {
            return Ok(());
        }
        let hears = self.hears.load(Ordering::Relaxed);
        let pause = if hears && is_told { TOLD_PAUSE } else { self.poll_interval };
        let was_told = watch.wait(left.min(pause));
        if was_told {
            self.hears.store(true, Ordering::Relaxed);
        } else if hears && look()?.head > head {
            self.hears.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The turn of the one who looks; with its end another one of those who wait takes it.
struct LookersTurn<'w>(&'w Waiting);

impl Drop for LookersTurn<'_> {
    fn drop(&mut self) {
        self.0.state().is_looking = false;
        self.0.changed.notify_all();
    }
}
