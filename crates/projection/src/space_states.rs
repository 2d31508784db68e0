//! The state of every space.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use spacefold_event_core::RecordedEventRef;

use crate::{SpaceState, StateHash};

/// The states of all spaces of a log: the projection that snapshots are answered from.
///
/// The fold is total: it takes every event and never fails.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpaceStates {
    spaces: FxHashMap<String, Arc<SpaceState>>,
}

impl SpaceStates {
    /// The name of the projection.
    pub const NAME: &'static str = "space-state";
    /// The version of the fold.
    pub const VERSION: u32 = 1;

    /// No space yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of spaces, deleted ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spaces.len()
    }

    /// Whether there is no space.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    /// The state of a space, if it has had an event.
    #[must_use]
    pub fn get(&self, space_id: &str) -> Option<&Arc<SpaceState>> {
        self.spaces.get(space_id)
    }

    /// The states, sorted by space id.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Arc<SpaceState>> {
        let mut states: Vec<_> = self.spaces.values().collect();
        states.sort_unstable_by(|a, b| a.space_id().cmp(b.space_id()));
        states
    }

    /// The hash of the whole projection: BLAKE3 over every space id (its length as 64 bits, little
    /// endian, then its bytes) and state hash, sorted by space id.
    #[must_use]
    pub fn hash(&self) -> StateHash {
        Self::hash_of(self.sorted().into_iter().map(|state| (state.space_id(), state.state_hash())))
    }

    /// The hash of the whole projection, of these spaces, which are sorted by id.
    pub(crate) fn hash_of<'a>(spaces: impl Iterator<Item = (&'a str, StateHash)>) -> StateHash {
        let mut hasher = blake3::Hasher::new();
        for (id, state_hash) in spaces {
            hasher.update(&u64::try_from(id.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(id.as_bytes());
            hasher.update(state_hash.as_bytes());
        }
        StateHash::from_bytes(*hasher.finalize().as_bytes())
    }

    /// Takes in the next event.
    pub fn apply(&mut self, event: &RecordedEventRef<'_>) {
        if let Some(state) = self.spaces.get_mut(event.space_id) {
            Arc::make_mut(state).apply(event);
        } else {
            let mut state = SpaceState::new(event.space_id);
            state.apply(event);
            self.insert(state);
        }
    }

    /// Puts a state in, in place of what is known of its space.
    pub(crate) fn insert(&mut self, state: SpaceState) {
        self.spaces.insert(state.space_id().to_owned(), Arc::new(state));
    }

    /// Takes in the spaces of `other`, in place of what is known of them.
    pub(crate) fn absorb(&mut self, other: Self) {
        if self.spaces.is_empty() {
            self.spaces = other.spaces;
        } else {
            self.spaces.extend(other.spaces);
        }
    }

    pub(crate) fn into_sorted(self) -> Vec<Arc<SpaceState>> {
        let mut states: Vec<_> = self.spaces.into_values().collect();
        states.sort_unstable_by(|a, b| a.space_id().cmp(b.space_id()));
        states
    }
}
