//! The events of a space or of a document, page by page.

use std::sync::Arc;

use spacefold_event_core::{EventFilter, EventLog, Page, Position, Read};

use crate::SnapshotError;

/// How many events a page has at the most.
const PAGE_EVENTS: usize = 1_024;

/// The events of a space, or those that name one of its documents, in order: pages that events are
/// borrowed from. Ends at the durable head as it was when the history was asked for.
pub struct History {
    log: Arc<dyn EventLog>,
    filter: EventFilter,
    next: Position,
    to: Position,
}

impl History {
    pub(crate) fn new(log: Arc<dyn EventLog>, space_id: &str, document_id: Option<&str>) -> Self {
        let mut filter = EventFilter::all().spaces([space_id]);
        if let Some(document_id) = document_id {
            filter = filter.document(document_id);
        }
        let to = log.durable_head();
        Self { log, filter, next: Position::new(1), to }
    }
}

impl Iterator for History {
    type Item = Result<Page, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next <= self.to {
            let read = Read::from(self.next).to(self.to).limit(PAGE_EVENTS);
            let page = match self.log.read(&read.matching(self.filter.clone())) {
                Ok(page) => page,
                Err(error) => {
                    self.next = self.to.next();
                    return Some(Err(error.into()));
                }
            };
            if page.next() <= self.next {
                break;
            }
            self.next = page.next();
            if !page.is_empty() {
                return Some(Ok(page));
            }
        }
        None
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("next", &self.next).field("to", &self.to).finish()
    }
}
