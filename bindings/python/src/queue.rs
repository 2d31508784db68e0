//! Events that were read together, to be handed out one by one.

use spacefold::log::Page;
use spacefold_event_core::Records;

use crate::event::RecordedEvent;

/// The events of a page, first to last.
#[derive(Default)]
pub(crate) struct Queue {
    runs: Vec<Records>,
    /// Of each event its run and its place in it.
    places: Vec<(usize, usize)>,
    next: usize,
}

impl Queue {
    /// Takes the events of a page, once those of the one before are gone.
    pub(crate) fn fill(&mut self, page: &Page) {
        self.runs.clear();
        self.places.clear();
        self.next = 0;
        for (run, (records, indexes)) in page.runs().enumerate() {
            self.runs.push(records.clone());
            self.places.extend(indexes.map(|index| (run, index)));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next >= self.places.len()
    }

    pub(crate) fn pop(&mut self) -> Option<RecordedEvent> {
        let (run, index) = *self.places.get(self.next)?;
        self.next += 1;
        self.runs.get(run).map(|records| RecordedEvent::stored(records, index))
    }
}
