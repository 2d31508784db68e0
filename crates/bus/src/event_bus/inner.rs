//! What the clones of a bus share, and how it starts and ends.

use std::sync::{Arc, MutexGuard};

use spacefold_event_core::{
    LogReader, Position, RecordedEvent,
    closing::{Callbacks, CloseOnce, is_in_callback},
    lock::Lock,
};

use super::{
    bus_error::BusError,
    bus_options::BusOptions,
    dispatcher::Dispatcher,
    history::RecentEvents,
    kept_handlers::KeptHandlers,
    lanes::{LaneProgress, Lanes},
};
use crate::{
    delivery::SubscribeError,
    durable_place::DurablePlace,
    feed::Feed,
    handler::{Handler, Times},
    parked::{Parked, ParkedEntry},
    subscription::Subscription,
};

pub(crate) struct BusInner {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) options: BusOptions,
    pub(crate) source: EventSource,
    state: Lock<BusState>,
    closing: CloseOnce<()>,
    /// The lanes of this bus.
    callbacks: Arc<Callbacks>,
}

/// Where stored events come from.
pub(crate) enum EventSource {
    Nowhere,
    /// What the log commits once there is a handler.
    Live(Feed),
    /// What the log has behind a place that is kept, once the bus is started.
    Durable(Feed, Box<Durable>),
}

/// What a durable bus is kept with.
pub(crate) struct Durable {
    pub(crate) subscription: Subscription,
    pub(crate) handlers: KeptHandlers,
}

pub(crate) enum BusState {
    Waiting(Option<DurablePlace>),
    Running(Lanes),
    Closed,
}

impl BusInner {
    pub(crate) fn new(
        options: BusOptions,
        parked: Parked,
        source: EventSource,
        place: Option<DurablePlace>,
    ) -> Self {
        let dispatcher = Arc::new(Dispatcher::new(RecentEvents::new(options.history), parked));
        if let EventSource::Live(feed) | EventSource::Durable(feed, _) = &source {
            feed.source().add_stop(&dispatcher.stop);
        }
        let state = Lock::new(BusState::Waiting(place));
        let (closing, callbacks) = (CloseOnce::default(), Arc::default());
        Self { dispatcher, options, source, state, closing, callbacks }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, BusState> {
        self.state.lock()
    }

    pub(crate) fn progress(&self) -> Option<Arc<LaneProgress>> {
        self.running().ok()
    }

    /// How far the lanes are, or why there are none.
    pub(crate) fn running(&self) -> Result<Arc<LaneProgress>, BusError> {
        match &*self.state() {
            BusState::Running(lanes) => Ok(Arc::clone(lanes.progress())),
            BusState::Waiting(_) => Err(BusError::NotRunning),
            BusState::Closed => Err(BusError::Closed),
        }
    }

    /// Starts the lanes, unless they run or there is nothing to deliver.
    pub(crate) fn run(&self) -> Result<(), BusError> {
        let mut state = self.state();
        let place = match &mut *state {
            BusState::Running(_) => return Ok(()),
            BusState::Closed => return Err(BusError::Closed),
            BusState::Waiting(place) => {
                if let EventSource::Durable(_, durable) = &self.source {
                    let position =
                        place.as_ref().map_or(Position::START, DurablePlace::acknowledged);
                    let handlers = self.dispatcher.registry.handlers();
                    durable.handlers.admit(handlers.named(), position)?;
                }
                place.take()
            }
        };
        let begun = match &self.source {
            EventSource::Nowhere => return Ok(()),
            EventSource::Live(feed) => {
                let subscription = Subscription::from_now().named("bus");
                let after = feed.log().durable_head();
                self.start_lanes(feed, &subscription, after, None)
            }
            EventSource::Durable(feed, durable) => {
                let after = place.as_ref().map_or(Position::START, DurablePlace::acknowledged);
                self.start_lanes(feed, &durable.subscription, after, place)
            }
        };
        match begun {
            Ok(lanes) => *state = BusState::Running(lanes),
            // The place is given up with the lanes: another bus may take it.
            Err(error) => {
                *state = BusState::Closed;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Keeps the filter of a handler that joins a durable bus which runs.
    pub(crate) fn admit_while_running(&self, handler: &Handler) -> Result<(), BusError> {
        let (EventSource::Durable(_, durable), Some(progress)) = (&self.source, self.progress())
        else {
            return Ok(());
        };
        let named = handler.name.as_deref().filter(|_| handler.times == Times::Every);
        let named = named.map(|name| (name, &handler.filter));
        durable.handlers.admit(named.into_iter(), progress.position())
    }

    /// How far the bus has come, or begins.
    pub(crate) fn position(&self) -> Position {
        match &*self.state() {
            BusState::Waiting(place) => {
                place.as_ref().map_or(Position::START, DurablePlace::acknowledged)
            }
            BusState::Running(lanes) => lanes.progress().position(),
            BusState::Closed => Position::START,
        }
    }

    fn start_lanes(
        &self,
        feed: &Feed,
        subscription: &Subscription,
        after: Position,
        place: Option<DurablePlace>,
    ) -> Result<Lanes, SubscribeError> {
        let callbacks = [&self.callbacks, feed.callbacks()];
        let lanes = self.options.lanes;
        Lanes::start(feed, subscription, (after, place), lanes, &self.dispatcher, callbacks)
    }

    /// The event of a parked entry.
    pub(crate) fn event(&self, entry: &ParkedEntry) -> Result<Arc<RecordedEvent>, BusError> {
        if let Some(event) = &entry.event {
            return Ok(Arc::clone(event));
        }
        let position = entry.parked.position;
        let log: &Arc<dyn LogReader> = match &self.source {
            EventSource::Nowhere => return Err(BusError::NotParked),
            EventSource::Live(feed) | EventSource::Durable(feed, _) => feed.log(),
        };
        let page = log.page_at(position)?;
        let event = page.as_ref().and_then(|page| page.events().next()).transpose()?;
        let event = event.filter(|event| event.event_id == entry.parked.event_id);
        event.map(|event| Arc::new(event.to_owned_event())).ok_or(BusError::NotParked)
    }

    pub(crate) fn close(&self) {
        self.dispatcher.stop.stop();
        if is_in_callback() {
            self.callbacks.hurry();
        }
        self.closing.run(|| {
            let state = std::mem::replace(&mut *self.state(), BusState::Closed);
            if let BusState::Running(lanes) = state {
                lanes.close(&self.callbacks);
            }
            self.dispatcher.clear();
        });
    }
}

impl Drop for BusInner {
    fn drop(&mut self) {
        self.close();
    }
}
