//! Subscriptions whose place in the log is kept under a name.

use std::time::Duration;

use spacefold_event_core::{EventFilter, Position, StorageError};

use crate::{
    ack_error::AckError,
    delivery::{Delivery, ReceiveError},
    durable_place::DurablePlace,
    subscriber::{Subscriber, SubscriptionHandle},
};

/// A [`Subscriber`] whose place in the log is kept in the store under a name, so that the next one
/// of that name goes on there.
///
/// What was received counts as processed once it is acknowledged: whatever happens before, it is
/// received again. With [`DurableSubscriber::ack_with`] a result is kept in the same write as the
/// place, so that each event is in the result exactly once.
///
/// # Durability
/// A place that moved is synced within a second, unless the feed was
/// [told otherwise](crate::Feed::sync_places_within), or at once by [`DurableSubscriber::sync`]: a
/// kill or a power cut takes back at most the acknowledgements since, and the result that was kept
/// with them, but never one without the other: their events are received again. No other part of a
/// store that is lost or damaged changes anything about places: they are in a file of their own.
/// Where that is removed the subscription begins anew where its description says. One that must not
/// miss an event even then begins at the start or behind a fixed position.
///
/// # Blocking
/// Receiving waits for events as its methods say, and acknowledging for no sync: places are synced by a
/// thread, within a second. [`DurableSubscriber::sync`] blocks on a sync, and so does dropping the last
/// that a feed has given when something is not synced yet.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use spacefold::{
///     Delivery, Position, SpaceEvent, Subscription, log::{AppendRequest, LogWriter, MemoryLog},
///     subscribe::Feed,
/// };
/// let log = Arc::new(MemoryLog::new());
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// let feed = Feed::new(log);
/// let mut mailer = feed.subscribe_durable("mailer", &Subscription::from_start())?;
/// while let Delivery::Events(page) = mailer.recv()? {
///     for event in page.events() {
///         println!("mail about {}", event?.space_id);
///     }
///     mailer.ack(page.next().previous())?;
/// }
/// drop(mailer);
/// let again = feed.subscribe_durable("mailer", &Subscription::from_start())?;
/// assert_eq!(again.acknowledged(), Position::new(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DurableSubscriber {
    // Dropped first: the name is free once nothing is received under it any more.
    subscriber: Subscriber,
    place: DurablePlace,
}

impl DurableSubscriber {
    pub(crate) const fn new(subscriber: Subscriber, place: DurablePlace) -> Self {
        Self { subscriber, place }
    }

    /// Receives what comes next, and waits for it.
    ///
    /// # Errors
    /// As [`Subscriber::recv`].
    pub fn recv(&mut self) -> Result<Delivery, ReceiveError> {
        self.subscriber.recv()
    }

    /// Receives what comes next; `None` when there is nothing to deliver for as long as `timeout`.
    ///
    /// # Errors
    /// As [`Subscriber::recv_timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Delivery>, ReceiveError> {
        self.subscriber.recv_timeout(timeout)
    }

    /// Receives what there is already.
    ///
    /// # Errors
    /// As [`Subscriber::try_recv`].
    pub fn try_recv(&mut self) -> Result<Option<Delivery>, ReceiveError> {
        self.subscriber.try_recv()
    }

    /// The subscriber, to be awaited as a stream.
    pub const fn subscriber(&mut self) -> &mut Subscriber {
        &mut self.subscriber
    }

    /// A handle that closes the subscription from elsewhere.
    #[must_use]
    pub fn handle(&self) -> SubscriptionHandle {
        self.subscriber.handle()
    }

    /// The position up to which everything was received, or did not pass the filter.
    #[must_use]
    pub fn position(&self) -> Position {
        self.subscriber.position()
    }

    /// The position that was acknowledged last.
    #[must_use]
    pub const fn acknowledged(&self) -> Position {
        self.place.acknowledged()
    }

    /// The result that was kept last; empty when none was.
    #[must_use]
    pub fn result(&self) -> &[u8] {
        self.place.result()
    }

    /// The place, to set events aside by.
    #[must_use]
    pub const fn place(&self) -> &DurablePlace {
        &self.place
    }

    /// Acknowledges everything up to `position`: the next subscriber of the name goes on behind
    /// it. At most up to [`DurableSubscriber::position`]; a position that is acknowledged already
    /// changes nothing.
    ///
    /// # Durability
    /// It outlives the store being closed, and a kill once it is synced: within a second, or at
    /// once by [`DurableSubscriber::sync`].
    ///
    /// # Errors
    /// [`AckError`]; what was acknowledged before stays.
    pub fn ack(&mut self, position: Position) -> Result<(), AckError> {
        if position <= self.acknowledged() {
            return Ok(());
        }
        self.check_received(position)?;
        self.place.ack(position)
    }

    /// Acknowledges everything up to `position` and keeps the result of processing it, of at most
    /// 1 MiB, both or neither: what [`DurableSubscriber::result`] gives after a restart is made of
    /// exactly the events up to [`DurableSubscriber::acknowledged`].
    ///
    /// # Durability
    /// As [`DurableSubscriber::ack`].
    ///
    /// # Errors
    /// [`AckError`]; place and result of before stay.
    pub fn ack_with(
        &mut self,
        position: Position,
        result: impl Into<Vec<u8>>,
    ) -> Result<(), AckError> {
        self.check_received(position)?;
        self.place.ack_with(position, result)
    }

    /// Makes all acknowledgements outlive a kill.
    ///
    /// # Errors
    /// [`StorageError`]: a kill may take them back.
    ///
    /// # Cost
    /// All places are written, and synced: as much as a durable append.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.place.sync()
    }

    fn check_received(&self, position: Position) -> Result<(), AckError> {
        let received = self.position();
        if position > received {
            return Err(AckError::NotReceived { position, received });
        }
        Ok(())
    }
}

/// How far a durable subscription has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DurableSubscription {
    /// Its name.
    pub name: String,
    /// The position that was acknowledged last; `None` when what is kept does not decode.
    pub position: Option<Position>,
    /// The filter that it was looked at with up to there; `None` when none is kept, or it does not
    /// decode.
    pub filter: Option<EventFilter>,
    /// How many events the durable head is ahead of that.
    pub lag: u64,
    /// How many of its events are parked.
    pub parked: usize,
    /// Whether somebody receives under the name.
    pub is_owned: bool,
}

#[cfg(test)]
mod tests;
