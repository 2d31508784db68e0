//! An open subscription, from which events are received.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures_core::Stream;
use spacefold_event_core::Position;

use crate::{
    cursor::{Cursor, Step},
    delivery::{Delivery, ReceiveError},
    head_watch::{MemberId, Turn},
    signal::Signal,
    source::{FeedSource, Standing, Stride},
    subscription::Subscription,
};

/// An open subscription: events are received from it in the order of the log, history first, then
/// live, every one that passes the filter once.
///
/// It pulls from the log at its own pace: nothing is buffered for it that could overflow, and it
/// holds up nobody. Dropping it ends the subscription.
///
/// Received are pages ([`Subscriber::recv`], or as a [`Stream`]); iterating it gives event by
/// event.
///
/// # Blocking
/// It never waits for a sync: what it gives is durable. Receiving blocks for events as its methods say,
/// and on reading them; dropping it blocks on nothing.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use spacefold::{
///     Delivery, SpaceEvent, Subscription, log::{AppendRequest, LogWriter, MemoryLog}, subscribe::Feed,
/// };
/// let log = Arc::new(MemoryLog::new());
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// let feed = Feed::new(log.clone());
/// let mut subscriber = feed.subscribe(Subscription::from_start())?;
///
/// let Delivery::Events(page) = subscriber.recv()? else { panic!("events come first") };
/// assert_eq!(page.events().next().unwrap()?.space_id, "handbook");
/// assert!(matches!(subscriber.recv()?, Delivery::CaughtUp { .. }));
/// assert!(subscriber.try_recv()?.is_none());
///
/// log.append(&AppendRequest::new(&[SpaceEvent::space_activated("handbook")]))?;
/// assert!(matches!(subscriber.recv()?, Delivery::Events(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Subscriber {
    source: Arc<FeedSource>,
    standing: Arc<Standing>,
    member: MemberId,
    cursor: Cursor,
    heartbeat: Option<Duration>,
    last_delivery: Instant,
    /// Whether it waited in the watch since it last looked at the log.
    has_waited: bool,
    /// What the thread that receives sleeps on.
    signal: Arc<Signal>,
    /// As a stream it ends with the first error.
    has_ended: bool,
}

impl Subscriber {
    pub(crate) fn new(
        source: Arc<FeedSource>,
        standing: Arc<Standing>,
        member: MemberId,
        subscription: &Subscription,
        after: Position,
    ) -> Self {
        let (shared, seen) = (Arc::clone(&source), Arc::clone(&standing));
        let cursor = Cursor::new(shared, seen, subscription.lagging_after, after);
        Self {
            source,
            standing,
            member,
            cursor,
            heartbeat: subscription.heartbeat,
            last_delivery: Instant::now(),
            has_waited: false,
            signal: Arc::new(Signal::new()),
            has_ended: false,
        }
    }

    /// Receives what comes next, and waits for it.
    ///
    /// # Errors
    /// [`ReceiveError`]; after [`ReceiveError::Read`] nothing was passed over.
    ///
    /// # Cost
    /// At the head, pages are shared with all other subscribers and nothing is copied.
    pub fn recv(&mut self) -> Result<Delivery, ReceiveError> {
        loop {
            if let Some(delivery) = self.receive_until(None)? {
                return Ok(delivery);
            }
        }
    }

    /// Receives what comes next; `None` when there is nothing to deliver for as long as `timeout`.
    /// History without a match is read to its end all the same.
    ///
    /// # Errors
    /// [`ReceiveError`]; after [`ReceiveError::Read`] nothing was passed over.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Delivery>, ReceiveError> {
        self.receive_until(Instant::now().checked_add(timeout))
    }

    /// Receives what there is already: everything that was durable before the call.
    ///
    /// # Errors
    /// [`ReceiveError`]; after [`ReceiveError::Read`] nothing was passed over.
    pub fn try_recv(&mut self) -> Result<Option<Delivery>, ReceiveError> {
        self.receive_until(Some(Instant::now()))
    }

    /// The position up to which everything was received, or did not pass the filter.
    #[must_use]
    pub fn position(&self) -> Position {
        self.standing.position()
    }

    /// How many events the durable head is ahead of [`Subscriber::position`], whether they pass
    /// the filter or not.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.source.log.durable_head().since(self.position())
    }

    /// A handle that closes the subscription from elsewhere.
    #[must_use]
    pub fn handle(&self) -> SubscriptionHandle {
        SubscriptionHandle {
            source: Arc::clone(&self.source),
            standing: Arc::clone(&self.standing),
            member: self.member,
        }
    }

    fn receive_until(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Delivery>, ReceiveError> {
        let waker = Waker::from(Arc::clone(&self.signal));
        loop {
            if let Poll::Ready(received) = self.poll_delivery(&waker, Stride::Long) {
                return received.map(Some);
            }
            let end = [deadline, self.heartbeat_due()].into_iter().flatten().min();
            let is_raised = self.signal.sleep_until(end);
            if !is_raised && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(None);
            }
        }
    }

    /// Looks at the log for one stride. Where there is more to look at, `waker` is woken at once, so
    /// that others who share the thread get their turn.
    pub(crate) fn poll_delivery(
        &mut self,
        waker: &Waker,
        stride: Stride,
    ) -> Poll<Result<Delivery, ReceiveError>> {
        if std::mem::take(&mut self.has_waited) {
            self.cursor.pass(self.source.watch.passed(self.member));
        }
        loop {
            if self.standing.is_closed() || self.source.is_closed() {
                return Poll::Ready(Err(ReceiveError::Closed));
            }
            let step = self.cursor.step(stride)?;
            if let Step::Deliver(delivery) = step {
                return Poll::Ready(Ok(self.delivered(delivery)));
            }
            if self.heartbeat_due().is_some_and(|due| due <= Instant::now()) {
                let position = self.cursor.passed();
                return Poll::Ready(Ok(self.delivered(Delivery::Heartbeat { position })));
            }
            match step {
                // The head has moved: that costs nothing to find out.
                Step::AtHead => match self.wait_for_head(waker) {
                    Poll::Ready(outcome) => outcome?,
                    Poll::Pending => return Poll::Pending,
                },
                Step::Moved | Step::Deliver(_) => {
                    waker.wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Waits for something behind the cursor.
    fn wait_for_head(&mut self, waker: &Waker) -> Poll<Result<(), ReceiveError>> {
        let (seen, due) = (self.cursor.passed(), self.heartbeat_due());
        match self.source.watch.poll(self.member, seen, due, waker) {
            Poll::Pending => {
                self.has_waited = true;
                Poll::Pending
            }
            Poll::Ready(Turn::Head { passed }) => {
                self.cursor.pass(passed);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Turn::Failed(error)) => Poll::Ready(Err(error.into())),
            Poll::Ready(Turn::Closed) => Poll::Ready(Err(ReceiveError::Closed)),
        }
    }

    fn delivered(&mut self, delivery: Delivery) -> Delivery {
        if self.heartbeat.is_some() {
            self.last_delivery = Instant::now();
        }
        delivery
    }

    fn heartbeat_due(&self) -> Option<Instant> {
        self.heartbeat.and_then(|interval| self.last_delivery.checked_add(interval))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.source.watch.leave(self.member);
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.position();
        f.debug_struct("Subscriber")
            .field("name", &self.standing.name)
            .field("position", &position)
            .finish_non_exhaustive()
    }
}

/// Ends when the subscription is closed, and behind the first error.
///
/// # Cost
/// A poll looks at some 1,024 events at the most, whether they pass the filter or not: a stream over
/// history that nothing in passes wakes itself, and others who share its thread get their turn.
impl Stream for Subscriber {
    type Item = Result<Delivery, ReceiveError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let subscriber = self.get_mut();
        if subscriber.has_ended {
            return Poll::Ready(None);
        }
        let received = std::task::ready!(subscriber.poll_delivery(context.waker(), Stride::Short));
        subscriber.has_ended = received.is_err();
        Poll::Ready(match received {
            Err(ReceiveError::Closed) => None,
            received => Some(received),
        })
    }
}

/// Closes a subscription, from any thread: whoever waits in it is woken and told so.
#[derive(Clone)]
pub struct SubscriptionHandle {
    source: Arc<FeedSource>,
    standing: Arc<Standing>,
    member: MemberId,
}

impl SubscriptionHandle {
    /// Closes the subscription: nothing more is received from it. Closing it again does nothing.
    pub fn close(&self) {
        self.standing.close();
        self.source.watch.close_member(self.member);
    }
}

impl fmt::Debug for SubscriptionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionHandle")
            .field("name", &self.standing.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
