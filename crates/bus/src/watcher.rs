//! The thread that follows the durable head for all subscribers.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use spacefold_event_core::{ReadError, StorageError};

use crate::{head_watch::Woken, source::FeedSource};

/// How long one wait for new events lasts; the end of the log ends it at once.
const WAIT: Duration = Duration::from_secs(1);
/// How long the watcher rests when events come faster than this and concern nobody who waits: so
/// that the writer need not wake it for each.
const LINGER: Duration = Duration::from_micros(200);
/// How long the watcher rests after the log could not be followed.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Starts following the log; the thread ends when nobody subscribes any more or the log is closed.
/// Where no thread can be started every subscription ends, so that nobody relies on one.
pub(crate) fn start(source: &Arc<FeedSource>) -> Result<(), StorageError> {
    let watcher = Watcher { source: Arc::clone(source), is_relieved: false };
    let spawned =
        thread::Builder::new().name("spacefold-watch".to_owned()).spawn(move || watcher.run());
    match spawned {
        Ok(_) => Ok(()),
        Err(error) => Err(StorageError::new("starting the thread that watches the head", error)),
    }
}

struct Watcher {
    source: Arc<FeedSource>,
    /// Whether nobody subscribes any more, or somebody else watches by now.
    is_relieved: bool,
}

impl Watcher {
    fn run(mut self) {
        while self.source.watch.is_still_watched() {
            let (before, begun) = (self.source.watch.head(), Instant::now());
            match self.source.log.wait_durable(before.next(), WAIT) {
                Ok(head) if head > before => {
                    let came_soon = begun.elapsed() < LINGER;
                    if self.source.announce(before, head) == Woken::Nobody && came_soon {
                        thread::park_timeout(LINGER);
                    }
                }
                Ok(_) => {}
                Err(ReadError::Closed) => return,
                Err(error) => {
                    self.source.watch.fail(&error);
                    thread::park_timeout(REST_AFTER_FAILURE);
                }
            }
            self.source.watch.wake_due(Instant::now());
        }
        self.is_relieved = true;
    }
}

impl Drop for Watcher {
    /// Nobody waits for a watcher that is gone, whether the log is closed or has panicked.
    fn drop(&mut self) {
        if !self.is_relieved {
            self.source.close();
        }
    }
}
