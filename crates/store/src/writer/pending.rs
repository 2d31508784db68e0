//! An append that has been handed over and not been answered yet.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll},
    thread,
};

use spacefold_event_core::{AppendError, Receipt};

/// How often a thread that waits lets others run before it sleeps: with many of them the answer is
/// often there by then, and nobody has to be woken.
const YIELDS: usize = 8;

/// An append that has been handed over and not been answered yet: to be waited for, or awaited
/// under any runtime. Dropping it does not take the append back.
///
/// # Examples
/// ```
/// use spacefold::{Append, EmbeddedLog, SpaceEvent};
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let log = EmbeddedLog::open(&data)?;
/// let handbook = [SpaceEvent::space_created("handbook", "Handbook")];
/// let guide = [SpaceEvent::space_created("guide", "Guide")];
/// // Both are under way together, and may share one sync.
/// let first = log.submit(&Append::new(&handbook))?;
/// let second = log.submit(&Append::new(&guide))?;
/// assert!(first.wait()?.last_position() < second.wait()?.last_position());
/// # log.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "what became of the append is known only to its handle"]
pub struct PendingAppend {
    answer: oneshot::Receiver<Answer>,
}

/// The future of an append that is awaited.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct AwaitedAppend {
    answer: oneshot::AsyncReceiver<Answer>,
}

pub(super) type Answer = Result<Receipt, AppendError>;

/// A handle, and where its answer goes.
pub(super) fn pending() -> (oneshot::Sender<Answer>, PendingAppend) {
    let (sender, answer) = oneshot::channel();
    (sender, PendingAppend { answer })
}

impl PendingAppend {
    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`LogWriter::append`](spacefold_event_core::LogWriter::append).
    pub fn wait(self) -> Result<Receipt, AppendError> {
        let mut pending = self;
        for _ in 0..YIELDS {
            match pending.try_wait() {
                Ok(answer) => return answer,
                Err(waiting) => pending = waiting,
            }
            thread::yield_now();
        }
        pending.answer.recv().unwrap_or(Err(AppendError::Closed))
    }

    /// The answer, if it is there already; else the handle, to ask again.
    ///
    /// # Errors
    /// The handle, while the append is under way.
    pub fn try_wait(self) -> Result<Result<Receipt, AppendError>, Self> {
        match self.answer.try_recv() {
            Ok(answer) => Ok(answer),
            Err(oneshot::TryRecvError::Empty) => Err(self),
            Err(oneshot::TryRecvError::Disconnected) => Ok(Err(AppendError::Closed)),
        }
    }
}

impl IntoFuture for PendingAppend {
    type Output = Result<Receipt, AppendError>;
    type IntoFuture = AwaitedAppend;

    fn into_future(self) -> AwaitedAppend {
        AwaitedAppend { answer: self.answer.into_future() }
    }
}

impl Future for AwaitedAppend {
    type Output = Result<Receipt, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.answer).poll(context);
        answer.map(|answer| answer.unwrap_or(Err(AppendError::Closed)))
    }
}
