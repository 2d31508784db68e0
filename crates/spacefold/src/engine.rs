//! What works in an open store: its log, and all that follows it.

use std::sync::{Arc, atomic::AtomicBool};

use spacefold_bus::{Feed, PlaceFile};
use spacefold_disk::LazyFolder;
use spacefold_event_core::ContentStore;
use spacefold_projection::{DerivedState, LiveStates, SnapshotError, TimeTravel};
use spacefold_store::EmbeddedLog;

use crate::{options::Options, views::Views};

/// What the handles of a store and its folding thread share.
pub(crate) struct Engine {
    pub(crate) log: EmbeddedLog,
    pub(crate) live: Arc<LiveStates>,
    pub(crate) past: TimeTravel,
    pub(crate) views: Views,
    pub(crate) feed: Feed,
    pub(crate) closing: AtomicBool,
}

impl Engine {
    pub(crate) fn new(log: EmbeddedLog, content: Arc<dyn ContentStore>, options: &Options) -> Self {
        let derived = DerivedState::in_folder(log.derived_folder());
        let live = LiveStates::new(Arc::new(log.clone()), derived);
        let live = Arc::new(live.with_memory_bytes(options.states_memory_bytes));
        let past = TimeTravel::with_history_cache(Arc::clone(&live), options.history_cache);
        let views = Views::new(Arc::clone(&live), content);
        let folder = LazyFolder::within(&log.derived_folder(), "subscriptions");
        let places = Arc::new(PlaceFile::in_folder(folder));
        let mut feed = Feed::kept_in(Arc::new(log.clone()), places);
        if let Some(within) = options.sync_places_within {
            feed = feed.sync_places_within(within);
        }
        Self { log, live, past, views, feed, closing: AtomicBool::new(false) }
    }
    /// Persists the states of now and those of the past.
    pub(crate) fn save_states(&self) -> Result<(), SnapshotError> {
        self.live.save()?;
        self.past.save()
    }
}
