//! The states that a service has in mind.

use std::sync::{Arc, Mutex, MutexGuard};

use rapidhash::RapidHashMap;
use spacefold_event_core::{Position, Revision, lock::Lock};
use spacefold_state::SpaceState;

/// Spaces whose state is kept between two commands; more are while commands on them run.
const MAX_KEPT_SPACES: usize = 1_024;

/// The newest states that a service knows, its own events included, durable or not.
///
/// A place is held from reading the state until the answer to the append, while content is kept too,
/// so that threads of one service do not lose races to each other.
#[derive(Debug, Default)]
pub(crate) struct KnownStates {
    places: Lock<RapidHashMap<String, Arc<KnownPlace>>>,
}

/// Where the state of one space is kept.
#[derive(Debug, Default)]
pub(crate) struct KnownPlace {
    known: Mutex<Option<Known>>,
}

/// The state of a space, complete up to a position.
#[derive(Clone, Debug)]
pub(crate) struct Known {
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
    /// What is known, for this command alone until it lets go.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(|poisoned| {
            // Whoever panicked may have left an event half folded: read again.
            self.known.clear_poison();
            let mut known = poisoned.into_inner();
            *known = None;
            known
        })
    }
}

impl Known {
    pub(crate) fn revision(&self) -> Revision {
        self.state.revision()
    }
}
