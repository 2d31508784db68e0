//! Answers that are still to come.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll},
    thread,
};

/// How often a thread that waits lets others run before it sleeps: with many of them the answer is
/// often there by then, and nobody has to be woken.
const YIELDS: usize = 8;

/// The answer to what was handed over: to be waited for, or awaited under any runtime. Dropping it
/// blocks nothing and takes nothing back.
///
/// # Examples
/// ```
/// use spacefold::{SpaceEvent, log::{AppendRequest, LogWriter, MemoryLog}};
/// let log = MemoryLog::new();
/// let pending = log.submit(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// assert_eq!(pending.wait()?.count(), 1);
/// # Ok::<(), spacefold::AppendError>(())
/// ```
#[must_use = "what became of it is known only to its handle"]
pub struct Pending<T> {
    answer: Coming<oneshot::Receiver<T>, T>,
}

/// The future of an answer that is awaited.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Awaited<T> {
    /// `None` once it is given.
    answer: Option<Coming<oneshot::AsyncReceiver<T>, T>>,
}

enum Coming<R, T> {
    Here(T),
    From {
        receiver: R,
        /// The answer when what owes one is gone.
        lost: fn() -> T,
    },
}

/// Gives the answer to a [`Pending`].
#[derive(Debug)]
pub struct Answerer<T>(oneshot::Sender<T>);

impl<T> Answerer<T> {
    /// Gives the answer. A caller that no longer waits for it does not need it.
    pub fn answer(self, answer: T) {
        let _ = self.0.send(answer);
    }
}

impl<T> Pending<T> {
    /// A handle, and what answers it. When that is dropped without an answer, the answer is `lost`.
    pub fn new(lost: fn() -> T) -> (Answerer<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (Answerer(sender), Self { answer: Coming::From { receiver, lost } })
    }

    /// A handle whose answer is there.
    pub const fn answered(answer: T) -> Self {
        Self { answer: Coming::Here(answer) }
    }

    /// Blocks until the answer is there: as long as the sync takes that it waits for.
    pub fn wait(self) -> T {
        let mut pending = self;
        for _ in 0..YIELDS {
            match pending.try_wait() {
                Ok(answer) => return answer,
                Err(waiting) => pending = waiting,
            }
            thread::yield_now();
        }
        match pending.answer {
            Coming::Here(answer) => answer,
            Coming::From { receiver, lost } => receiver.recv().unwrap_or_else(|_| lost()),
        }
    }

    /// The answer, if it is there already; else the handle, to ask again. Does not block.
    ///
    /// # Errors
    /// The handle, while there is no answer.
    pub fn try_wait(self) -> Result<T, Self> {
        match self.answer {
            Coming::Here(answer) => Ok(answer),
            Coming::From { receiver, lost } => match receiver.try_recv() {
                Ok(answer) => Ok(answer),
                Err(oneshot::TryRecvError::Empty) => {
                    Err(Self { answer: Coming::From { receiver, lost } })
                }
                Err(oneshot::TryRecvError::Disconnected) => Ok(lost()),
            },
        }
    }
}

impl<T> IntoFuture for Pending<T> {
    type Output = T;
    type IntoFuture = Awaited<T>;

    fn into_future(self) -> Awaited<T> {
        let answer = match self.answer {
            Coming::Here(answer) => Coming::Here(answer),
            Coming::From { receiver, lost } => {
                Coming::From { receiver: receiver.into_future(), lost }
            }
        };
        Awaited { answer: Some(answer) }
    }
}

/// The answer is never pinned.
impl<T> Unpin for Awaited<T> {}

impl<T> Future for Awaited<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.answer.take() {
            Some(Coming::Here(answer)) => Poll::Ready(answer),
            Some(Coming::From { mut receiver, lost }) => {
                match Pin::new(&mut receiver).poll(context) {
                    Poll::Ready(answer) => Poll::Ready(answer.unwrap_or_else(|_| lost())),
                    Poll::Pending => {
                        self.answer = Some(Coming::From { receiver, lost });
                        Poll::Pending
                    }
                }
            }
            // It was given: a future is not to be polled after that.
            None => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Awaited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaited").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_once_in_each_way_to_ask_for_it() {
        let (answerer, pending) = Pending::new(|| 0);
        let pending = pending.try_wait().expect_err("nobody has answered");
        answerer.answer(1);
        assert_eq!(pending.wait(), 1);
        assert_eq!(Pending::answered(2).wait(), 2);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let (answerer, pending) = Pending::new(|| 0);
        let mut awaited = pending.into_future();
        assert_eq!(Pin::new(&mut awaited).poll(&mut context), Poll::Pending);
        answerer.answer(3);
        assert_eq!(Pin::new(&mut awaited).poll(&mut context), Poll::Ready(3));
        assert_eq!(Pin::new(&mut awaited).poll(&mut context), Poll::Pending);
    }

    #[test]
    fn whoever_waits_for_nobody_is_told() {
        let (answerer, pending) = Pending::new(|| 0);
        drop(answerer);
        assert_eq!(pending.wait(), 0);
        let (answerer, pending) = Pending::new(|| 0);
        drop(answerer);
        assert_eq!(pending.try_wait().unwrap(), 0);
        let (answerer, pending) = Pending::new(|| 0);
        let mut awaited = pending.into_future();
        drop(answerer);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert_eq!(Pin::new(&mut awaited).poll(&mut context), Poll::Ready(0));
    }
}
