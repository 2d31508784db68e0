//! The events of a space, a document, a tag or a source, page by page.

use std::sync::Arc;

use spacefold_event_core::{EventFilter, LogReader, Page, Pages, Position, ReadRequest};

use crate::snapshot_error::SnapshotError;

/// How many events a page has at the most.
const PAGE_EVENTS: usize = 1_024;

/// The events that pass a filter, in order: pages that events are borrowed from. Ends at the durable
/// head as it was when the history was asked for.
pub struct History {
    pages: Pages<'static>,
}

impl History {
    pub(crate) fn new(log: Arc<dyn LogReader>, filter: EventFilter) -> Self {
        let read = ReadRequest::from(Position::new(1)).matching(filter).limit(PAGE_EVENTS);
        Self { pages: Pages::of(log, read) }
    }
}

impl Iterator for History {
    type Item = Result<Page, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        let page = self.pages.find(|page| !page.as_ref().is_ok_and(Page::is_empty))?;
        Some(page.map_err(SnapshotError::from))
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (next, to) = (self.pages.next_position(), self.pages.last_position());
        f.debug_struct("History").field("next", &next).field("to", &to).finish()
    }
}
