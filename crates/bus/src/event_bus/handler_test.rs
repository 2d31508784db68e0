//! Tests of handlers, over a log in memory.

use std::{fmt, sync::Arc};

use spacefold_event_core::{MemoryLog, Position, RecordedEvent, SpaceEvent, lock::Lock};

use super::{
    dispatcher::{Dispatcher, Published},
    history::RecentEvents,
};
use crate::{
    handler::Handler,
    parked::{Parked, ParkedEvent},
};

/// A handler over a log in memory: what it answers for given events, when it is called again, and
/// which events are parked.
///
/// Events are delivered as by an [`EventBus`](crate::EventBus), but in the thread of the caller, and a
/// handler that fails is called again at once, as often as its [`RetryPolicy`](crate::RetryPolicy)
/// says.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use spacefold::{
///     EventType, SpaceEvent, bus::Handler, event::RecordedEvent, testing::HandlerTest,
/// };
///
/// let sent = Arc::new(Mutex::new(Vec::new()));
/// let mail = Arc::clone(&sent);
/// let handler = Handler::new(move |event: &RecordedEvent| {
///     let space_id = event.event.space_id.clone();
///     if space_id.is_ascii() { Ok(mail.lock().unwrap().push(space_id)) } else { Err("not ASCII") }
/// });
///
/// let test = HandlerTest::new(handler.types([EventType::SpaceCreated])).given([
///     SpaceEvent::space_created("handbook", "Handbook"),
///     SpaceEvent::space_activated("handbook"),
///     SpaceEvent::space_created("größe", "Größe"),
/// ]);
/// let [created, activated, refused] = test.handled() else { panic!("{test:?}") };
/// assert_eq!(created.answers, [Ok(())]);
/// assert!(activated.answers.is_empty());
/// assert_eq!(refused.answers, vec![Err("not ASCII".to_owned()); 3]);
/// assert_eq!(test.parked()[0].position, refused.event.position);
/// assert_eq!(*sent.lock().unwrap(), ["handbook"]);
/// ```
pub struct HandlerTest {
    log: MemoryLog,
    dispatcher: Dispatcher,
    /// Why it has failed for the event at hand.
    reasons: Arc<Lock<Vec<String>>>,
    handled: Vec<Handled>,
}

/// What a handler did with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handled {
    /// The event, as the log has it.
    pub event: RecordedEvent,
    /// What it answered each time it was called: none when the event is not for it, several when it
    /// was called again. Why it failed is what it said, or what it said as it panicked. When it failed
    /// the last time too, the event is parked.
    pub answers: Vec<Result<(), String>>,
}

impl HandlerTest {
    /// Of this handler, which has had no event yet.
    #[must_use]
    #[track_caller]
    pub fn new(mut handler: Handler) -> Self {
        let dispatcher = Dispatcher::new(RecentEvents::new(0), Parked::in_memory());
        let reasons: Arc<Lock<Vec<String>>> = Arc::default();
        let told = Arc::clone(&reasons);
        dispatcher.set_hook(Arc::new(move |failure| told.lock().push(failure.reason.clone())));
        let retry = handler.retry.unwrap_or_default().at_once();
        handler.retry = Some(retry);
        if let Err(error) = dispatcher.registry.add(handler, Position::START, retry) {
            panic!("{error}");
        }
        Self { log: MemoryLog::new(), dispatcher, reasons, handled: Vec::new() }
    }

    /// Appends events to the log, after those that are there, each recorded at its own time, and
    /// delivers them in order. One that is there already is delivered again, as a durable bus may do
    /// after a kill.
    ///
    /// # Panics
    /// When the log refuses an event, which only one past a limit is; then none is delivered.
    /// When the handler is not done with an event that is delivered.
    #[must_use]
    #[track_caller]
    pub fn given(mut self, events: impl IntoIterator<Item = SpaceEvent>) -> Self {
        match self.log.record(events) {
            Ok(recorded) => recorded.into_iter().for_each(|event| self.deliver(event)),
            Err(error) => panic!("what is given cannot be recorded: {error}"),
        }
        self
    }

    #[track_caller]
    fn deliver(&mut self, event: RecordedEvent) {
        let published = self.dispatcher.publish(Arc::new(event.clone()));
        let reasons = std::mem::take(&mut *self.reasons.lock());
        let mut answers: Vec<_> = reasons.into_iter().map(Err).collect();
        let Ok(Published::Handled { handlers, parked }) = published else {
            panic!("the handler was not done with {event:?}");
        };
        if handlers > parked {
            answers.push(Ok(()));
        }
        self.handled.push(Handled { event, answers });
    }

    /// What it did with each event, in the order in which they were delivered.
    #[must_use]
    pub fn handled(&self) -> &[Handled] {
        &self.handled
    }

    /// The events that are parked, in the order in which they were.
    #[must_use]
    pub fn parked(&self) -> Vec<ParkedEvent> {
        self.dispatcher.parked.list()
    }
}

impl fmt::Debug for HandlerTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerTest").field("handled", &self.handled).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
