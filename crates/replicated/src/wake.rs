//! How the thread that commits learns that there is something to do.

use std::time::Duration;

use spacefold_event_core::lock::{Condition, Lock};

/// A note that something is to be done: it is kept until somebody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    is_noted: Lock<bool>,
    noted: Condition,
}

impl Wake {
    pub(crate) fn notify(&self) {
        *self.is_noted.lock() = true;
        self.noted.notify_all();
    }

    /// Waits for a note, and takes it; for `timeout` at the most.
    pub(crate) fn wait(&self, timeout: Duration) {
        let is_noted = self.is_noted.lock();
        let (mut is_noted, _) =
            self.noted.wait_timeout_while(is_noted, timeout, |is_noted| !*is_noted);
        *is_noted = false;
    }
}
