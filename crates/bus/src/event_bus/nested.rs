//! Events that handlers publish while they handle one.
//!
//! They wait until the handlers of the event at hand are done, so that every handler sees cause
//! before effect; then they are handled in the same thread. Nobody waits for another thread, so
//! nothing can block for ever.

use std::{cell::RefCell, collections::VecDeque, sync::Arc};

use spacefold_event_core::RecordedEvent;

/// How many events may wait in one thread for the one that is being handled.
pub(crate) const MAX_NESTED_EVENTS: usize = 65_536;

/// An event with the identity of its bus.
type WaitingEvents = (usize, VecDeque<Arc<RecordedEvent>>);

thread_local! {
    /// Each bus of which this thread handles an event, with those that wait.
    static HANDLING: RefCell<Vec<WaitingEvents>> = const { RefCell::new(Vec::new()) };
}

/// What becomes of an event that is published.
pub(crate) enum Nesting {
    /// This thread handles no event of the bus: it is to be handled now.
    Outermost(Arc<RecordedEvent>),
    /// It waits for the event at hand.
    Queued,
    Full,
}

/// Puts an event behind the one that this thread handles for the bus, if it does.
pub(crate) fn enter(bus: usize, event: Arc<RecordedEvent>) -> Nesting {
    HANDLING.with_borrow_mut(|handling| match handling.iter_mut().find(|(of, _)| *of == bus) {
        None => Nesting::Outermost(event),
        Some((_, waiting)) if waiting.len() >= MAX_NESTED_EVENTS => Nesting::Full,
        Some((_, waiting)) => {
            waiting.push_back(event);
            Nesting::Queued
        }
    })
}

/// Handles an event of a bus of which this thread handles none, then all that are published
/// meanwhile. `handle` says whether to go on.
pub(crate) fn handle(
    bus: usize,
    event: &Arc<RecordedEvent>,
    mut handle: impl FnMut(&Arc<RecordedEvent>) -> bool,
) {
    HANDLING.with_borrow_mut(|handling| handling.push((bus, VecDeque::new())));
    let _leave = Leave { bus };
    let mut goes_on = handle(event);
    while goes_on && let Some(next) = next(bus) {
        goes_on = handle(&next);
    }
}

fn next(bus: usize) -> Option<Arc<RecordedEvent>> {
    HANDLING.with_borrow_mut(|handling| {
        let (_, waiting) = handling.iter_mut().find(|(of, _)| *of == bus)?;
        waiting.pop_front()
    })
}

struct Leave {
    bus: usize,
}

impl Drop for Leave {
    fn drop(&mut self) {
        HANDLING.with_borrow_mut(|handling| handling.retain(|(of, _)| *of != self.bus));
    }
}
