//! Handlers that are called for events.

mod bus_error;
mod bus_options;
mod dispatcher;
mod handler_test;
mod history;
mod inner;
mod kept_handlers;
mod lanes;
mod nested;
mod registry;

use std::{fmt, sync::Arc, time::Duration};

use spacefold_event_core::{
    Position, RecordedEvent, Revision, SpaceEvent, StorageError, Timestamp, TypePattern,
};

use self::{
    dispatcher::PublishRefused,
    inner::{BusInner, BusState, Durable, EventSource},
    kept_handlers::KeptHandlers,
    nested::MAX_NESTED_EVENTS,
};
use crate::{
    ack_error::AckError,
    durable_place::DurablePlace,
    feed::Feed,
    handler::{Handler, HandlerOutcome},
    parked::{Parked, ParkedEvent, ParkedId},
    priority::Priority,
    subscription::Subscription,
};

pub use self::{
    bus_error::BusError,
    bus_options::BusOptions,
    dispatcher::{AfterFailure, HandlerFailure, Published},
    handler_test::{Handled, HandlerTest},
    registry::HandlerId,
};

/// Calls handlers for events: those that a log commits, and those that are only published. Clones
/// are cheap and share one bus; it is closed by [`EventBus::close`] or when the last is dropped.
///
/// For each event, handlers run one after the other, by priority, then in the order in which they
/// were registered. A handler that fails or panics is in nobody's way: the others run, then it is
/// tried again as its [`RetryPolicy`](crate::RetryPolicy) says, and at last the event is parked for it, to be retried
/// or discarded by hand. A handler may publish, append, register, remove and subscribe.
///
/// What a log commits is handled by threads of the bus, after it has become durable, never by the
/// writer; the events of a space in their order, all by one thread.
///
/// # Blocking
/// Registering and removing handlers waits for no sync. [`EventBus::publish`] runs the handlers before
/// it returns. [`EventBus::close`], and dropping the last clone, wait for the handlers that run;
/// [`EventBus::sync`] blocks on a sync.
///
/// # Examples
/// ```
/// use std::sync::{Arc, Mutex};
/// use spacefold::{EventBus, EventType, SpaceEvent, bus::{Priority, Published}};
/// let bus = EventBus::new();
/// let log = Arc::new(Mutex::new(Vec::new()));
/// for (name, priority) in [("second", Priority::NORMAL), ("first", Priority::HIGH)] {
///     let log = Arc::clone(&log);
///     bus.on(EventType::SpaceCreated, priority, move |_| log.lock().unwrap().push(name))?;
/// }
/// let published = bus.publish(SpaceEvent::space_created("handbook", "Handbook"))?;
/// assert_eq!(published, Published::Handled { handlers: 2, parked: 0 });
/// assert_eq!(*log.lock().unwrap(), ["first", "second"]);
/// # Ok::<(), spacefold::bus::BusError>(())
/// ```
#[derive(Clone)]
pub struct EventBus {
    inner: Arc<BusInner>,
}

impl Default for EventBus {
    fn default() -> Self {
        Self::new()
    }
}

impl EventBus {
    /// A bus without a store: it has what is published.
    #[must_use]
    pub fn new() -> Self {
        Self::with_options(BusOptions::new())
    }

    /// A bus without a store, with options.
    #[must_use]
    pub fn with_options(options: BusOptions) -> Self {
        Self::made(options, Parked::in_memory(), EventSource::Nowhere, None)
    }

    /// A bus that has what the log of a feed commits, and what is published. A handler sees the
    /// events that become durable after it was registered.
    #[must_use]
    pub fn over(feed: &Feed, options: BusOptions) -> Self {
        let source = EventSource::Live(feed.clone());
        Self::made(options, Parked::in_memory(), source, None)
    }

    /// A bus that has what the log of a feed holds and commits, from where the bus of this name
    /// was; the first of the name begins where `subscription` says, and its filter says which
    /// events. Register the handlers, under names, then [`EventBus::start`] it.
    ///
    /// A handler that is new begins where the bus is. One that comes back under its name must come
    /// with its filter, and so must the bus: see [`EventBus::forget_filter`] and
    /// [`Feed::change_durable_filter`].
    ///
    /// # Durability
    /// Its place and what is parked are kept in the store of the feed, as those of a
    /// [`DurableSubscriber`](crate::DurableSubscriber) are, and synced within a second after they
    /// have moved, unless the feed was [told otherwise](Feed::sync_places_within): each handler has
    /// each event at least once, or it is parked; after a kill, those again whose place was not
    /// synced yet.
    ///
    /// # Errors
    /// [`BusError::Subscribe`]: somebody owns the name, it is kept with another filter, or the store
    /// or the log fails.
    pub fn durable(
        feed: &Feed,
        name: &str,
        subscription: &Subscription,
        options: BusOptions,
    ) -> Result<Self, BusError> {
        let place = feed.take_place(name, subscription)?;
        let parked = Parked::kept_in(feed.places(), name)?;
        let handlers = KeptHandlers::load(feed.places(), name)?;
        let subscription = subscription.clone().named(name);
        let source =
            EventSource::Durable(feed.clone(), Box::new(Durable { subscription, handlers }));
        Ok(Self::made(options, parked, source, Some(place)))
    }

    fn made(
        options: BusOptions,
        parked: Parked,
        source: EventSource,
        place: Option<DurablePlace>,
    ) -> Self {
        Self { inner: Arc::new(BusInner::new(options, parked, source, place)) }
    }

    /// Calls `handler` for events of a type, or of types whose names begin alike: for stored ones
    /// that become durable from now on, and for those that are published.
    ///
    /// # Errors
    /// [`BusError::UnknownEventType`], [`BusError::TooManyHandlers`], [`BusError::Closed`], or a
    /// failure of the log.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{EventBus, EventType, SpaceEvent, bus::Priority, event::Object};
    /// let bus = EventBus::new();
    /// bus.on(EventType::SpaceCreated, Priority::NORMAL, |_| println!("a space"))?;
    /// bus.on("com.example.*", Priority::NORMAL, |event| println!("{}", event.event.type_name()))?;
    /// bus.publish(SpaceEvent::application("handbook", "com.example.paid", Object::new())?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on<T, O: HandlerOutcome>(
        &self,
        types: T,
        priority: Priority,
        handler: impl Fn(&RecordedEvent) -> O + Send + Sync + 'static,
    ) -> Result<HandlerId, BusError>
    where
        T: TryInto<TypePattern>,
        BusError: From<T::Error>,
    {
        self.register(Handler::new(handler).types([types.try_into()?]).priority(priority))
    }

    /// Calls `handler` for every event.
    ///
    /// # Errors
    /// As [`EventBus::on`].
    pub fn on_any<O: HandlerOutcome>(
        &self,
        priority: Priority,
        handler: impl Fn(&RecordedEvent) -> O + Send + Sync + 'static,
    ) -> Result<HandlerId, BusError> {
        self.register(Handler::new(handler).priority(priority))
    }

    /// Calls `handler` for the next event of a type, and no more.
    ///
    /// # Errors
    /// As [`EventBus::on`].
    pub fn once<T, O: HandlerOutcome>(
        &self,
        types: T,
        priority: Priority,
        handler: impl Fn(&RecordedEvent) -> O + Send + Sync + 'static,
    ) -> Result<HandlerId, BusError>
    where
        T: TryInto<TypePattern>,
        BusError: From<T::Error>,
    {
        self.register(Handler::new(handler).types([types.try_into()?]).priority(priority).once())
    }

    /// Calls `handler` for events of a type and awaits it before the next handler runs: see
    /// [`Handler::new_async`].
    ///
    /// # Errors
    /// As [`EventBus::on`].
    ///
    /// # Examples
    /// ```
    /// use spacefold::{EventBus, EventType, SpaceEvent, bus::Priority};
    /// let bus = EventBus::new();
    /// bus.on_async(EventType::SpaceCreated, Priority::NORMAL, |event| async move {
    ///     println!("{} was created", event.event.space_id);
    /// })?;
    /// bus.publish(SpaceEvent::space_created("handbook", "Handbook"))?;
    /// # Ok::<(), spacefold::bus::BusError>(())
    /// ```
    pub fn on_async<T, O, F>(
        &self,
        types: T,
        priority: Priority,
        handler: impl Fn(Arc<RecordedEvent>) -> F + Send + Sync + 'static,
    ) -> Result<HandlerId, BusError>
    where
        T: TryInto<TypePattern>,
        BusError: From<T::Error>,
        O: HandlerOutcome,
        F: Future<Output = O> + Send + 'static,
    {
        self.register(Handler::new_async(handler).types([types.try_into()?]).priority(priority))
    }

    /// Registers a handler with all of its options.
    ///
    /// # Errors
    /// [`BusError::TooManyHandlers`], [`BusError::NameTaken`], [`BusError::Closed`], or a failure
    /// of the log; [`BusError::OtherFilter`] on a durable bus that runs.
    pub fn register(&self, handler: Handler) -> Result<HandlerId, BusError> {
        let after = match &self.inner.source {
            EventSource::Nowhere => Position::START,
            EventSource::Live(feed) => {
                let after = feed.log().durable_head();
                self.inner.run()?;
                after
            }
            EventSource::Durable(feed, _) => match *self.inner.state() {
                BusState::Waiting(_) => Position::START,
                _ => feed.log().durable_head(),
            },
        };
        self.inner.admit_while_running(&handler)?;
        let registry = &self.inner.dispatcher.registry;
        let id = registry.add(handler, after, self.inner.options.retry)?;
        // Looked at behind the change: whoever closes the bus lets go of what is there by then.
        if matches!(*self.inner.state(), BusState::Closed) {
            drop(registry.remove(id));
            return Err(BusError::Closed);
        }
        Ok(id)
    }

    /// Takes a handler off the bus: it is not called again, though it may still be running. Whether
    /// it was there. Its filter is [forgotten](EventBus::forget_filter).
    #[must_use = "it says whether the handler was there"]
    pub fn off(&self, handler: HandlerId) -> bool {
        let Some(removed) = self.inner.dispatcher.registry.remove(handler) else {
            return false;
        };
        if removed.comes_back()
            && let Err(error) = self.forget_filter(&removed.name)
        {
            tracing::warn!(handler = removed.name, %error, "a handler that is off keeps its filter");
        }
        true
    }

    /// Forgets the filter that a durable bus keeps of the handler of this name, so that it may come
    /// back with another one; that applies behind the position that is answered, where the bus is.
    /// To handle the history too, move the bus by [`Feed::reset_durable`] before it is opened.
    ///
    /// # Errors
    /// [`BusError::Storage`]: the filter is kept, or not.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use spacefold::{
    ///     EventBus, EventType, Subscription, bus::{BusError, BusOptions, Handler},
    ///     log::MemoryLog, subscribe::Feed,
    /// };
    /// let feed = Feed::new(Arc::new(MemoryLog::new()));
    /// let open = || {
    ///     EventBus::durable(&feed, "mail", &Subscription::from_start(), BusOptions::new())
    /// };
    /// let bus = open()?;
    /// bus.register(Handler::new(|_| ()).named("send").types([EventType::SpaceCreated]))?;
    /// bus.start()?;
    /// bus.close();
    ///
    /// let bus = open()?;
    /// bus.register(Handler::new(|_| ()).named("send").types([EventType::SpaceDeleted]))?;
    /// assert!(matches!(bus.start(), Err(BusError::OtherFilter { .. })));
    /// bus.forget_filter("send")?;
    /// bus.start()?;
    /// # Ok::<(), BusError>(())
    /// ```
    pub fn forget_filter(&self, handler: &str) -> Result<Position, BusError> {
        if let EventSource::Durable(_, durable) = &self.inner.source {
            durable.handlers.forget(handler)?;
        }
        Ok(self.inner.position())
    }

    /// Begins to deliver what the log has, on a durable bus; on others this is done with the first
    /// handler. Starting a bus again does nothing.
    ///
    /// # Errors
    /// [`BusError::OtherFilter`]: the bus can still be started. [`BusError::Closed`], or a failure of
    /// the log.
    pub fn start(&self) -> Result<(), BusError> {
        self.inner.run()
    }

    /// Makes the place of a durable bus, and what is parked, outlive a kill as they are now; on other
    /// buses there is nothing to do.
    ///
    /// # Errors
    /// [`BusError::Storage`]: what has moved since the sync before may be handled again after a kill.
    ///
    /// # Cost
    /// As [`Feed::sync`].
    pub fn sync(&self) -> Result<(), BusError> {
        if let Some(progress) = self.inner.progress() {
            progress.keep().map_err(|error| match error {
                AckError::Read(error) => BusError::Read(error),
                AckError::Storage(error) => BusError::Storage(error),
                other => StorageError::new("keeping the place of the bus", other).into(),
            })?;
        }
        match &self.inner.source {
            EventSource::Durable(feed, _) => Ok(feed.sync()?),
            EventSource::Nowhere | EventSource::Live(_) => Ok(()),
        }
    }

    /// Gives an event that is not stored to the handlers, in this thread; when it returns they have
    /// run, retries included.
    ///
    /// Called by a handler it returns at once, and the event follows behind the one at hand, so
    /// that every handler sees cause before effect.
    ///
    /// # Errors
    /// [`BusError::Limit`] of an event that no log would take, [`BusError::TooManyNested`],
    /// [`BusError::Closed`]: no handler was called. What handlers answer is no error here.
    pub fn publish(&self, event: SpaceEvent) -> Result<Published, BusError> {
        event.check_limits()?;
        if self.inner.dispatcher.stop.is_stopped() {
            return Err(BusError::Closed);
        }
        let (position, revision) = (Position::START, Revision::NONE);
        let recorded_at = Timestamp::now();
        let event = Arc::new(RecordedEvent { event, position, revision, recorded_at });
        self.inner.dispatcher.publish(event).map_err(|refused| match refused {
            PublishRefused::Full => BusError::TooManyNested { max: MAX_NESTED_EVENTS },
            PublishRefused::Interrupted => BusError::Closed,
        })
    }

    /// The newest events that were handled, the oldest first; as many as the options say.
    #[must_use]
    pub fn history(&self) -> Vec<Arc<RecordedEvent>> {
        self.inner.dispatcher.history.events()
    }

    /// Calls `hook` whenever a handler has failed, in the thread that called the handler.
    pub fn on_failure(&self, hook: impl Fn(&HandlerFailure) + Send + Sync + 'static) {
        self.inner.dispatcher.set_hook(Arc::new(hook));
    }

    /// The events that are parked, in the order in which they were. At most 10,000: of a bus that
    /// keeps nothing in a store the oldest goes then, on a durable one the handler is tried again
    /// until there is room.
    #[must_use]
    pub fn parked(&self) -> Vec<ParkedEvent> {
        self.inner.dispatcher.parked.list()
    }

    /// Calls the handler of a parked event once more, in this thread; the event is parked no more
    /// when that succeeds.
    ///
    /// # Errors
    /// [`BusError::HandlerFailed`]: it stays parked, with the new reason.
    /// [`BusError::UnknownHandler`], [`BusError::Read`]: it stays as it was.
    /// [`BusError::NotParked`]; [`BusError::Storage`]: the handler has succeeded, but the event may
    /// be there again after a restart.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{
    ///     EventBus, EventType, SpaceEvent, bus::{BusError, BusOptions, Priority, RetryPolicy},
    /// };
    /// let bus = EventBus::with_options(BusOptions::new().retry(RetryPolicy::NEVER));
    /// bus.on(EventType::SpaceCreated, Priority::NORMAL, |_| Err::<(), _>("no room"))?;
    /// bus.publish(SpaceEvent::space_created("handbook", "Handbook"))?;
    /// let parked = bus.parked().remove(0);
    /// assert_eq!(parked.reason, "no room");
    /// assert!(matches!(bus.retry(parked.id), Err(BusError::HandlerFailed { .. })));
    /// bus.discard(parked.id)?;
    /// assert!(bus.parked().is_empty());
    /// # Ok::<(), BusError>(())
    /// ```
    pub fn retry(&self, parked: ParkedId) -> Result<(), BusError> {
        let dispatcher = &self.inner.dispatcher;
        let entry = dispatcher.parked.take(parked).ok_or(BusError::NotParked)?;
        let ready = dispatcher
            .registry
            .named(&entry.parked.handler)
            .ok_or_else(|| BusError::UnknownHandler { name: entry.parked.handler.clone() })
            .and_then(|handler| Ok((handler, self.inner.event(&entry)?)));
        let (handler, event) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                dispatcher.parked.put_back(entry, None);
                return Err(error);
            }
        };
        match handler.call(&event) {
            Ok(()) => {
                dispatcher.succeeded(&handler);
                Ok(dispatcher.parked.forget(parked)?)
            }
            Err(reason) => {
                dispatcher.parked.put_back(entry, Some(&reason));
                Err(BusError::HandlerFailed { reason })
            }
        }
    }

    /// Gives a parked event up.
    ///
    /// # Errors
    /// [`BusError::NotParked`]; [`BusError::Storage`]: it may be there again after a restart.
    pub fn discard(&self, parked: ParkedId) -> Result<(), BusError> {
        self.inner.dispatcher.parked.take(parked).ok_or(BusError::NotParked)?;
        Ok(self.inner.dispatcher.parked.forget(parked)?)
    }

    /// The position up to which all stored events are handled, as far as the bus was running;
    /// [`Position::START`] when it is not.
    #[must_use]
    pub fn position(&self) -> Position {
        self.inner.progress().map_or(Position::START, |progress| progress.position())
    }

    /// How many events the durable head is ahead of [`EventBus::position`]; 0 when the bus is not
    /// running.
    #[must_use]
    pub fn lag(&self) -> u64 {
        match (&self.inner.source, self.inner.progress()) {
            (EventSource::Live(feed) | EventSource::Durable(feed, _), Some(progress)) => {
                feed.log().durable_head().since(progress.position())
            }
            _ => 0,
        }
    }

    /// Waits until all stored events up to `position` are handled, or `timeout` has passed; answers
    /// [`EventBus::position`], which lies before `position` when the time was over first. Not for
    /// handlers: they would wait for themselves.
    ///
    /// # Errors
    /// [`BusError::Closed`] when the bus or its log is closed before all of them are handled;
    /// [`BusError::NotRunning`] when nobody is to handle any.
    ///
    /// # Examples
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use spacefold::{
    ///     EventBus, Position, SpaceEvent, bus::{BusError, BusOptions, Priority},
    ///     log::{AppendRequest, LogWriter, MemoryLog}, subscribe::Feed,
    /// };
    /// let log = Arc::new(MemoryLog::new());
    /// let bus = EventBus::over(&Feed::new(log.clone()), BusOptions::new());
    /// bus.on_any(Priority::NORMAL, |event| println!("{}", event.position))?;
    /// let events = [SpaceEvent::space_created("handbook", "Handbook")];
    /// let position = log.append(&AppendRequest::new(&events))?.last_position();
    /// assert_eq!(bus.wait_handled(position, Duration::from_secs(60))?, position);
    ///
    /// bus.close();
    /// let waited = bus.wait_handled(position.next(), Duration::from_secs(60));
    /// assert!(matches!(waited, Err(BusError::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_handled(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, BusError> {
        self.inner.running()?.wait(position, timeout)
    }

    /// Closes the bus: waits for the handlers that run, calls none any more and lets go of them
    /// all. An event whose handlers were not done is handled again by the next durable bus of the
    /// name. Whoever closes it again waits until it is closed.
    ///
    /// From within a handler or a projection, of this bus or any other, it waits for no handler, since
    /// that could be waiting for this one: those that run end behind the event at hand. Elsewhere, hold
    /// no lock that a handler takes.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
