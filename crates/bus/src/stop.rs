//! Rests that end early when the bus is closed.

use std::time::{Duration, Instant};

use spacefold_event_core::lock::{Condition, Lock};

#[derive(Debug, Default)]
pub(crate) struct Stop {
    is_stopped: Lock<bool>,
    changed: Condition,
}

impl Stop {
    pub(crate) fn stop(&self) {
        *self.is_stopped.lock() = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.is_stopped.lock()
    }

    /// Rests; `false` when it was stopped.
    pub(crate) fn rest(&self, wait: Duration) -> bool {
        let end = Instant::now().checked_add(wait);
        let mut is_stopped = self.is_stopped.lock();
        while !*is_stopped {
            let left = end.map_or(wait, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return true;
            }
            let rested = self.changed.wait_timeout(is_stopped, left);
            (is_stopped, _) = rested;
        }
        false
    }
}
