//! The place of a durable subscription in the log, with its owner.

use std::{fmt, sync::Arc};

use spacefold_event_core::{EventFilter, Position, StorageError};

use crate::{
    ack_error::AckError,
    checkpoint::{self, MAX_RESULT_BYTES, SubscriptionCheckpoint},
    delivery::SubscribeError,
    names::NameOwner,
    parked::{ParkError, ParkedEvent, ParkedId, ParkedStore},
    places::Places,
    source::FeedSource,
    subscribed_filter::{self, FilterDigest},
};

/// The place of a durable subscription, had by one owner at a time: for who receives events by other
/// means than a [`DurableSubscriber`](crate::DurableSubscriber), such as a server whose clients
/// acknowledge in requests of their own. The name is free again once it is dropped.
///
/// # Durability
/// As that of a [`DurableSubscriber`](crate::DurableSubscriber): what moved is synced within a second.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use spacefold::{
///     Position, SpaceEvent, Subscription, log::{AppendRequest, LogWriter, MemoryLog},
///     subscribe::Feed,
/// };
/// let log = Arc::new(MemoryLog::new());
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// let feed = Feed::new(log);
/// let mut mailer = feed.hold_durable("mailer", &Subscription::from_start())?;
/// // What cannot be processed is set aside, and acknowledged all the same.
/// mailer.park(Position::new(1), "mailer", "no such address")?;
/// mailer.ack(Position::new(1))?;
/// assert_eq!(mailer.parked()?[0].reason, "no such address");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DurablePlace {
    source: Arc<FeedSource>,
    places: Arc<Places>,
    owner: NameOwner,
    checkpoint: SubscriptionCheckpoint,
}

impl DurablePlace {
    /// Takes the place of this name, and makes it when there is none; it is kept before anything
    /// is received. One that was kept without its filter takes this one for it.
    pub(crate) fn take(
        source: &Arc<FeedSource>,
        places: &Arc<Places>,
        name: &str,
        filter: &EventFilter,
        begin: impl FnOnce() -> Result<Position, SubscribeError>,
    ) -> Result<Self, SubscribeError> {
        let owner = NameOwner::of(&source.owned, name)?;
        let (source, places) = (Arc::clone(source), Arc::clone(places));
        let checkpoint = match SubscriptionCheckpoint::load(&places, name)? {
            Some(checkpoint) => {
                if !checkpoint.fits(&*source.log)? {
                    let what = "it is of another log, or of a copy of this one that went on apart";
                    return Err(SubscribeError::Unfit { name: name.to_owned(), what });
                }
                checkpoint
            }
            None => SubscriptionCheckpoint::at(&*source.log, begin()?, Vec::new(), None)?,
        };
        let mut place = Self { source, places, owner, checkpoint };
        place.keep_filter(filter)?;
        Ok(place)
    }

    /// Keeps a filter with a place that has none; one that has another stays as it is.
    fn keep_filter(&mut self, filter: &EventFilter) -> Result<(), SubscribeError> {
        let (name, asked) = (self.owner.name(), FilterDigest::of(filter));
        match self.checkpoint.filter {
            Some(kept) if kept == asked => return Ok(()),
            Some(kept) => {
                return Err(SubscribeError::OtherFilter {
                    name: name.to_owned(),
                    position: self.acknowledged(),
                    kept: subscribed_filter::kept_as(&self.places, name, kept)?.map(Box::new),
                    asked: Box::new(filter.clone()),
                });
            }
            None => {}
        }
        subscribed_filter::keep(&self.places, name, filter)?;
        self.checkpoint.filter = Some(asked);
        self.places.put(&checkpoint::key(name), &self.checkpoint.encode())?;
        Ok(self.places.sync()?)
    }

    /// The position that was acknowledged last.
    #[must_use]
    pub const fn acknowledged(&self) -> Position {
        self.checkpoint.position()
    }

    /// The result that was kept last; empty when none was.
    #[must_use]
    pub fn result(&self) -> &[u8] {
        &self.checkpoint.result
    }

    /// Acknowledges everything up to `position`, which is for the caller to have received; the result
    /// that was kept stays. A position that is acknowledged already changes nothing.
    ///
    /// # Errors
    /// [`AckError`]; [`AckError::NotReceived`] beyond the durable head. What was acknowledged before
    /// stays.
    pub fn ack(&mut self, position: Position) -> Result<(), AckError> {
        if position <= self.acknowledged() {
            return Ok(());
        }
        self.check_durable(position)?;
        let result = self.checkpoint.result.clone();
        self.keep(position, result)
    }

    /// Acknowledges everything up to `position` and keeps a result of at most 1 MiB, both or neither:
    /// as [`DurableSubscriber::ack_with`](crate::DurableSubscriber::ack_with).
    ///
    /// # Errors
    /// [`AckError`]; place and result of before stay.
    pub fn ack_with(
        &mut self,
        position: Position,
        result: impl Into<Vec<u8>>,
    ) -> Result<(), AckError> {
        let result = result.into();
        let acknowledged = self.acknowledged();
        if position < acknowledged {
            return Err(AckError::Backwards { position, acknowledged });
        }
        if result.len() > MAX_RESULT_BYTES {
            return Err(AckError::ResultTooLong { bytes: result.len(), max: MAX_RESULT_BYTES });
        }
        self.check_durable(position)?;
        self.keep(position, result)
    }

    /// Makes all acknowledgements, and what is parked, outlive a kill.
    ///
    /// # Errors
    /// [`StorageError`]: a kill may take them back.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.places.sync()
    }

    /// The events that are set aside, in the order in which they were.
    ///
    /// # Errors
    /// [`StorageError`] when the places cannot be read.
    pub fn parked(&self) -> Result<Vec<ParkedEvent>, StorageError> {
        ParkedStore::of(&self.places, self.owner.name()).list()
    }

    /// Sets the event at `position` aside, with who could not process it and why: it stays with the
    /// subscription until it is discarded, whatever is acknowledged. One that `handler` has set aside
    /// before has one attempt more, and this reason. Answers what it is discarded by.
    ///
    /// # Durability
    /// As that of an acknowledgement.
    ///
    /// # Errors
    /// [`ParkError`]; nothing is changed then.
    pub fn park(
        &self,
        position: Position,
        handler: &str,
        reason: &str,
    ) -> Result<ParkedId, ParkError> {
        let page = self.source.log.page_at(position)?;
        let event = page.as_ref().and_then(|page| page.events().next()).transpose();
        let event = event?.ok_or(ParkError::NoEvent { position })?;
        let parked = ParkedStore::of(&self.places, self.owner.name());
        parked.park_again(handler, &event.to_owned_event(), reason)
    }

    /// Gives a parked event up; one that is not parked any more changes nothing.
    ///
    /// # Errors
    /// [`StorageError`]: it is parked still.
    pub fn discard(&self, parked: ParkedId) -> Result<(), StorageError> {
        ParkedStore::of(&self.places, self.owner.name()).remove(parked)
    }

    /// Keeps a position that was processed; a result that was kept before is of events that are not
    /// the last any more.
    pub(crate) fn advance(&mut self, position: Position) -> Result<(), AckError> {
        if position <= self.acknowledged() {
            return Ok(());
        }
        self.keep(position, Vec::new())
    }

    fn check_durable(&self, position: Position) -> Result<(), AckError> {
        let received = self.source.log.durable_head();
        if position > received {
            return Err(AckError::NotReceived { position, received });
        }
        Ok(())
    }

    fn keep(&mut self, position: Position, result: Vec<u8>) -> Result<(), AckError> {
        let filter = self.checkpoint.filter;
        let checkpoint = SubscriptionCheckpoint::at(&*self.source.log, position, result, filter)?;
        self.places.put(&checkpoint::key(self.owner.name()), &checkpoint.encode())?;
        self.checkpoint = checkpoint;
        Ok(())
    }
}

impl fmt::Debug for DurablePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurablePlace")
            .field("name", &self.owner.name())
            .field("position", &self.acknowledged())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
