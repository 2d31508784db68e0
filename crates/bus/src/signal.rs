//! What a thread sleeps on until a waker raises it.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use crate::sync::{Condvar, Mutex, PoisonError};

/// The longest that is slept in one go.
const LONG: Duration = Duration::from_secs(3_600);

/// A flag to sleep on. Raised before or during the sleep, it ends that sleep; several raises count
/// as one.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Ends the sleep of whoever sleeps on this, or the next sleep that begins.
    pub(crate) fn raise(&self) {
        *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Sleeps until the signal is raised, and lowers it; `false` when `deadline` came first.
    pub(crate) fn sleep_until(&self, deadline: Option<Instant>) -> bool {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        while !*raised {
            let left = deadline.map_or(LONG, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let slept = self.changed.wait_timeout(raised, left.min(LONG));
            (raised, _) = slept.unwrap_or_else(PoisonError::into_inner);
        }
        *raised = false;
        true
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}

/// Polls a future to its end in this thread, which sleeps in between.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let signal = Arc::new(Signal::new());
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        signal.sleep_until(None);
    }
}
