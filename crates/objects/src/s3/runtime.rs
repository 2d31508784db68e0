//! The runtime that the client of a service needs, on a thread of its own.

use std::{fmt, future::Future, io, sync::mpsc};

use object_store::Error as StoreError;
use tokio::runtime::{Builder, Runtime};

/// Runs calls for whoever waits for them, on whatever thread: one of another runtime too.
pub(super) struct RuntimeThread {
    /// There until this is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for RuntimeThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuntimeThread")
    }
}

impl RuntimeThread {
    pub(super) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(1).max_blocking_threads(4).enable_all();
        let runtime = builder.thread_name("spacefold-s3").build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Waits for what a call comes to.
    pub(super) fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let ended = || StoreError::Generic { store: "S3", source: "the runtime has ended".into() };
        let runtime = self.runtime.as_ref().ok_or_else(ended)?;
        let (answer, answered) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // Whoever asked is there: it waits.
            let _ = answer.send(call.await);
        });
        answered.recv().unwrap_or_else(|_| Err(ended()))
    }
}

impl Drop for RuntimeThread {
    fn drop(&mut self) {
        // One that is dropped waits for its threads, which a thread of another runtime may not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
