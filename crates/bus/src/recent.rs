//! The newest pages, read once for all who are at the head.

use std::{collections::VecDeque, sync::Arc};

use spacefold_event_core::{Page, Position, lock::Lock};

/// How many pages are kept.
const MAX_PAGES: usize = 1_024;
/// How much they may hold in memory together, about; one page is kept whatever its size.
const MAX_BYTES: usize = 16 << 20;

/// How many pages are handed out together.
const MAX_TAKEN_PAGES: usize = 32;
/// How much they may hold in memory together, about; one page is handed out whatever its size.
const MAX_TAKEN_BYTES: usize = 128 << 10;

/// The newest pages without a gap between them, unfiltered.
#[derive(Debug, Default)]
pub(crate) struct RecentPages {
    ring: Lock<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    pages: VecDeque<RecentPage>,
    bytes: usize,
}

/// An unfiltered page with the position that it was read from.
#[derive(Clone, Debug)]
pub(crate) struct RecentPage {
    pub(crate) from: Position,
    pub(crate) page: Arc<Page>,
    bytes: usize,
}

impl RecentPage {
    pub(crate) fn new(from: Position, page: Page) -> Self {
        let bytes = page.memory_bytes();
        Self { from, page: Arc::new(page), bytes }
    }
}

/// What is known of a position.
#[derive(Debug)]
pub(crate) enum RecentLookup {
    /// The page that leads over it; those behind it, as many as are handed out, were put where the
    /// caller wants them.
    Page(RecentPage),
    /// It is older than what is kept, which begins here.
    Older { kept_from: Position },
    /// Nothing is kept from there on.
    Newer,
}

impl RecentPages {
    /// Looks for a position. Pages that follow are added to `more`, so that who reads on has to
    /// look less often.
    pub(crate) fn find(&self, position: Position, more: &mut VecDeque<RecentPage>) -> RecentLookup {
        let ring = self.ring.lock();
        let place = ring.pages.partition_point(|recent| recent.page.next() <= position);
        let mut pages = ring.pages.range(place..);
        let Some(first) = pages.next() else {
            return RecentLookup::Newer;
        };
        if position < first.from {
            return RecentLookup::Older { kept_from: first.from };
        }
        let mut bytes = first.bytes;
        more.extend(pages.take(MAX_TAKEN_PAGES - 1).map_while(|recent| {
            bytes += recent.bytes;
            (bytes <= MAX_TAKEN_BYTES).then(|| recent.clone())
        }));
        RecentLookup::Page(first.clone())
    }

    /// Keeps a page that was read from where the newest one ends, or, behind a gap, it alone.
    pub(crate) fn keep(&self, recent: &RecentPage) {
        let mut ring = self.ring.lock();
        let end = ring.pages.back().map_or(Position::START, |last| last.page.next());
        if recent.from < end || recent.page.next() <= recent.from {
            return;
        }
        if recent.from > end {
            ring.pages.clear();
            ring.bytes = 0;
        }
        ring.bytes += recent.bytes;
        ring.pages.push_back(recent.clone());
        while ring.pages.len() > 1 && (ring.pages.len() > MAX_PAGES || ring.bytes > MAX_BYTES) {
            if let Some(oldest) = ring.pages.pop_front() {
                ring.bytes -= oldest.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::{
        AppendRequest, LogReader, LogWriter, MemoryLog, ReadRequest, SpaceEvent,
    };

    use super::*;

    fn log_of(events: u64) -> MemoryLog {
        let log = MemoryLog::new();
        for _ in 0..events {
            log.append(&AppendRequest::new(&[SpaceEvent::space_activated("a")])).unwrap();
        }
        log
    }

    fn recent(log: &MemoryLog, from: u64, to: u64) -> RecentPage {
        let from = Position::new(from);
        RecentPage::new(from, log.read(&ReadRequest::from(from).to(Position::new(to))).unwrap())
    }

    fn find(pages: &RecentPages, position: u64) -> RecentLookup {
        pages.find(Position::new(position), &mut VecDeque::new())
    }

    #[test]
    fn pages_are_found_by_every_position_that_they_lead_over() {
        let log = log_of(9);
        let pages = RecentPages::default();
        assert!(matches!(find(&pages, 1), RecentLookup::Newer));
        pages.keep(&recent(&log, 4, 6));
        pages.keep(&recent(&log, 7, 7));
        let kept_from = Position::new(4);
        for older in [1, 3] {
            let found = find(&pages, older);
            assert!(matches!(found, RecentLookup::Older { kept_from: from } if from == kept_from));
        }
        for (position, from) in [(4, 4), (6, 4), (7, 7)] {
            let found = find(&pages, position);
            assert!(
                matches!(found, RecentLookup::Page(r) if r.from == Position::new(from)),
                "{position}"
            );
        }
        assert!(matches!(find(&pages, 8), RecentLookup::Newer));
    }

    #[test]
    fn what_does_not_join_on_is_left_or_takes_the_place_of_all() {
        let log = log_of(9);
        let pages = RecentPages::default();
        pages.keep(&recent(&log, 4, 6));
        pages.keep(&recent(&log, 5, 8));
        assert!(matches!(find(&pages, 7), RecentLookup::Newer), "pages overlap");
        pages.keep(&recent(&log, 8, 9));
        assert!(matches!(find(&pages, 6), RecentLookup::Older { .. }), "pages leave a gap");
        assert!(matches!(find(&pages, 9), RecentLookup::Page(_)));
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let log = log_of(MAX_PAGES as u64 + 1);
        let pages = RecentPages::default();
        for position in 1..=MAX_PAGES as u64 {
            pages.keep(&recent(&log, position, position));
        }
        assert!(matches!(find(&pages, 1), RecentLookup::Page(_)));
        pages.keep(&recent(&log, MAX_PAGES as u64 + 1, MAX_PAGES as u64 + 1));
        assert!(matches!(find(&pages, 1), RecentLookup::Older { .. }));
        assert_eq!(pages.ring.lock().pages.len(), MAX_PAGES);
    }

    #[test]
    fn pages_that_follow_are_handed_out_up_to_a_limit() {
        let log = log_of(2 * MAX_TAKEN_PAGES as u64);
        let pages = RecentPages::default();
        for position in 1..=2 * MAX_TAKEN_PAGES as u64 {
            pages.keep(&recent(&log, position, position));
        }
        for (position, expected) in [(1, MAX_TAKEN_PAGES - 1), (2 * MAX_TAKEN_PAGES as u64, 0)] {
            let mut more = VecDeque::new();
            let found = pages.find(Position::new(position), &mut more);
            assert!(matches!(found, RecentLookup::Page(r) if r.from == Position::new(position)));
            let froms: Vec<u64> = more.iter().map(|recent| recent.from.get()).collect();
            let all: Vec<u64> = (position + 1..).take(expected).collect();
            assert_eq!(froms, all);
        }
        let large = RecentPage { bytes: MAX_TAKEN_BYTES, ..recent(&log, 4, 4) };
        let pages = RecentPages::default();
        [recent(&log, 3, 3), large, recent(&log, 5, 5)].iter().for_each(|page| pages.keep(page));
        let mut more = VecDeque::new();
        pages.find(Position::new(3), &mut more);
        assert!(more.is_empty(), "more bytes are handed out than may be");
    }
}
