//! Being told what happens.

use spacefold_bus::{
    BusError, BusOptions, DurableSubscriber, EventBus, Feed, SubscribeError, Subscription,
};

use super::Spacefold;

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
