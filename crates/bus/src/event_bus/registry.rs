//! The handlers of a bus, in the order in which they are called.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use spacefold_event_core::{
    EventFilter, EventType, EventTypes, Position, RecordedEvent, closing::InCallback,
    lock::SharedLock,
};

use super::bus_error::BusError;
use crate::{
    handler::{Handler, HandlerFn, Times},
    priority::Priority,
    retry_policy::RetryPolicy,
    signal::block_on,
};

/// How many handlers a bus has at the most.
pub(crate) const MAX_HANDLERS: usize = 4_096;

/// Names a handler of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandlerId(u64);

pub(crate) struct Registered {
    pub(crate) id: HandlerId,
    pub(crate) name: String,
    /// Whether it was given its name, so that it can come back under it.
    pub(crate) is_named: bool,
    pub(crate) retry: RetryPolicy,
    pub(crate) filter: EventFilter,
    priority: Priority,
    /// Stored events up to here were there before it.
    after: Position,
    times: Times,
    is_off: AtomicBool,
    call: HandlerFn,
}

/// Handlers by priority, then in the order of registering; replaced whole by each change, so that
/// an event that is being handled holds nobody up.
pub(crate) struct Registry {
    state: SharedLock<RegistryState>,
}

struct RegistryState {
    handlers: Arc<Handlers>,
    next_id: u64,
}

pub(crate) struct Handlers {
    in_order: Vec<Arc<Registered>>,
    types: EventTypes,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let state = RegistryState { handlers: Arc::new(Handlers::new(Vec::new())), next_id: 1 };
        Self { state: SharedLock::new(state) }
    }

    pub(crate) fn add(
        &self,
        handler: Handler,
        after: Position,
        retry: RetryPolicy,
    ) -> Result<HandlerId, BusError> {
        let mut state = self.state.write();
        let id = HandlerId(state.next_id);
        let is_named = handler.name.is_some();
        let name = handler.name.unwrap_or_else(|| format!("handler-{}", state.next_id));
        let mut in_order = state.handlers.in_order.clone();
        if in_order.len() >= MAX_HANDLERS {
            return Err(BusError::TooManyHandlers { max: MAX_HANDLERS });
        }
        if in_order.iter().any(|other| other.name == name) {
            return Err(BusError::NameTaken { name });
        }
        let priority = handler.priority;
        let place = in_order.partition_point(|other| other.priority >= priority);
        in_order.insert(
            place,
            Arc::new(Registered {
                id,
                name,
                is_named,
                retry: handler.retry.unwrap_or(retry),
                filter: handler.filter,
                priority,
                after,
                times: handler.times,
                is_off: AtomicBool::new(false),
                call: handler.call,
            }),
        );
        state.handlers = Arc::new(Handlers::new(in_order));
        state.next_id += 1;
        Ok(id)
    }

    /// The handler, if it was there.
    pub(crate) fn remove(&self, id: HandlerId) -> Option<Arc<Registered>> {
        let removed = {
            let mut state = self.state.write();
            let mut in_order = state.handlers.in_order.clone();
            let place = in_order.iter().position(|handler| handler.id == id);
            let removed = place.map(|place| in_order.remove(place));
            if removed.is_some() {
                state.handlers = Arc::new(Handlers::new(in_order));
            }
            removed
        };
        // Outside of the lock, since what a handler has captured is dropped with it.
        removed.filter(|handler| !handler.is_off.swap(true, Ordering::AcqRel))
    }

    pub(crate) fn clear(&self) {
        let mut state = self.state.write();
        let none = Arc::new(Handlers::new(Vec::new()));
        let handlers = std::mem::replace(&mut state.handlers, none);
        drop(state);
        drop(handlers);
    }

    pub(crate) fn handlers(&self) -> Arc<Handlers> {
        Arc::clone(&self.state.read().handlers)
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Registered>> {
        self.handlers().in_order.iter().find(|handler| handler.name == name).cloned()
    }
}

impl Handlers {
    fn new(in_order: Vec<Arc<Registered>>) -> Self {
        let types = in_order.iter().flat_map(|handler| handler.filter.event_types().iter());
        let types = types.collect();
        Self { in_order, types }
    }

    /// Whether a handler may want events of this type.
    pub(crate) fn want(&self, event_type: EventType) -> bool {
        self.types.contains(event_type)
    }

    /// Those that can come back under their names, with their filters.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &EventFilter)> + Clone {
        let named = self.in_order.iter().filter(|handler| handler.comes_back());
        named.map(|handler| (handler.name.as_str(), &handler.filter))
    }

    /// Those to be called for an event, in order.
    pub(crate) fn of<'a>(
        &'a self,
        event: &'a RecordedEvent,
    ) -> impl Iterator<Item = &'a Arc<Registered>> {
        self.in_order.iter().filter(|handler| handler.wants(event))
    }
}

impl Registered {
    fn wants(&self, event: &RecordedEvent) -> bool {
        let is_new = event.position == Position::START || event.position > self.after;
        is_new && self.filter.selects(&event.event)
    }

    /// Whether it is still to be called. One that is to be called once says so once.
    pub(crate) fn takes_a_call(&self) -> bool {
        match self.times {
            Times::Every => !self.is_off.load(Ordering::Acquire),
            Times::Once => !self.is_off.swap(true, Ordering::AcqRel),
        }
    }

    /// Whether it is gone, rather than called already.
    pub(crate) fn is_gone(&self) -> bool {
        self.times == Times::Every && self.is_off.load(Ordering::Acquire)
    }

    /// Whether it can come back, under its name, when the bus runs again.
    pub(crate) const fn comes_back(&self) -> bool {
        self.is_named && !self.is_once()
    }

    pub(crate) const fn is_once(&self) -> bool {
        matches!(self.times, Times::Once)
    }

    /// Calls it. A panic is a failure like any other.
    pub(crate) fn call(&self, event: &Arc<RecordedEvent>) -> Result<(), String> {
        let _in_callback = InCallback::begin();
        let called = catch_unwind(AssertUnwindSafe(|| match &self.call {
            HandlerFn::Now(call) => call(event),
            HandlerFn::Awaited(call) => block_on(call(Arc::clone(event))),
        }));
        match called {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(panic) => Err(format!("panicked: {}", said(&*panic))),
        }
    }
}

/// What was said with a panic.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
