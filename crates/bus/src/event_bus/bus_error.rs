//! Why something could not be done with a bus.

use std::convert::Infallible;

use spacefold_event_core::{
    EventFilter, LimitExceeded, Position, ReadError, StorageError, UnknownEventType,
};

use crate::delivery::SubscribeError;

/// Why something could not be done with a bus.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// There are as many handlers as there may be.
    #[error("a bus has at most {max} handlers")]
    TooManyHandlers {
        /// The most that there may be.
        max: usize,
    },
    /// Another handler has the name.
    #[error("another handler has the name {name:?}")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The handler had another filter when the bus of this name ran before: what only the new one
    /// passes was missed up to where the bus is. The bus is not started, or the handler not
    /// registered; nothing is changed.
    #[error(
        "the handler {handler:?} is kept with another filter: kept is {{{kept}}}, asked for is \
         {{{asked}}}; what only the latter passes was missed up to position {position}, where the \
         bus is: register it with the filter that is kept, under another name, or after \
         EventBus::forget_filter, from when the new one applies behind that position"
    )]
    OtherFilter {
        /// The name of the handler.
        handler: String,
        /// How far the bus has come.
        position: Position,
        /// The filter that is kept.
        kept: Box<EventFilter>,
        /// The filter that was asked for.
        asked: Box<EventFilter>,
    },
    /// No event can be of the type that a handler was to be called for. No handler is registered.
    #[error("{0}; no handler was registered")]
    UnknownEventType(#[from] UnknownEventType),
    /// The event is past a limit; no handler was called.
    #[error("{0}; no handler was called")]
    Limit(#[from] LimitExceeded),
    /// Handlers have published too many events while one was being handled; no handler was called.
    #[error("{max} events wait already for the one that is being handled; no handler was called")]
    TooManyNested {
        /// The most that may wait.
        max: usize,
    },
    /// No event is parked under this id.
    #[error("no event is parked under this id")]
    NotParked,
    /// The bus has no handler of the name.
    #[error("the bus has no handler {name:?}")]
    UnknownHandler {
        /// The name.
        name: String,
    },
    /// The handler has failed once more.
    #[error("the handler failed: {reason}")]
    HandlerFailed {
        /// What it answered.
        reason: String,
    },
    /// The bus is closed.
    #[error("the bus is closed")]
    Closed,
    /// Nobody handles what is stored: the bus has no store, no handler yet, or is a durable one that is
    /// not started.
    #[error(
        "nothing that is stored is handled: the bus has no store, no handler, or is not started"
    )]
    NotRunning,
    /// What the bus delivers could not be subscribed to.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What is made of an [`EventType`](spacefold_event_core::EventType) cannot be unknown.
impl From<Infallible> for BusError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
