use std::sync::atomic::{AtomicU64, Ordering};

use spacefold_event_core::{
    AppendRequest, EventLog, LogWriter, MemoryLog, Page, SpaceEvent, testing,
};

use super::*;

/// A log that counts the events it was asked to read.
struct Counted {
    log: MemoryLog,
    read: AtomicU64,
}

impl testing::LogWrapper for Counted {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        let page = self.log.read(&read.clone().limit(read.limit.min(10)))?;
        self.read.fetch_add(u64::try_from(page.len()).unwrap(), Ordering::Relaxed);
        Ok(page)
    }
}

fn stored(events: usize) -> (Counted, Vec<EventId>) {
    let events: Vec<SpaceEvent> = (0..events).map(|_| SpaceEvent::space_activated("a")).collect();
    let log = Counted { log: MemoryLog::new(), read: AtomicU64::new(0) };
    for run in events.chunks(100) {
        log.append(&AppendRequest::new(run)).unwrap();
    }
    (log, events.iter().map(|event| event.event_id).collect())
}

fn is_exact(max_covered: usize) {
    let (log, ids) = stored(300);
    let mut stored = StoredIds::new(max_covered);
    for window in ids.chunks(70).rev() {
        let fresh = EventId::new();
        let asked = window.iter().copied().chain([fresh]);
        let known = stored.known(&log, asked).unwrap();
        assert_eq!(known, window.iter().copied().collect());
    }
    assert!(stored.fingerprints.len <= max_covered);
}

#[test]
fn is_exact_when_the_log_is_covered() {
    is_exact(300);
    is_exact(1_000);
}

#[test]
fn is_exact_when_the_log_is_larger_than_what_is_covered() {
    is_exact(0);
    is_exact(1);
    is_exact(299);
}

#[test]
fn ids_of_the_import_are_taken_up_without_reading_them() {
    let (log, ids) = stored(0);
    assert!(stored_known(&log, &ids).is_empty());
    let mut stored = StoredIds::new(1_000);
    assert!(stored.known(&log, std::iter::empty()).unwrap().is_empty());
    let event = SpaceEvent::space_activated("a");
    let receipt = log.append(&AppendRequest::new(std::slice::from_ref(&event))).unwrap();
    stored.appended(receipt.first_position(), &[event.event_id]);
    assert_eq!(log.read.load(Ordering::Relaxed), 0);
    let known = stored.known(&log, std::iter::once(event.event_id)).unwrap();
    assert_eq!(known.len(), 1);
}

#[test]
fn events_of_other_writers_are_covered_too() {
    let (log, _) = stored(20);
    let mut stored = StoredIds::new(1_000);
    stored.known(&log, std::iter::empty()).unwrap();
    let theirs = SpaceEvent::space_activated("a");
    log.append(&AppendRequest::new(std::slice::from_ref(&theirs))).unwrap();
    let ours = SpaceEvent::space_activated("a");
    let receipt = log.append(&AppendRequest::new(std::slice::from_ref(&ours))).unwrap();
    stored.appended(receipt.first_position(), &[ours.event_id]);
    let asked = [theirs.event_id, ours.event_id];
    assert_eq!(stored.known(&log, asked.into_iter()).unwrap().len(), 2);
    assert_eq!(stored.fingerprints.len, 22);
}

#[test]
fn repeating_what_is_stored_reads_each_page_about_twice() {
    let (log, ids) = stored(2_000);
    let mut stored = StoredIds::new(10_000);
    for window in ids.chunks(50) {
        assert_eq!(stored.known(&log, window.iter().copied()).unwrap().len(), 50);
    }
    assert!(log.read.load(Ordering::Relaxed) <= 4_500);
}

#[test]
fn new_events_are_told_without_searching() {
    let (log, _) = stored(1_000);
    let mut stored = StoredIds::new(10_000);
    for _ in 0..100 {
        let fresh = (0..10).map(|_| EventId::new());
        assert!(stored.known(&log, fresh).unwrap().is_empty());
    }
    assert_eq!(log.read.load(Ordering::Relaxed), 1_000);
}

fn stored_known(log: &Counted, ids: &[EventId]) -> RapidHashSet<EventId> {
    StoredIds::new(10).known(log, ids.iter().copied()).unwrap()
}
