//! Being told what happens.

use spacefold_bus::{
    BusError, BusOptions, DurableSubscriber, EventBus, Feed, SubscribeError, Subscriber,
    Subscription,
};

use super::Spacefold;
use crate::snapshot_stream::{self, SnapshotStream, SnapshotStreamError};

impl Spacefold {
    /// What is subscribed to: durable subscriptions, open subscribers and their lag.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.inner.engine.feed
    }

    /// The bus that calls handlers for what the store commits, from when they are registered.
    ///
    /// A handler that holds a clone of this store keeps it open until it is taken off or
    /// [`Spacefold::close`] is called.
    ///
    /// # Examples
    /// ```
    /// use std::{sync::mpsc, time::Duration};
    /// use spacefold::{EventType, SpaceEvent, Spacefold, bus::Priority};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let (seen, seen_by_handler) = mpsc::channel();
    /// spaces.bus().on(EventType::DocumentAdded, Priority::HIGH, move |event| {
    ///     seen.send(event.position)
    /// })?;
    /// let added = SpaceEvent::document_added("handbook", "intro", "/intro.md");
    /// let receipt = spaces.append([added])?;
    /// assert_eq!(seen_by_handler.recv()?, receipt.last_position());
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn bus(&self) -> &EventBus {
        &self.inner.bus
    }

    /// A bus whose place is kept in the store under a name: it calls handlers for every event that
    /// passes the filter of `subscription`, from where the bus of this name was. Register the handlers,
    /// under names, then [`EventBus::start`] it.
    ///
    /// # Durability
    /// As [`EventBus::durable`].
    ///
    /// # Errors
    /// As [`EventBus::durable`].
    pub fn durable_bus(
        &self,
        name: &str,
        subscription: &Subscription,
        options: BusOptions,
    ) -> Result<EventBus, BusError> {
        EventBus::durable(self.feed(), name, subscription, options)
    }

    /// Subscribes to events: history first, then live, nothing missed.
    ///
    /// # Errors
    /// [`SubscribeError`].
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Delivery, SpaceEvent, Spacefold, Subscription};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let created = SpaceEvent::space_created("handbook", "Handbook");
    /// spaces.append([created])?;
    /// let late = spaces.subscribe(Subscription::from_start().spaces(["handbook"]))?;
    /// let mut items = late.into_iter();
    /// assert!(matches!(items.next(), Some(Ok(Delivery::Events(_)))));
    /// assert!(matches!(items.next(), Some(Ok(Delivery::CaughtUp { .. }))));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self, subscription: Subscription) -> Result<Subscriber, SubscribeError> {
        self.feed().subscribe(subscription)
    }

    /// The states of the spaces that a subscription is about, at one position, and every event
    /// behind that position which passes it: for who wants to know how things are, then what
    /// happens. Where the subscription begins by itself does not count. Of a space that it names and
    /// that is not there yet [`SnapshotStream::unknown`] says so, and its events follow once it is.
    ///
    /// # Errors
    /// [`SnapshotStreamError`].
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Delivery, SpaceEvent, Spacefold, Subscription};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let created = SpaceEvent::space_created("handbook", "Handbook");
    /// spaces.append([created])?;
    /// let late = spaces.snapshot_then_subscribe(Subscription::from_now().spaces(["handbook"]))?;
    /// assert_eq!(late.snapshots[0].name(), Some("Handbook"));
    /// let mut tail = late.tail;
    /// assert!(matches!(tail.recv()?, Delivery::CaughtUp { position } if position == late.position));
    ///
    /// let early = spaces.snapshot_then_subscribe(Subscription::from_now().spaces(["guide"]))?;
    /// assert_eq!((early.snapshots.len(), early.unknown), (0, vec!["guide".to_owned()]));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot_then_subscribe(
        &self,
        subscription: Subscription,
    ) -> Result<SnapshotStream, SnapshotStreamError> {
        snapshot_stream::take(&self.inner.engine, subscription)
    }

    /// Subscribes under a name whose place is kept in the store: see
    /// [`DurableSubscriber`]. [`Spacefold::feed`] lists, resets and removes such subscriptions.
    ///
    /// # Errors
    /// [`SubscribeError`]; [`SubscribeError::Owned`] while another subscriber has the name.
    pub fn subscribe_durable(
        &self,
        name: &str,
        subscription: &Subscription,
    ) -> Result<DurableSubscriber, SubscribeError> {
        self.feed().subscribe_durable(name, subscription)
    }
}
