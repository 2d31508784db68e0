//! The state of every space.

use std::sync::Arc;

use spacefold_event_core::{RecordedEventRef, bytes::to_u64};

use crate::{
    shared_map::SharedMap,
    space_state::effect::Effect,
    space_state::{SpaceState, StateHash},
};

/// The states of all spaces of a log: the projection that snapshots are answered from.
///
/// The fold is total: it takes every event and never fails.
///
/// A clone shares everything with its origin, and costs the same however many spaces there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpaceStates {
    spaces: SharedMap<Arc<SpaceState>>,
}

impl SpaceStates {
    /// The name of the projection.
    pub const NAME: &'static str = "space-state";
    /// The version of the fold: states of one version have the same hashes.
    pub const VERSION: u32 = 1;

    /// No space yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { spaces: SharedMap::new() }
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
        self.spaces.sorted().into_iter().map(|(_, state)| state).collect()
    }

    /// The hash of the whole projection: BLAKE3 over every space id (its length as 64 bits, little
    /// endian, then its bytes) and state hash, sorted by space id.
    ///
    /// # Cost
    /// A pass over the spaces, and over the contents of those that have changed since a hash was
    /// last made of them, here or in a clone.
    #[must_use]
    pub fn hash(&self) -> StateHash {
        let states = self.sorted();
        Self::hash_of(states.iter().map(|state| (state.space_id(), state.state_hash())))
    }

    /// [`SpaceStates::hash`] of spaces whose hashes are known, sorted by space id.
    #[must_use]
    pub fn hash_of<'a>(spaces: impl IntoIterator<Item = (&'a str, StateHash)>) -> StateHash {
        let mut hasher = blake3::Hasher::new();
        for (id, hash) in spaces {
            Self::hash_space(&mut hasher, id, hash);
        }
        StateHash::from_bytes(*hasher.finalize().as_bytes())
    }

    /// Takes the next space into the hash of all.
    pub fn hash_space(hasher: &mut blake3::Hasher, id: &str, hash: StateHash) {
        hasher.update(&to_u64(id.len()).to_le_bytes());
        hasher.update(id.as_bytes());
        hasher.update(hash.as_bytes());
    }

    /// About how many bytes the states take in memory. Cost: a look at each of their parts.
    pub fn memory_bytes(&self) -> u64 {
        let mut bytes = 0;
        self.spaces.each(|_, state| bytes += state.memory_bytes());
        bytes
    }

    /// Takes in the next event, and answers what it did to its space.
    pub fn apply(&mut self, event: &RecordedEventRef<'_>) -> Effect {
        self.state_mut(event.space_id).apply(event)
    }

    /// The state of a space, to be changed: a new one when it has had no event.
    pub fn state_mut(&mut self, space_id: &str) -> &mut SpaceState {
        let new = || Arc::new(SpaceState::new(space_id));
        Arc::make_mut(self.spaces.get_or_insert_with(space_id, new))
    }

    /// The state of a space that has had an event, to be changed.
    pub fn get_mut(&mut self, space_id: &str) -> Option<&mut SpaceState> {
        self.spaces.get_mut(space_id).map(Arc::make_mut)
    }

    /// Puts a state in, in place of what is known of its space.
    pub fn insert(&mut self, state: Arc<SpaceState>) {
        let space_id = state.shared_space_id();
        self.spaces.insert(&*space_id, state);
    }
}
