//! How who has the writer waits a moment for the callers that a group is to have, without being woken
//! for each of them.

use std::time::Instant;

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Who waits for others.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// How many appends are waited for; 0 while nobody waits.
    wanted: Mutex<usize>,
    complete: Condvar,
}

impl Gathering {
    fn wanted(&self) -> MutexGuard<'_, usize> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that an append was handed over: so many are there by now.
    pub(crate) fn arrive(&self, there: impl FnOnce() -> usize) {
        let wanted = self.wanted();
        let is_complete = *wanted > 0 && there() >= *wanted;
        drop(wanted);
        if is_complete {
            self.complete.notify_one();
        }
    }

    /// Waits until so many appends are there, or the time is over.
    pub(crate) fn wait(&self, count: usize, until: Instant, there: impl Fn() -> usize) {
        let mut wanted = self.wanted();
        *wanted = count;
        while there() < count {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.complete.wait_timeout(wanted, left);
            (wanted, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *wanted = 0;
    }
}
