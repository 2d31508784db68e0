//! Those who wait until a projection is folded far enough.

use std::time::Duration;

use spacefold_event_core::lock::{Condition, Lock};

#[derive(Default)]
pub(super) struct Waiters {
    waiting: Lock<()>,
    moved: Condition,
}

impl Waiters {
    /// Has everybody ask again.
    pub(super) fn notify(&self) {
        drop(self.waiting.lock());
        self.moved.notify_all();
    }

    /// Asks after every change until there is an answer; `None` when there was none in that time.
    pub(super) fn wait<T>(&self, timeout: Duration, ask: impl Fn() -> Option<T>) -> Option<T> {
        let mut answer = None;
        let is_open = |(): &mut ()| {
            answer = ask();
            answer.is_none()
        };
        drop(self.moved.wait_timeout_while(self.waiting.lock(), timeout, is_open));
        answer
    }
}
