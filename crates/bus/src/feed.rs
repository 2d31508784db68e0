//! The events of a log, to be subscribed to.

use std::{fmt, sync::Arc, time::Duration};

use spacefold_event_core::{
    EventFilter, LogReader, Position, StorageError, Timestamp, closing::Callbacks,
};

use crate::{
    checkpoint::{self, SubscriptionCheckpoint},
    delivery::SubscribeError,
    durable::{DurableSubscriber, DurableSubscription},
    durable_place::DurablePlace,
    head_watch::Watched,
    names::NameOwner,
    parked::{self, ParkedEvent, ParkedId, ParkedStore},
    place_store::{PlaceFile, PlaceStore},
    places::Places,
    source::{FeedSource, Standing},
    subscribed_filter::{self, FilterDigest},
    subscriber::Subscriber,
    subscription::{LagPolicy, Start, Subscription},
    watcher,
};

/// The events of a log, to be subscribed to by any number of subscribers. Clones are cheap and
/// share one watch on the log.
///
/// # Cost
/// One thread waits for the durable head, while there are subscribers; whatever their number, the
/// writer of the log wakes that thread alone. Subscribers at the head share the pages they are
/// given. One whose filter none of the new events passes is not woken at all.
///
/// That thread ends within a second after the last subscriber has gone, and holds the log until then:
/// close a log that others wait for, rather than drop it.
///
/// # Examples
/// See [`Subscriber`] and [`DurableSubscriber`].
#[derive(Clone)]
pub struct Feed {
    source: Arc<FeedSource>,
    places: Arc<Places>,
}

/// What is known of an open subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriberInfo {
    /// The name it was given, or an empty text.
    pub name: String,
    /// The position up to which it received everything, or nothing passed its filter.
    pub position: Position,
    /// How many events the durable head is ahead of that.
    pub lag: u64,
    /// What it gets when it is lagging.
    pub lag_policy: LagPolicy,
}

impl Feed {
    /// The events of a log. Durable subscriptions are kept in memory, as long as a clone of the
    /// feed is there.
    #[must_use]
    pub fn new(log: Arc<dyn LogReader>) -> Self {
        Self::kept_in(log, Arc::new(PlaceFile::in_memory()))
    }

    /// The events of a log, with the places of durable subscriptions kept in `store`. There should
    /// be one feed for a store: owners of names know of each other in one feed alone.
    #[must_use]
    pub fn kept_in(log: Arc<dyn LogReader>, store: Arc<dyn PlaceStore>) -> Self {
        Self { source: Arc::new(FeedSource::new(log)), places: Arc::new(Places::new(store)) }
    }

    /// The feed, with the places of its durable subscriptions and buses synced within this time
    /// after they have moved, rather than within a second: by one thread for all of them, which is
    /// there while something is to be synced.
    #[must_use]
    pub fn sync_places_within(self, within: Duration) -> Self {
        self.places.sync_within(within);
        self
    }

    /// Makes the places of all durable subscriptions, and what is parked, outlive a kill as they are
    /// now.
    ///
    /// # Errors
    /// [`StorageError`]: a kill may take back what has moved since the sync before.
    ///
    /// # Cost
    /// All places are written, and synced as a durable append is.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.places.sync()
    }

    /// Makes the places outlive the process as they are now, for the last time: acknowledgements and
    /// whatever else would move one are refused from then on, by clones of the feed too.
    ///
    /// # Errors
    /// As [`Feed::sync`].
    pub fn close_places(&self) -> Result<(), StorageError> {
        self.places.close()
    }

    /// Opens a subscription.
    ///
    /// # Errors
    /// [`SubscribeError::BeyondHead`], or a failure of the log or of starting the watching thread.
    pub fn subscribe(&self, subscription: Subscription) -> Result<Subscriber, SubscribeError> {
        let after = self.begin(&subscription)?;
        self.subscribe_after(subscription, after)
    }

    /// Opens the durable subscription `name`: behind what was acknowledged last, or, when there is
    /// none of the name yet, where `subscription` begins.
    ///
    /// # Durability
    /// A new subscription outlives a kill from when this returns.
    ///
    /// # Errors
    /// [`SubscribeError`]; [`SubscribeError::Owned`] while another subscriber has the name,
    /// [`SubscribeError::OtherFilter`] where the filter is another one than the one that is kept:
    /// what only the new one passes would be missed. [`Feed::change_durable_filter`] changes it.
    pub fn subscribe_durable(
        &self,
        name: &str,
        subscription: &Subscription,
    ) -> Result<DurableSubscriber, SubscribeError> {
        let place = self.take_place(name, subscription)?;
        let subscription = subscription.clone().named(name);
        let subscriber = self.subscribe_after(subscription, place.acknowledged())?;
        Ok(DurableSubscriber::new(subscriber, place))
    }

    /// Takes the place of the durable subscription `name`, as [`Feed::subscribe_durable`] does, for
    /// who receives its events otherwise: by a [`Subscriber`] of its own, or as pages of the log,
    /// behind what is acknowledged.
    ///
    /// # Errors
    /// As [`Feed::subscribe_durable`].
    pub fn hold_durable(
        &self,
        name: &str,
        subscription: &Subscription,
    ) -> Result<DurablePlace, SubscribeError> {
        self.take_place(name, subscription)
    }

    /// Every durable subscription, sorted by name.
    ///
    /// # Errors
    /// [`SubscribeError::Storage`].
    pub fn durable_subscriptions(&self) -> Result<Vec<DurableSubscription>, SubscribeError> {
        let mut found = Vec::new();
        for key in self.places.keys(checkpoint::PREFIX)? {
            if let Some(name) = checkpoint::name_of(&key) {
                found.extend(self.durable_subscription(name)?);
            }
        }
        Ok(found)
    }

    /// The durable subscription of this name; `None` when there is none.
    ///
    /// # Errors
    /// [`SubscribeError::Storage`].
    pub fn durable_subscription(
        &self,
        name: &str,
    ) -> Result<Option<DurableSubscription>, SubscribeError> {
        let Some(bytes) = self.places.get(&checkpoint::key(name))? else { return Ok(None) };
        let checkpoint = SubscriptionCheckpoint::decode(&bytes);
        let position = checkpoint.as_ref().map(SubscriptionCheckpoint::position);
        let digest = checkpoint.and_then(|checkpoint| checkpoint.filter);
        let filter = match digest {
            Some(digest) => subscribed_filter::kept_as(&self.places, name, digest)?,
            None => None,
        };
        Ok(Some(DurableSubscription {
            name: name.to_owned(),
            position,
            filter,
            lag: self.source.log.durable_head().since(position.unwrap_or_default()),
            parked: self.places.keys(&parked::prefix(name))?.len(),
            is_owned: self.source.owned.has(name),
        }))
    }

    /// The events that are set aside of a durable subscription, in the order in which they were,
    /// whoever has its name.
    ///
    /// # Errors
    /// [`SubscribeError::Unknown`], or [`SubscribeError::Storage`].
    pub fn parked(&self, name: &str) -> Result<Vec<ParkedEvent>, SubscribeError> {
        if self.places.get(&checkpoint::key(name))?.is_none() {
            return Err(SubscribeError::Unknown { name: name.to_owned() });
        }
        Ok(ParkedStore::of(&self.places, name).list()?)
    }

    /// Gives up an event that is set aside of a durable subscription which nobody has: who has it
    /// discards by its [place](DurablePlace::discard), or by its bus. One that is not parked any more
    /// changes nothing.
    ///
    /// # Durability
    /// It outlives a kill from when this returns.
    ///
    /// # Errors
    /// [`SubscribeError::Owned`], [`SubscribeError::Unknown`], or [`SubscribeError::Storage`].
    pub fn discard_parked(&self, name: &str, parked: ParkedId) -> Result<(), SubscribeError> {
        let _owner = self.own_existing(name)?;
        ParkedStore::of(&self.places, name).remove(parked)?;
        Ok(self.places.sync()?)
    }

    /// Moves a durable subscription, so that it goes on behind `after`; forwards too. The result
    /// that was kept with its place is dropped; its filter and what is parked stay.
    ///
    /// # Durability
    /// It outlives a kill from when this returns.
    ///
    /// # Errors
    /// [`SubscribeError::Owned`] while a subscriber has the name, [`SubscribeError::Unknown`],
    /// [`SubscribeError::BeyondHead`], or a failure to read or write: the old place or the new one
    /// is kept then.
    pub fn reset_durable(&self, name: &str, after: Position) -> Result<(), SubscribeError> {
        let _owner = self.own_existing(name)?;
        self.check_head(after)?;
        let filter = match SubscriptionCheckpoint::load(&self.places, name) {
            Ok(kept) => kept.and_then(|kept| kept.filter),
            Err(SubscribeError::Unfit { .. }) => {
                subscribed_filter::kept(&self.places, name)?.as_ref().map(FilterDigest::of)
            }
            Err(error) => return Err(error),
        };
        let checkpoint = SubscriptionCheckpoint::at(&*self.source.log, after, Vec::new(), filter)?;
        self.places.put(&checkpoint::key(name), &checkpoint.encode())?;
        Ok(self.places.sync()?)
    }

    /// Gives a durable subscription another filter, which applies behind `after`: the position where
    /// it is, to go on from there, or an earlier one, for what only the new filter passes of the
    /// history; then what both pass is received again. Where it is said by
    /// [`Feed::durable_subscriptions`]. A result that was kept with the place stays when that does.
    ///
    /// # Durability
    /// It outlives a kill from when this returns.
    ///
    /// # Errors
    /// As [`Feed::reset_durable`]; the old filter is kept then, or the new one with its place.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use spacefold::{
    ///     EventType, Position, SpaceEvent, SubscribeError, Subscription,
    ///     log::{AppendRequest, LogWriter, MemoryLog}, subscribe::Feed,
    /// };
    /// let log = Arc::new(MemoryLog::new());
    /// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
    /// let feed = Feed::new(log);
    /// let of_handbook = Subscription::from_start().spaces(["handbook"]);
    /// drop(feed.subscribe_durable("mailer", &of_handbook)?);
    ///
    /// let of_all = Subscription::from_start();
    /// let refused = feed.subscribe_durable("mailer", &of_all);
    /// assert!(matches!(refused, Err(SubscribeError::OtherFilter { .. })));
    /// feed.change_durable_filter("mailer", of_all.filter(), Position::START)?;
    /// let mailer = feed.subscribe_durable("mailer", &of_all)?;
    /// assert_eq!(mailer.acknowledged(), Position::START);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn change_durable_filter(
        &self,
        name: &str,
        filter: &EventFilter,
        after: Position,
    ) -> Result<(), SubscribeError> {
        let _owner = self.own_existing(name)?;
        self.check_head(after)?;
        let digest = Some(FilterDigest::of(filter));
        let checkpoint = match SubscriptionCheckpoint::load(&self.places, name) {
            Ok(Some(kept)) if kept.position() == after => kept.with_filter(digest),
            // One that does not decode is made anew.
            Ok(_) | Err(SubscribeError::Unfit { .. }) => {
                SubscriptionCheckpoint::at(&*self.source.log, after, Vec::new(), digest)?
            }
            Err(error) => return Err(error),
        };
        // The place says which filter counts: until that is put it is the old one.
        self.places.put(&checkpoint::key(name), &checkpoint.encode())?;
        subscribed_filter::keep(&self.places, name, filter)?;
        Ok(self.places.sync()?)
    }

    /// Removes a durable subscription, with its place, the result that was kept with it, and what
    /// is parked.
    ///
    /// # Durability
    /// It outlives a kill from when this returns.
    ///
    /// # Errors
    /// [`SubscribeError::Owned`] while a subscriber has the name, [`SubscribeError::Unknown`], or
    /// a failure to write.
    pub fn remove_durable(&self, name: &str) -> Result<(), SubscribeError> {
        let _owner = self.own_existing(name)?;
        for key in self.places.keys(&parked::prefix(name))? {
            self.places.remove(&key)?;
        }
        let filter = subscribed_filter::key(name);
        let handlers = subscribed_filter::key_of_handlers(name);
        for key in [checkpoint::key(name), filter, handlers] {
            self.places.remove(&key)?;
        }
        Ok(self.places.sync()?)
    }

    /// Every open subscriber of this feed, in the order in which they were opened.
    #[must_use]
    pub fn subscribers(&self) -> Vec<SubscriberInfo> {
        let head = self.source.log.durable_head();
        let info = |standing: Arc<Standing>| SubscriberInfo {
            name: standing.name.clone(),
            position: standing.position(),
            lag: head.since(standing.position()),
            lag_policy: standing.lag_policy,
        };
        self.source.watch.interests().into_iter().map(info).collect()
    }

    /// Closes every subscriber, and the feed for new ones: whoever waits is woken, and buses end behind
    /// the events that they are handling. Waits for nobody.
    pub fn close(&self) {
        self.places.note_closing();
        self.source.close();
    }

    /// What the handlers of buses over this feed are called by: whoever closes what handlers use may
    /// wait for them, behind [`Feed::close`].
    #[must_use]
    pub fn callbacks(&self) -> &Arc<Callbacks> {
        &self.source.callbacks
    }

    pub(crate) const fn source(&self) -> &Arc<FeedSource> {
        &self.source
    }

    pub(crate) fn log(&self) -> &Arc<dyn LogReader> {
        &self.source.log
    }

    pub(crate) const fn places(&self) -> &Arc<Places> {
        &self.places
    }

    pub(crate) fn take_place(
        &self,
        name: &str,
        subscription: &Subscription,
    ) -> Result<DurablePlace, SubscribeError> {
        let filter = subscription.filter();
        DurablePlace::take(&self.source, &self.places, name, filter, || self.begin(subscription))
    }

    pub(crate) fn subscribe_after(
        &self,
        subscription: Subscription,
        after: Position,
    ) -> Result<Subscriber, SubscribeError> {
        let standing = Arc::new(Standing::new(
            subscription.name.clone(),
            subscription.filter.clone(),
            subscription.lag_policy,
            after,
        ));
        let source = Arc::clone(&self.source);
        let (member, watched) = self.source.watch.join(Arc::clone(&standing));
        let subscriber = Subscriber::new(source, standing, member, &subscription, after);
        if watched == Watched::NotYet {
            watcher::start(&self.source)?;
        }
        Ok(subscriber)
    }

    /// The position behind which a subscription begins.
    fn begin(&self, subscription: &Subscription) -> Result<Position, SubscribeError> {
        match subscription.start {
            Start::After(position) => {
                self.check_head(position)?;
                Ok(position)
            }
            Start::Now => Ok(self.source.log.durable_head()),
            Start::Time(time) => match Timestamp::from_micros(time.as_micros() - 1) {
                Some(before) => Ok(self.source.log.position_as_of(before)?),
                None => Ok(Position::START),
            },
        }
    }

    fn check_head(&self, asked: Position) -> Result<(), SubscribeError> {
        let head = self.source.log.durable_head();
        if asked > head {
            return Err(SubscribeError::BeyondHead { asked, head });
        }
        Ok(())
    }

    fn own_existing(&self, name: &str) -> Result<NameOwner, SubscribeError> {
        let owner = NameOwner::of(&self.source.owned, name)?;
        match self.places.get(&checkpoint::key(name))? {
            Some(_) => Ok(owner),
            None => Err(SubscribeError::Unknown { name: name.to_owned() }),
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
