//! A subscriber that is awaited, and looks at the log on the pool: however many there are, none takes a
//! thread while it waits, and the runtime never waits for the disk.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use futures_core::Stream;
use spacefold::{Delivery, Position, Subscriber, subscribe::ReceiveError};
use tokio::sync::Notify;

use crate::{pool::BlockingPool, problem::HttpProblem};

/// Wakes the task that waits.
#[derive(Default)]
struct WokenTask(Notify);

impl Wake for WokenTask {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

type Polled = Poll<Option<Result<Delivery, ReceiveError>>>;

/// A subscriber on the pool.
pub(crate) struct PooledSubscriber {
    pool: BlockingPool,
    /// Away while it looks at the log.
    subscriber: Option<Box<Subscriber>>,
    woken: Arc<WokenTask>,
}

impl PooledSubscriber {
    pub(crate) fn new(pool: &BlockingPool, subscriber: Subscriber) -> Self {
        let subscriber = Some(Box::new(subscriber));
        Self { pool: pool.clone(), subscriber, woken: Arc::default() }
    }

    /// What comes next; `None` once it is closed. One that is not awaited to its end is over.
    pub(crate) async fn next(&mut self) -> Result<Option<Delivery>, HttpProblem> {
        loop {
            let Some(subscriber) = self.subscriber.take() else { return Ok(None) };
            let waker = Waker::from(Arc::clone(&self.woken));
            let look = move || {
                let mut subscriber = subscriber;
                let mut context = Context::from_waker(&waker);
                let polled: Polled = Pin::new(&mut *subscriber).poll_next(&mut context);
                (subscriber, polled)
            };
            let (subscriber, polled) = self.pool.run_in_turn(look).await?;
            match polled {
                Poll::Ready(None) => return Ok(None),
                Poll::Ready(Some(received)) => {
                    self.subscriber = Some(subscriber);
                    return Ok(Some(received?));
                }
                Poll::Pending => {
                    self.subscriber = Some(subscriber);
                    self.woken.0.notified().await;
                }
            }
        }
    }

    /// The position up to which everything was received, or passed over.
    pub(crate) fn position(&self) -> Position {
        self.subscriber.as_ref().map_or(Position::START, |subscriber| subscriber.position())
    }
}
