//! What is kept of the past of one space, by its keys.

use std::sync::atomic::{AtomicBool, Ordering};

use spacefold_event_core::{Position, Revision, StateStore, StorageError};

use super::stretch::{StateKey, StretchKey, states_prefix, stretches_prefix};

/// The keys of a space.
pub(super) struct Directory {
    /// By revision, and none of them overlap.
    stretches: Vec<Entry<StretchKey>>,
    /// By position.
    states: Vec<Entry<StateKey>>,
}

/// A key, and what is known of its blob.
pub(super) struct Entry<K> {
    pub(super) key: K,
    /// Whether it was found to fit the log.
    fits: AtomicBool,
    /// Whether it was found not to be what it says.
    wrong: AtomicBool,
}

impl<K> Entry<K> {
    const fn new(key: K) -> Self {
        Self { key, fits: AtomicBool::new(false), wrong: AtomicBool::new(false) }
    }

    pub(super) fn fits(&self) -> bool {
        self.fits.load(Ordering::Acquire)
    }

    pub(super) fn set_fits(&self) {
        self.fits.store(true, Ordering::Release);
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.wrong.load(Ordering::Acquire)
    }

    pub(super) fn set_wrong(&self) {
        self.wrong.store(true, Ordering::Release);
    }
}

impl Directory {
    pub(super) fn read(store: &dyn StateStore, space_id: &str) -> Result<Self, StorageError> {
        let keys = store.keys(&stretches_prefix(space_id))?;
        let mut stretches: Vec<Entry<StretchKey>> = Vec::new();
        for key in keys.iter().filter_map(|key| StretchKey::parse(key, space_id)) {
            let follows = stretches.last().is_none_or(|before| before.key.last < key.first);
            if follows && key.first <= key.last {
                stretches.push(Entry::new(key));
            }
        }
        let keys = store.keys(&states_prefix(space_id))?;
        let keys = keys.iter().filter_map(|key| StateKey::parse(key, space_id));
        let mut states: Vec<_> = keys.map(Entry::new).collect();
        states.sort_unstable_by_key(|entry| entry.key.position);
        Ok(Self { stretches, states })
    }

    /// The newest state that is not behind a position, and not known to be wrong.
    pub(super) fn state_at(&self, position: Position) -> Option<&Entry<StateKey>> {
        let end = self.states.partition_point(|entry| entry.key.position <= position);
        self.states.get(..end)?.iter().rev().find(|entry| !entry.is_wrong())
    }

    /// The first stretch that has events behind a revision, and is not known to be wrong.
    pub(super) fn stretch_after(&self, revision: Revision) -> Option<&Entry<StretchKey>> {
        let start = self.stretches.partition_point(|entry| entry.key.last <= revision);
        self.stretches.get(start..)?.iter().find(|entry| !entry.is_wrong())
    }

    pub(super) fn newest_state(&self) -> Option<StateKey> {
        self.states.last().map(|entry| entry.key)
    }
}
