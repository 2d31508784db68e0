//! What is called for events.

use std::{error::Error, fmt, pin::Pin, sync::Arc};

use spacefold_event_core::{EventFilter, RecordedEvent, TypePattern};

use crate::{priority::Priority, retry_policy::RetryPolicy};

/// Why a handler failed: any error.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// What a handler answers: nothing, or whether it succeeded. Anything else does not compile:
///
/// ```compile_fail
/// spacefold::bus::Handler::new(|event| event.position.get());
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot answer `{Self}`",
    label = "this handler answers `{Self}`",
    note = "a handler answers `()`, or `Result<(), E>` with an error that is `Send + Sync + 'static`",
    note = "end it with a semicolon to drop what its last call gives",
    note = "a handler that is awaited is registered with `on_async`, or made with `Handler::new_async`"
)]
pub trait HandlerOutcome {
    /// The answer as a result.
    ///
    /// # Errors
    /// The error of the handler.
    fn into_result(self) -> Result<(), HandlerError>;
}

impl HandlerOutcome for () {
    fn into_result(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: Into<HandlerError>> HandlerOutcome for Result<(), E> {
    fn into_result(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}

type HandlerResult = Result<(), HandlerError>;
type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// The function of a handler.
pub(crate) enum HandlerFn {
    Now(Box<dyn Fn(&RecordedEvent) -> HandlerResult + Send + Sync>),
    Awaited(Box<dyn Fn(Arc<RecordedEvent>) -> HandlerFuture + Send + Sync>),
}

/// How often a handler is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Every,
    Once,
}

/// A function to be called for events, with which events, how early among others, and what to do
/// when it fails.
///
/// [`EventBus::on`](crate::EventBus::on) and its like register one in short; this has every
/// option. [`HandlerTest`](crate::HandlerTest) is for tests of one.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use spacefold::{
///     EventBus, EventType, SpaceEvent, bus::{Handler, Priority, RetryPolicy},
///     event::EventFilter,
/// };
/// let bus = EventBus::new();
/// let handler = Handler::new(|event| println!("{}", event.event.space_id))
///     .named("printer")
///     .matching(EventFilter::all().types([EventType::SpaceCreated]).spaces(["handbook"]))
///     .priority(Priority::LOW)
///     .retry(RetryPolicy::new(5, Duration::from_millis(1)));
/// bus.register(handler)?;
/// bus.publish(SpaceEvent::space_created("handbook", "Handbook"))?;
/// # Ok::<(), spacefold::bus::BusError>(())
/// ```
pub struct Handler {
    pub(crate) name: Option<String>,
    pub(crate) filter: EventFilter,
    pub(crate) priority: Priority,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) times: Times,
    pub(crate) call: HandlerFn,
}

impl Handler {
    /// A handler of every event.
    #[must_use]
    pub fn new<O: HandlerOutcome>(
        call: impl Fn(&RecordedEvent) -> O + Send + Sync + 'static,
    ) -> Self {
        Self::calling(HandlerFn::Now(Box::new(move |event| call(event).into_result())))
    }

    /// A handler of every event that is awaited: the next handler is called once it is done.
    ///
    /// Its future is polled in the thread that delivers the event, which sleeps in between; no
    /// runtime is needed. A future that needs one is spawned there, and its handle awaited.
    #[must_use]
    pub fn new_async<O, F>(call: impl Fn(Arc<RecordedEvent>) -> F + Send + Sync + 'static) -> Self
    where
        O: HandlerOutcome,
        F: Future<Output = O> + Send + 'static,
    {
        Self::calling(HandlerFn::Awaited(Box::new(move |event| {
            let awaited = call(event);
            Box::pin(async move { awaited.await.into_result() })
        })))
    }

    const fn calling(call: HandlerFn) -> Self {
        Self {
            name: None,
            filter: EventFilter::all(),
            priority: Priority::NORMAL,
            retry: None,
            times: Times::Every,
            call,
        }
    }

    /// The handler under a name, by which parked events refer to it; no other handler of the bus
    /// may have it. Without one it is `handler-1` and so on, in the order of registering.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only for events of these types: core ones, or what a [`TypePattern`] says of names.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = impl Into<TypePattern>>) -> Self {
        self.filter = self.filter.types(types);
        self
    }

    /// Only for events that pass `filter`, which takes the place of every selection made so far.
    #[must_use]
    pub fn matching(mut self, filter: EventFilter) -> Self {
        self.filter = filter;
        self
    }

    /// How early it runs among the handlers of an event.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// What happens when it fails: as the bus says unless told otherwise.
    #[must_use]
    pub const fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }

    /// For one event only; then it is off.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.times = Times::Once;
        self
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("name", &self.name)
            .field("filter", &self.filter)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}
