//! How the threads of submitted commands are started.

use std::thread::{self, JoinHandle};

use spacefold_event_core::{AppendError, StorageError};

use crate::command_error::CommandError;

/// Starts threads.
#[derive(Default)]
pub(crate) struct ThreadStarter {
    /// The name of threads that cannot be had.
    #[cfg(test)]
    pub(crate) refused: spacefold_event_core::lock::Lock<Option<&'static str>>,
    /// How many were started.
    #[cfg(test)]
    pub(crate) started: std::sync::atomic::AtomicUsize,
}

/// There is no thread to be had: what was to be done in it is not done.
#[derive(Debug)]
pub(crate) struct NoThread(std::io::Error);

impl ThreadStarter {
    pub(crate) fn start(
        &self,
        name: &'static str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, NoThread> {
        #[cfg(test)]
        if *self.refused.lock() == Some(name) {
            return Err(NoThread(std::io::ErrorKind::WouldBlock.into()));
        }
        #[cfg(test)]
        self.started.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        thread::Builder::new().name(name.to_owned()).spawn(run).map_err(NoThread)
    }
}

impl From<NoThread> for CommandError {
    fn from(NoThread(error): NoThread) -> Self {
        let error = StorageError::new("starting a thread for submitted commands", error);
        AppendError::Refused { kind: error.kind(), reason: error.to_string() }.into()
    }
}
