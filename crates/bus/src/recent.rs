//! The newest pages, read once for all who are at the head.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use spacefold_event_core::{Page, Position};

/// How many pages are kept.
const MAX_PAGES: usize = 1_024;
/// How much they may hold in memory together, about; one page is kept whatever its size.
const MAX_BYTES: usize = 16 << 20;

/// The newest pages without a gap between them, unfiltered.
#[derive(Debug, Default)]
pub(crate) struct RecentPages {
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    pages: VecDeque<Recent>,
    bytes: usize,
}

/// An unfiltered page with the position that it was read from.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    pub(crate) from: Position,
    pub(crate) page: Arc<Page>,
}

/// What is known of a position.
#[derive(Debug)]
pub(crate) enum Found {
    /// The page that leads over it.
    Page(Recent),
    /// It is older than what is kept, which begins here.
    Older { kept_from: Position },
    /// Nothing is kept from there on.
    Newer,
}

impl RecentPages {
    pub(crate) fn find(&self, position: Position) -> Found {
        let ring = self.ring();
        let place = ring.pages.partition_point(|recent| recent.page.next() <= position);
        match ring.pages.get(place) {
            None => Found::Newer,
            Some(recent) if position < recent.from => Found::Older { kept_from: recent.from },
            Some(recent) => Found::Page(recent.clone()),
        }
    }

    /// Keeps a page that was read from where the newest one ends, or, behind a gap, it alone.
    pub(crate) fn keep(&self, recent: &Recent) {
        let mut ring = self.ring();
        let end = ring.pages.back().map_or(Position::START, |last| last.page.next());
        if recent.from < end || recent.page.next() <= recent.from {
            return;
        }
        if recent.from > end {
            ring.pages.clear();
            ring.bytes = 0;
        }
        ring.bytes += recent.page.memory_bytes();
        ring.pages.push_back(recent.clone());
        while ring.pages.len() > 1 && (ring.pages.len() > MAX_PAGES || ring.bytes > MAX_BYTES) {
            if let Some(oldest) = ring.pages.pop_front() {
                ring.bytes -= oldest.page.memory_bytes();
            }
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing in here panics halfway through a change.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::{Append, EventLog, MemoryLog, Read, SpaceEvent};

    use super::*;

    fn log_of(events: u64) -> MemoryLog {
        let log = MemoryLog::new();
        for _ in 0..events {
            log.append(&Append::new(&[SpaceEvent::space_activated("a")])).unwrap();
        }
        log
    }

    fn recent(log: &MemoryLog, from: u64, to: u64) -> Recent {
        let from = Position::new(from);
        let page = log.read(&Read::from(from).to(Position::new(to))).unwrap();
        Recent { from, page: Arc::new(page) }
    }

    #[test]
    fn pages_are_found_by_every_position_that_they_lead_over() {
        let log = log_of(9);
        let pages = RecentPages::default();
        assert!(matches!(pages.find(Position::new(1)), Found::Newer));
        pages.keep(&recent(&log, 4, 6));
        pages.keep(&recent(&log, 7, 7));
        let kept_from = Position::new(4);
        for older in [1, 3] {
            let found = pages.find(Position::new(older));
            assert!(matches!(found, Found::Older { kept_from: from } if from == kept_from));
        }
        for (position, from) in [(4, 4), (6, 4), (7, 7)] {
            let found = pages.find(Position::new(position));
            assert!(matches!(found, Found::Page(r) if r.from == Position::new(from)), "{position}");
        }
        assert!(matches!(pages.find(Position::new(8)), Found::Newer));
    }

    #[test]
    fn what_does_not_join_on_is_left_or_takes_the_place_of_all() {
        let log = log_of(9);
        let pages = RecentPages::default();
        pages.keep(&recent(&log, 4, 6));
        pages.keep(&recent(&log, 5, 8));
        assert!(matches!(pages.find(Position::new(7)), Found::Newer), "pages overlap");
        pages.keep(&recent(&log, 8, 9));
        assert!(matches!(pages.find(Position::new(6)), Found::Older { .. }), "pages leave a gap");
        assert!(matches!(pages.find(Position::new(9)), Found::Page(_)));
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let log = log_of(MAX_PAGES as u64 + 1);
        let pages = RecentPages::default();
        for position in 1..=MAX_PAGES as u64 {
            pages.keep(&recent(&log, position, position));
        }
        assert!(matches!(pages.find(Position::new(1)), Found::Page(_)));
        pages.keep(&recent(&log, MAX_PAGES as u64 + 1, MAX_PAGES as u64 + 1));
        assert!(matches!(pages.find(Position::new(1)), Found::Older { .. }));
        assert_eq!(pages.ring().pages.len(), MAX_PAGES);
    }
}
