//! A bus for a service, with or without a store.

use spacefold_bus::{BusOptions, EventBus, Feed};

use crate::space_service::SpaceService;

impl SpaceService {
    /// A bus that calls handlers for what is recorded in the log of this service, by it or by
    /// others, from when they are registered.
    ///
    /// # Examples
    /// ```
    /// use std::{sync::mpsc, time::Duration};
    /// use spacefold::{EventType, SpaceService, bus::{BusOptions, Priority}};
    /// let service = SpaceService::in_memory();
    /// let bus = service.bus(BusOptions::new());
    /// let (seen, seen_by_handler) = mpsc::channel();
    /// bus.on(EventType::SpaceCreated, Priority::NORMAL, move |event| seen.send(event.position))?;
    /// let created = service.create_space("handbook", "Handbook")?;
    /// assert_eq!(Some(seen_by_handler.recv()?), created.last_position());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn bus(&self, options: BusOptions) -> EventBus {
        EventBus::over(&Feed::new(self.log().clone()), options)
    }
}
