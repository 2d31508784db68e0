//! What works in an open store: its log, and all that follows it.

use std::sync::{Arc, atomic::AtomicBool};

use spacefold_bus::Feed;
use spacefold_projection::LiveStates;
use spacefold_store::EmbeddedLog;

use crate::{options::Options, views::Views};

/// What the handles of a store and its folding thread share.
pub(crate) struct Engine {
    pub(crate) log: EmbeddedLog,
    pub(crate) live: Arc<LiveStates>,
    pub(crate) views: Views,
    pub(crate) feed: Feed,
    pub(crate) closing: AtomicBool,
}

impl Engine {
    pub(crate) fn new(log: EmbeddedLog, options: &Options) -> Self {
        let (read, kept) = (Arc::new(log.clone()), Arc::new(log.clone()));
        let live = LiveStates::with_past(read, kept, options.past);
        let live = Arc::new(live.with_memory_bytes(options.states_memory_bytes));
        let views = Views::new(Arc::new(log.clone()), Arc::new(log.clone()));
        let mut feed = Feed::kept_in(Arc::new(log.clone()), Arc::new(log.clone()));
        if let Some(within) = options.sync_places_within {
            feed = feed.sync_places_within(within);
        }
        Self { log, live, views, feed, closing: AtomicBool::new(false) }
    }
}
