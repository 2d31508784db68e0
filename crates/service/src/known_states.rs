//! The states that a service has in mind.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    task::Waker,
    thread,
};

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    Position, Revision,
    lock::{Condition, Lock},
};
use spacefold_state::SpaceState;

/// Spaces whose state is kept between two commands; more are while commands on them run.
const MAX_KEPT_SPACES: usize = 1_024;

/// The newest states that a service knows, its own events included, durable or not.
///
/// A [`SpaceTurn`] at a place is had from reading the state until the answer to the append, while content is kept too,
/// so that threads of one service do not lose races to each other.
#[derive(Default)]
pub(crate) struct KnownStates {
    places: Lock<RapidHashMap<String, Arc<KnownPlace>>>,
}

/// Where the state of one space is kept, to be had by one command at a time.
#[derive(Default)]
pub(crate) struct KnownPlace {
    slot: Lock<Slot>,
    returned: Condition,
}

#[derive(Default)]
struct Slot {
    known: Option<KnownState>,
    is_taken: bool,
    /// Who is to be woken, beside a thread that waits, when it is given back.
    waker: Option<Waker>,
}

/// What is known of a space, for one command alone until this is dropped. It belongs to no thread.
pub(crate) struct SpaceTurn {
    place: Arc<KnownPlace>,
    known: Option<KnownState>,
}

/// The state of a space, complete up to a position.
#[derive(Clone, Debug)]
pub(crate) struct KnownState {
    pub(crate) state: Arc<SpaceState>,
    /// No event of the space that stands up to here is missing.
    pub(crate) position: Position,
}

impl KnownStates {
    /// The place of a space.
    pub(crate) fn place(&self, space_id: &str) -> Arc<KnownPlace> {
        let mut places = self.places.lock();
        if let Some(place) = places.get(space_id) {
            return Arc::clone(place);
        }
        if places.len() >= MAX_KEPT_SPACES {
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        let place = Arc::<KnownPlace>::default();
        places.insert(space_id.to_owned(), Arc::clone(&place));
        place
    }

    /// How many spaces have a place.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.places.lock().len()
    }
}

impl KnownPlace {
    /// Waits for the turn.
    pub(crate) fn take(self: &Arc<Self>) -> SpaceTurn {
        let mut slot = self.returned.wait_while(self.slot.lock(), |slot| slot.is_taken);
        slot.is_taken = true;
        SpaceTurn { place: Arc::clone(self), known: slot.known.take() }
    }

    /// The turn, unless another has it: `waker` is woken then when it is given back.
    pub(crate) fn try_take(self: &Arc<Self>, waker: &Waker) -> Option<SpaceTurn> {
        let mut slot = self.slot.lock();
        if slot.is_taken {
            slot.waker = Some(waker.clone());
            return None;
        }
        slot.is_taken = true;
        Some(SpaceTurn { place: Arc::clone(self), known: slot.known.take() })
    }
}

impl Drop for SpaceTurn {
    fn drop(&mut self) {
        let mut slot = self.place.slot.lock();
        slot.is_taken = false;
        // Whoever panics may have left an event half folded: read again.
        slot.known = self.known.take().filter(|_| !thread::panicking());
        let waker = slot.waker.take();
        drop(slot);
        self.place.returned.notify_one();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Deref for SpaceTurn {
    type Target = Option<KnownState>;

    fn deref(&self) -> &Option<KnownState> {
        &self.known
    }
}

impl DerefMut for SpaceTurn {
    fn deref_mut(&mut self) -> &mut Option<KnownState> {
        &mut self.known
    }
}

impl KnownState {
    pub(crate) fn revision(&self) -> Revision {
        self.state.revision()
    }
}
