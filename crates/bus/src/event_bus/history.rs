//! The events that a bus has handled last.

use std::{collections::VecDeque, sync::Arc};

use spacefold_event_core::{RecordedEvent, lock::Lock};

/// The newest events, as many as may be kept.
pub(crate) struct RecentEvents {
    max_events: usize,
    events: Lock<VecDeque<Arc<RecordedEvent>>>,
}

impl RecentEvents {
    pub(crate) const fn new(max_events: usize) -> Self {
        Self { max_events, events: Lock::new(VecDeque::new()) }
    }

    pub(crate) const fn is_kept(&self) -> bool {
        self.max_events > 0
    }

    pub(crate) fn push(&self, event: &Arc<RecordedEvent>) {
        if !self.is_kept() {
            return;
        }
        let mut events = self.events.lock();
        if events.len() >= self.max_events {
            events.pop_front();
        }
        events.push_back(Arc::clone(event));
    }

    pub(crate) fn events(&self) -> Vec<Arc<RecordedEvent>> {
        self.events.lock().iter().cloned().collect()
    }
}
