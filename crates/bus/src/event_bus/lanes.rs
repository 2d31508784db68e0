//! The threads that deliver what the log commits: each pulls from the log on its own and handles
//! the spaces that fall to it, so that the events of a space stay in order and nothing is queued.

use std::{
    hash::BuildHasher,
    num::NonZeroUsize,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rapidhash::fast::GlobalState;
use spacefold_event_core::{
    Envelope, Page, Position, ReadError, RecordedEvent, StorageError,
    bytes::{to_u64, to_usize},
    closing::{Callbacks, InCallback, Running, Waited},
    lock::{Condition, Lock},
};

use super::{bus_error::BusError, dispatcher::Dispatcher};
use crate::{
    ack_error::AckError,
    delivery::{Delivery, ReceiveError, SubscribeError},
    durable_place::DurablePlace,
    feed::Feed,
    subscriber::{Subscriber, SubscriptionHandle},
    subscription::Subscription,
};

/// How long a lane rests after the log could not be read.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The running lanes of a bus.
pub(crate) struct Lanes {
    progress: Arc<LaneProgress>,
    handles: Vec<SubscriptionHandle>,
    threads: Vec<JoinHandle<()>>,
}

/// How far the lanes have come.
pub(crate) struct LaneProgress {
    positions: Lock<Positions>,
    changed: Condition,
    /// Where the slowest one is kept, for a durable bus.
    place: Option<Lock<DurablePlace>>,
}

struct Positions {
    of_lanes: Vec<Position>,
    /// Whether they move no more.
    are_closed: bool,
}

struct Lane {
    // Dropped first: behind that the lane has nothing of the log.
    subscriber: Subscriber,
    number: usize,
    of: usize,
    dispatcher: Arc<Dispatcher>,
    progress: Arc<LaneProgress>,
    /// Dropped last, so that whoever waits for the lane finds it gone.
    _running: [Running; 2],
}

impl Lanes {
    /// Starts so many lanes behind a position, which is kept in `place` if there is one. Each counts
    /// as one of `callbacks` until it has ended.
    pub(crate) fn start(
        feed: &Feed,
        subscription: &Subscription,
        (after, place): (Position, Option<DurablePlace>),
        count: NonZeroUsize,
        dispatcher: &Arc<Dispatcher>,
        callbacks: [&Arc<Callbacks>; 2],
    ) -> Result<Self, SubscribeError> {
        let of_lanes = vec![after; count.get()];
        let progress = Arc::new(LaneProgress {
            positions: Lock::new(Positions { of_lanes, are_closed: false }),
            changed: Condition::new(),
            place: place.map(Lock::new),
        });
        let (handles, threads) = (Vec::new(), Vec::new());
        let mut lanes = Self { progress, handles, threads };
        for number in 0..count.get() {
            let name = format!("{} lane {}", subscription.name, number + 1);
            let subscriber = feed.subscribe_after(subscription.clone().named(name), after)?;
            lanes.handles.push(subscriber.handle());
            let lane = Lane {
                subscriber,
                number,
                of: count.get(),
                dispatcher: Arc::clone(dispatcher),
                progress: Arc::clone(&lanes.progress),
                _running: callbacks.map(Callbacks::enter),
            };
            let thread = thread::Builder::new().name("spacefold-bus".to_owned());
            let spawned = thread.spawn(move || {
                // To the very end: what a handler has captured is dropped in here too.
                let _in_callback = InCallback::begin();
                let progress = Arc::clone(&lane.progress);
                lane.run();
                // Also when the log was closed, and the bus was not.
                progress.close();
            });
            let thread = spawned
                .map_err(|error| StorageError::new("starting a thread that delivers", error));
            match thread {
                Ok(thread) => lanes.threads.push(thread),
                Err(error) => {
                    lanes.close(callbacks[0]);
                    return Err(error.into());
                }
            }
        }
        Ok(lanes)
    }

    pub(crate) const fn progress(&self) -> &Arc<LaneProgress> {
        &self.progress
    }

    /// Ends the lanes, and waits for them, as far as whoever closes may.
    pub(crate) fn close(self, callbacks: &Callbacks) {
        self.handles.iter().for_each(SubscriptionHandle::close);
        self.progress.close();
        // Of those that still run, each ends behind the event that it is handling.
        if callbacks.wait() == Waited::AllEnded {
            for thread in self.threads {
                if thread.join().is_err() {
                    tracing::error!("a thread that delivers events has panicked");
                }
            }
        }
        self.progress.sync();
    }
}

impl Lane {
    fn run(mut self) {
        loop {
            let position = match self.subscriber.recv() {
                Ok(Delivery::Events(page)) => self.deliver(&page),
                Ok(Delivery::CaughtUp { position }) => position,
                Ok(_) => continue,
                Err(ReceiveError::Closed) => return,
                Err(ReceiveError::Read(error)) => {
                    if !self.rest(&error) {
                        return;
                    }
                    continue;
                }
            };
            self.progress.set(self.number, position);
            if self.dispatcher.stop.is_stopped() {
                return;
            }
        }
    }

    /// Handles the events of a page that fall to this lane; answers how far that went, which is the
    /// end of the page unless the bus is closed.
    fn deliver(&self, page: &Page) -> Position {
        for envelope in page.envelopes() {
            let position = envelope.position;
            let is_wanted = self.dispatcher.history.is_kept()
                || self.dispatcher.registry.handlers().want(envelope.event_type);
            if !is_wanted || self.lane_of(envelope.space_id) != self.number {
                continue;
            }
            let Some(event) = self.decode(envelope) else {
                return position.previous();
            };
            let is_done = !self.dispatcher.stop.is_stopped()
                && self.dispatcher.deliver(&Arc::new(event)).is_ok();
            if !is_done {
                return position.previous();
            }
        }
        page.next().previous()
    }

    /// Decodes an event. Where that fails the lane stands still, since passing over the event would
    /// lose it without a word; `None` when the bus is closed meanwhile.
    fn decode(&self, envelope: Envelope<'_>) -> Option<RecordedEvent> {
        loop {
            let error = match envelope.decode() {
                Ok(event) => return Some(event.to_owned_event()),
                Err(error) => error,
            };
            if !self.rest(&error) {
                return None;
            }
        }
    }

    fn lane_of(&self, space_id: &str) -> usize {
        let lanes = to_u64(self.of).max(1);
        to_usize(GlobalState::new().hash_one(space_id) % lanes)
    }

    /// Rests after a failure; `false` when the bus is closed.
    fn rest(&self, error: &ReadError) -> bool {
        tracing::error!(%error, lane = self.number, "events are not delivered for now");
        self.dispatcher.stop.rest(REST_AFTER_FAILURE)
    }
}

impl LaneProgress {
    /// The position up to which every lane has handled all.
    pub(crate) fn position(&self) -> Position {
        self.positions.lock().slowest()
    }

    /// Ends every wait, those to come too.
    fn close(&self) {
        self.positions.lock().are_closed = true;
        self.changed.notify_all();
    }

    fn set(&self, lane: usize, position: Position) {
        let slowest = {
            let mut positions = self.positions.lock();
            if let Some(own) = positions.of_lanes.get_mut(lane) {
                *own = position;
            }
            positions.slowest()
        };
        self.changed.notify_all();
        if let Some(place) = &self.place {
            let mut place = place.lock();
            // What is not kept now is kept with a later position, or handled again.
            if let Err(error) = place.advance(slowest) {
                tracing::warn!(%error, "the place of the bus is not kept");
            }
        }
    }

    /// Waits until every lane has handled all up to a position, or the time is over; answers how far
    /// they are. They may be closed first: nobody gets any further then.
    pub(crate) fn wait(&self, position: Position, timeout: Duration) -> Result<Position, BusError> {
        let end = Instant::now().checked_add(timeout);
        let mut positions = self.positions.lock();
        while positions.slowest() < position {
            if positions.are_closed {
                return Err(BusError::Closed);
            }
            let left = end.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(positions, left);
            (positions, _) = waited;
        }
        Ok(positions.slowest())
    }

    /// Keeps the place as far as the lanes are.
    pub(crate) fn keep(&self) -> Result<(), AckError> {
        let Some(place) = &self.place else { return Ok(()) };
        let mut place = place.lock();
        place.advance(self.position())
    }

    fn sync(&self) {
        let synced = self.keep().and_then(|()| {
            let Some(place) = &self.place else { return Ok(()) };
            Ok(place.lock().sync()?)
        });
        if let Err(error) = synced {
            tracing::warn!(%error, "a kill may take back the place of the bus");
        }
    }
}

impl Positions {
    fn slowest(&self) -> Position {
        self.of_lanes.iter().min().copied().unwrap_or_default()
    }
}
