//! Calls into the store, off the runtime: so many at a time, and so many that wait.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use tracing::Span;

use crate::problem::HttpProblem;

/// Threads that calls into the store run on. A call that has begun is not broken off; one whose client
/// has gone before it began never does.
#[derive(Clone, Debug)]
pub(crate) struct BlockingPool(Arc<PoolParts>);

#[derive(Debug)]
struct PoolParts {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// Counts who waits, for as long as it does.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl BlockingPool {
    pub(crate) fn new(max_running: usize, max_waiting: usize) -> Self {
        let running = Arc::new(Semaphore::new(max_running.clamp(1, Semaphore::MAX_PERMITS)));
        Self(Arc::new(PoolParts { running, waiting: AtomicUsize::new(0), max_waiting }))
    }

    /// Runs a call of a request; one too many waits for none.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HttpProblem> {
        let waiting = self.0.waiting.fetch_add(1, Ordering::AcqRel);
        let waits = Waits(&self.0.waiting);
        if waiting >= self.0.max_waiting && self.0.running.available_permits() == 0 {
            let detail = format_args!("{waiting} requests wait for their turn, the most that may");
            return Err(HttpProblem::unavailable("busy", detail));
        }
        let permit = self.permit().await?;
        drop(waits);
        Self::run_with(permit, call).await
    }

    /// Runs a call of a stream, whose number is limited elsewhere: it waits for its turn.
    pub(crate) async fn run_in_turn<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HttpProblem> {
        Self::run_with(self.permit().await?, call).await
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, HttpProblem> {
        let permit = Arc::clone(&self.0.running).acquire_owned().await;
        permit.map_err(|closed| HttpProblem::unavailable("busy", closed))
    }

    async fn run_with<T: Send + 'static>(
        permit: OwnedSemaphorePermit,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HttpProblem> {
        let span = Span::current();
        let running = spawn_blocking(move || {
            let answer = span.in_scope(call);
            drop(permit);
            answer
        });
        running.await.map_err(|error| {
            tracing::error!(%error, "a call into the store did not end");
            let detail = "the request was broken off by a fault of the server";
            HttpProblem::internal("internal", detail).with_unknown_effects()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn one_call_too_many_is_told_so() {
        let pool = BlockingPool::new(1, 1);
        let (release, held) = mpsc::channel::<()>();
        let (began, begun) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move || {
                    let _ = began.send(());
                    held.recv().is_ok()
                })
                .await
            }
        });
        begun.await.unwrap();
        let second = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| 2).await }
        });
        while pool.0.waiting.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|| 3).await.unwrap_err().code(), "busy");
        release.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
        assert_eq!(second.await.unwrap().unwrap(), 2);
        assert_eq!(pool.run(|| 4).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_answer() {
        let pool = BlockingPool::new(1, 1);
        let panicked = pool.run(|| panic!("as it is meant to")).await;
        let problem = panicked.map(|(): ()| ()).unwrap_err();
        assert!(problem.to_json().contains(r#""effects":"unknown""#), "{}", problem.to_json());
        assert_eq!(pool.run(|| 1).await.unwrap(), 1);
    }
}
