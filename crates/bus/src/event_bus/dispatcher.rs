//! Calling the handlers of an event: in order, again when they fail, and setting the event aside
//! when that does not help.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use spacefold_event_core::{EventId, Position, RecordedEvent, lock::SharedLock};

use super::{
    history::RecentEvents,
    nested::{self, Nesting},
    registry::{Registered, Registry},
};
use crate::{
    parked::{ParkError, Parked},
    stop::Stop,
};

/// How long a handler rests whose event cannot be parked.
const REST_WHILE_FULL: Duration = Duration::from_secs(1);

/// What is told about a handler that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandlerFailure {
    /// The name of the handler.
    pub handler: String,
    /// Where the event stands; 0 when it is not stored.
    pub position: Position,
    /// The id of the event.
    pub event_id: EventId,
    /// The name of its type.
    pub type_name: String,
    /// The space it happened to.
    pub space_id: String,
    /// How often the handler was tried.
    pub attempts: u32,
    /// What it answered, or said as it panicked.
    pub reason: String,
    /// What happens now.
    pub next: AfterFailure,
}

/// What happens after a handler has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterFailure {
    /// It is tried again.
    Retry {
        /// After this long.
        wait: Duration,
    },
    /// The event is parked, and the next one handled.
    Parked,
    /// The event could not be parked: there are too many, or the store failed. The handler is
    /// tried again until it succeeds or the event can be parked.
    NotParked {
        /// After this long.
        wait: Duration,
    },
}

/// What became of an event that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Published {
    /// Its handlers have run.
    Handled {
        /// How many there are.
        handlers: usize,
        /// For how many of them it is parked.
        parked: usize,
    },
    /// It was published by a handler: its handlers run once those of that event are done.
    Queued,
}

type Hook = dyn Fn(&HandlerFailure) + Send + Sync;

/// The bus was closed while a handler was to be tried again: the event is not done.
pub(crate) struct DispatchInterrupted;

/// Why an event is not published.
pub(crate) enum PublishRefused {
    /// Too many wait for the one at hand.
    Full,
    Interrupted,
}

/// What delivers events to handlers, in whichever thread.
pub(crate) struct Dispatcher {
    pub(crate) registry: Registry,
    pub(crate) history: RecentEvents,
    pub(crate) parked: Parked,
    pub(crate) stop: Arc<Stop>,
    hook: SharedLock<Option<Arc<Hook>>>,
}

impl Dispatcher {
    pub(crate) fn new(history: RecentEvents, parked: Parked) -> Self {
        Self {
            registry: Registry::new(),
            history,
            parked,
            stop: Arc::default(),
            hook: SharedLock::new(None),
        }
    }

    pub(crate) fn set_hook(&self, hook: Arc<Hook>) {
        let mut current = self.hook.write();
        let before = current.replace(hook);
        drop(current);
        drop(before);
    }

    /// Lets go of everything that users have handed in. What panics as it is dropped holds up
    /// nothing.
    pub(crate) fn clear(&self) {
        let hook = self.hook.write().take();
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            drop(hook);
            self.registry.clear();
        }));
        if dropped.is_err() {
            tracing::error!("a handler has panicked as it was dropped");
        }
    }

    /// Handles an event in this thread, and those that its handlers publish.
    pub(crate) fn publish(&self, event: Arc<RecordedEvent>) -> Result<Published, PublishRefused> {
        match nested::enter(self.identity(), event) {
            Nesting::Full => Err(PublishRefused::Full),
            Nesting::Queued => Ok(Published::Queued),
            Nesting::Outermost(event) => {
                let mut published = None;
                nested::handle(self.identity(), &event, |event| {
                    let handled = self.handle(event);
                    let goes_on = handled.is_ok();
                    published.get_or_insert(handled);
                    goes_on
                });
                let published = published.unwrap_or(Err(DispatchInterrupted));
                published.map_err(|DispatchInterrupted| PublishRefused::Interrupted)
            }
        }
    }

    /// Handles a stored event in this thread, and those that its handlers publish.
    pub(crate) fn deliver(&self, event: &Arc<RecordedEvent>) -> Result<(), DispatchInterrupted> {
        let mut outcome = Ok(());
        nested::handle(self.identity(), event, |event| match self.handle(event) {
            Ok(_) => true,
            Err(interrupted) => {
                outcome = Err(interrupted);
                false
            }
        });
        outcome
    }

    /// What tells this bus from others.
    fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn handle(&self, event: &Arc<RecordedEvent>) -> Result<Published, DispatchInterrupted> {
        self.history.push(event);
        let handlers = self.registry.handlers();
        let mut count = 0;
        let mut failed = Vec::new();
        for handler in handlers.of(event).filter(|handler| handler.takes_a_call()) {
            count += 1;
            match handler.call(event) {
                Ok(()) => self.succeeded(handler),
                Err(reason) => failed.push((handler, reason)),
            }
        }
        let mut parked = 0;
        for (handler, reason) in failed {
            parked += usize::from(!self.try_again(handler, event, reason)?);
        }
        Ok(Published::Handled { handlers: count, parked })
    }

    pub(crate) fn succeeded(&self, handler: &Registered) {
        if handler.is_once() {
            drop(self.registry.remove(handler.id));
        }
    }

    /// Tries a handler that failed once until it succeeds or the event is set aside: whether it
    /// succeeded.
    fn try_again(
        &self,
        handler: &Registered,
        event: &Arc<RecordedEvent>,
        mut reason: String,
    ) -> Result<bool, DispatchInterrupted> {
        let mut attempts = 1;
        while !handler.is_gone() {
            let wait = match handler.retry.wait_after(attempts) {
                Some(wait) => {
                    self.tell(handler, event, attempts, &reason, AfterFailure::Retry { wait });
                    wait
                }
                None => match self.park(handler, event, attempts, &reason) {
                    Ok(()) => return Ok(false),
                    Err(error) => {
                        tracing::error!(handler = handler.name, %error, "an event is not parked");
                        let wait = REST_WHILE_FULL;
                        let next = AfterFailure::NotParked { wait };
                        self.tell(handler, event, attempts, &reason, next);
                        wait
                    }
                },
            };
            if !self.stop.rest(wait) {
                return self.interrupted(handler, event, attempts, &reason);
            }
            match handler.call(event) {
                Ok(()) => {
                    self.succeeded(handler);
                    return Ok(true);
                }
                Err(later) => reason = later,
            }
            attempts = attempts.saturating_add(1);
        }
        Ok(false)
    }

    /// The bus was closed in the middle. What a log has is delivered again where that is promised;
    /// everything else is parked, to be seen at least.
    fn interrupted(
        &self,
        handler: &Registered,
        event: &Arc<RecordedEvent>,
        attempts: u32,
        reason: &str,
    ) -> Result<bool, DispatchInterrupted> {
        if event.position > Position::START && self.parked.is_kept() {
            return Err(DispatchInterrupted);
        }
        match self.park(handler, event, attempts, reason) {
            Ok(()) => Ok(false),
            Err(_) => Err(DispatchInterrupted),
        }
    }

    fn park(
        &self,
        handler: &Registered,
        event: &Arc<RecordedEvent>,
        attempts: u32,
        reason: &str,
    ) -> Result<(), ParkError> {
        self.parked.park(&handler.name, event, attempts, reason)?;
        self.tell(handler, event, attempts, reason, AfterFailure::Parked);
        Ok(())
    }

    fn tell(
        &self,
        handler: &Registered,
        event: &RecordedEvent,
        attempts: u32,
        reason: &str,
        next: AfterFailure,
    ) {
        let failure = HandlerFailure {
            handler: handler.name.clone(),
            position: event.position,
            event_id: event.event.event_id,
            type_name: event.event.type_name().to_owned(),
            space_id: event.event.space_id.clone(),
            attempts,
            reason: reason.to_owned(),
            next,
        };
        let HandlerFailure { handler, position, event_id, .. } = &failure;
        match next {
            AfterFailure::Retry { wait } => {
                tracing::warn!(handler, %position, %event_id, attempts, reason, ?wait, "a handler failed: trying again");
            }
            AfterFailure::Parked | AfterFailure::NotParked { .. } => {
                tracing::error!(handler, %position, %event_id, attempts, reason, ?next, "a handler failed");
            }
        }
        let hook = self.hook.read().clone();
        if let Some(hook) = hook
            && catch_unwind(AssertUnwindSafe(|| hook(&failure))).is_err()
        {
            tracing::error!("the hook for failures has panicked");
        }
    }
}
