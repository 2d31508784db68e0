//! States of the past that are kept in memory, sharing what they have in common.

use std::{collections::BTreeMap, sync::Arc};

use rapidhash::RapidHashMap;
use spacefold_event_core::{Position, bytes::to_u64};
use spacefold_state::SpaceState;

/// About what an event adds to the memory of a version that shares the rest with another.
const EVENT_BYTES: u64 = 640;
/// About what a document takes in a version that shares nothing.
const DOCUMENT_BYTES: u64 = 800;
/// What a version takes besides.
const VERSION_BYTES: u64 = 1_024;

/// A state, and a position that it is of.
#[derive(Clone)]
pub(super) struct Version {
    pub(super) state: Arc<SpaceState>,
    pub(super) position: Position,
}

/// The versions of many spaces, those used longest ago given up first.
pub(super) struct Versions {
    spaces: RapidHashMap<Arc<str>, BTreeMap<Position, KeptVersion>>,
    bytes: u64,
    max_bytes: u64,
    /// How often a version was asked for.
    clock: u64,
}

struct KeptVersion {
    state: Arc<SpaceState>,
    bytes: u64,
    used: u64,
}

impl Versions {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { spaces: RapidHashMap::default(), bytes: 0, max_bytes, clock: 0 }
    }

    /// The newest version of a space that is not behind `position`.
    pub(super) fn nearest(&mut self, space_id: &str, position: Position) -> Option<Version> {
        self.clock += 1;
        let versions = self.spaces.get_mut(space_id)?;
        let (at, kept) = versions.range_mut(..=position).next_back()?;
        kept.used = self.clock;
        Some(Version { state: Arc::clone(&kept.state), position: *at })
    }

    /// Keeps a version that this many events were folded into since it shared everything with
    /// another one that is kept; `None` when it shares nothing.
    pub(super) fn keep(&mut self, version: &Version, events: Option<u64>) {
        let state = &version.state;
        let documents = to_u64(state.document_count());
        let whole = documents.saturating_mul(DOCUMENT_BYTES);
        let own = events.map_or(whole, |events| events.saturating_mul(EVENT_BYTES).min(whole));
        let bytes = own.saturating_add(VERSION_BYTES);
        self.clock += 1;
        let kept = KeptVersion { state: Arc::clone(state), bytes, used: self.clock };
        let space = self.spaces.entry(state.shared_space_id()).or_default();
        let old = space.insert(version.position, kept);
        self.bytes = (self.bytes + bytes) - old.map_or(0, |old| old.bytes);
        if self.bytes > self.max_bytes {
            self.give_up_the_oldest();
        }
    }

    /// Gives up a quarter.
    fn give_up_the_oldest(&mut self) {
        let kept = self.spaces.values().flat_map(BTreeMap::values);
        let mut by_use: Vec<_> = kept.map(|kept| (kept.used, kept.bytes)).collect();
        by_use.sort_unstable();
        let mut left = self.bytes;
        let stay = self.max_bytes / 4 * 3;
        let end = by_use.into_iter().find(|(_, bytes)| {
            left = left.saturating_sub(*bytes);
            left <= stay
        });
        let last = end.map_or(u64::MAX, |(used, _)| used);
        for space in self.spaces.values_mut() {
            space.retain(|_, kept| kept.used > last);
        }
        self.spaces.retain(|_, space| !space.is_empty());
        let kept = self.spaces.values().flat_map(BTreeMap::values);
        self.bytes = kept.map(|kept| kept.bytes).sum();
    }

    pub(super) fn clear(&mut self) {
        self.spaces.clear();
        self.bytes = 0;
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}
