//! What the clones of a bus share, and how it starts and ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spacefold_event_core::{EventLog, Position, Read, ReadError, RecordedEvent};

use super::{
    BusError, BusOptions,
    dispatcher::Dispatcher,
    history::History,
    lanes::{Lanes, Progress},
};
use crate::{
    delivery::SubscribeError,
    durable::Place,
    feed::Feed,
    parked::{Entry, Parked},
    subscription::Subscription,
};

pub(crate) struct Inner {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) options: BusOptions,
    pub(crate) source: EventSource,
    state: Mutex<State>,
}

/// Where stored events come from.
pub(crate) enum EventSource {
    Nowhere,
    /// What the log commits once there is a handler.
    Live(Feed),
    /// What the log has behind a place that is kept, once the bus is started.
    Durable(Feed, Box<Subscription>),
}

pub(crate) enum State {
    Waiting(Option<Place>),
    Running(Lanes),
    Closed,
}

impl Inner {
    pub(crate) fn new(
        options: BusOptions,
        parked: Parked,
        source: EventSource,
        place: Option<Place>,
    ) -> Self {
        let dispatcher = Arc::new(Dispatcher::new(History::new(options.history), parked));
        Self { dispatcher, options, source, state: Mutex::new(State::Waiting(place)) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        match &*self.state() {
            State::Running(lanes) => Some(Arc::clone(lanes.progress())),
            State::Waiting(_) | State::Closed => None,
        }
    }

    /// Starts the lanes, unless they run or there is nothing to deliver.
    pub(crate) fn run(&self) -> Result<(), BusError> {
        let mut state = self.state();
        let place = match &mut *state {
            State::Running(_) => return Ok(()),
            State::Closed => return Err(BusError::Closed),
            State::Waiting(place) => place.take(),
        };
        let begun = match &self.source {
            EventSource::Nowhere => return Ok(()),
            EventSource::Live(feed) => {
                let subscription = Subscription::from_now().named("bus");
                let after = feed.log().durable_head();
                self.start_lanes(feed, &subscription, after, None)
            }
            EventSource::Durable(feed, subscription) => {
                let after = place.as_ref().map_or(Position::START, Place::position);
                self.start_lanes(feed, subscription, after, place)
            }
        };
        match begun {
            Ok(lanes) => *state = State::Running(lanes),
            // The place is given up with the lanes: another bus may take it.
            Err(error) => {
                *state = State::Closed;
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn start_lanes(
        &self,
        feed: &Feed,
        subscription: &Subscription,
        after: Position,
        place: Option<Place>,
    ) -> Result<Lanes, SubscribeError> {
        Lanes::start(feed, subscription, after, place, self.options.lanes, &self.dispatcher)
    }

    /// The event of a parked entry.
    pub(crate) fn event(&self, entry: &Entry) -> Result<Arc<RecordedEvent>, BusError> {
        if let Some(event) = &entry.event {
            return Ok(Arc::clone(event));
        }
        let position = entry.parked.position;
        let log: &Arc<dyn EventLog> = match &self.source {
            EventSource::Nowhere => return Err(BusError::NotParked),
            EventSource::Live(feed) | EventSource::Durable(feed, _) => feed.log(),
        };
        let page = log.read(&Read::from(position).to(position).limit(1))?;
        let event = page.events().next().transpose();
        let event = event.map_err(|cause| ReadError::Corrupt { position, cause })?;
        let event = event.filter(|event| event.event_id == entry.parked.event_id);
        event.map(|event| Arc::new(event.to_owned_event())).ok_or(BusError::NotParked)
    }

    pub(crate) fn close(&self) {
        self.dispatcher.stop.stop();
        let state = std::mem::replace(&mut *self.state(), State::Closed);
        if let State::Running(lanes) = state {
            lanes.close();
        }
        self.dispatcher.clear();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
