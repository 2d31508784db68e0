//! The thread that syncs content for those who do not want to wait for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
};

use spacefold_event_core::{
    Answerer, ContentError, ContentStore, Pending, StorageError, lock::Lock,
};

use super::threads::{NoThread, ThreadStarter};
use crate::command_error::CommandError;

/// The name of the thread.
pub(crate) const THREAD: &str = "spacefold-content-sync";

/// What a sync of content came to.
pub(crate) type Synced = Result<(), CommandError>;

/// A store to sync, and who is to be told.
type SyncRequest = (Arc<dyn ContentStore>, Answerer<Synced>);

/// Syncs content in a thread of its own, which starts with the first request.
#[derive(Default)]
pub(crate) struct ContentSyncs {
    running: Lock<Option<RunningSyncs>>,
}

struct RunningSyncs {
    requests: Sender<SyncRequest>,
    thread: JoinHandle<()>,
}

impl ContentSyncs {
    /// Has content synced at once: those who want it meanwhile share the next sync.
    pub(crate) fn sync(
        &self,
        threads: &ThreadStarter,
        store: Arc<dyn ContentStore>,
    ) -> Result<Pending<Synced>, NoThread> {
        let mut running = self.running.lock();
        let running = match &mut *running {
            Some(running) => running,
            none => none.insert(RunningSyncs::start(threads)?),
        };
        let (answer, pending) = Pending::new(|| {
            let why = "the store has panicked";
            Err(ContentError::Storage(StorageError::new("syncing content", why)).into())
        });
        // When it cannot be sent, it is dropped and answers that it is lost.
        let _ = running.requests.send((store, answer));
        Ok(pending)
    }

    /// Ends the thread, once it has answered; without waiting for it where this is it.
    pub(crate) fn finish(&self, waits: bool) {
        let running = self.running.lock().take();
        if let Some(RunningSyncs { requests, thread }) = running {
            drop(requests);
            if waits {
                let _ = thread.join();
            }
        }
    }
}

impl RunningSyncs {
    fn start(threads: &ThreadStarter) -> Result<Self, NoThread> {
        let (requests, received) = mpsc::channel::<SyncRequest>();
        let serve = move || {
            super::ANSWERS.set(true);
            for (store, answer) in received {
                // Of those that wait meanwhile, the next sync finds nothing left to do.
                // A store of others that panics ends its own sync alone: the answer is lost.
                if let Ok(synced) = catch_unwind(AssertUnwindSafe(|| store.sync())) {
                    drop(store);
                    answer.answer(synced.map_err(CommandError::from));
                }
            }
        };
        Ok(Self { requests, thread: threads.start(THREAD, serve)? })
    }
}
