use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use spacefold_event_core::{
    AppendError, AppendRequest, EventLog, EventType, LogReader, LogWriter, Page, ReadError,
    ReadRequest, Receipt, Revision, SpaceEvent, Value, testing,
};

use super::*;
use crate::{Refusal, executor::MAX_ATTEMPTS};

mod conditions;
mod idempotency;
mod language;
mod races;
mod submitted;

/// Hands everything to a log in memory, after something else.
struct Meddled<F> {
    log: Arc<MemoryLog>,
    before_append: F,
}

impl<F: Fn(&MemoryLog, &AppendRequest<'_>) + Send + Sync> testing::LogWrapper for Meddled<F> {
    fn inner(&self) -> &dyn EventLog {
        &*self.log
    }

    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        (self.before_append)(&self.log, append);
        self.log.append(append)
    }
}

fn all(log: &dyn EventLog) -> Vec<spacefold_event_core::RecordedEvent> {
    let mut events = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        events.extend(page.unwrap().events().map(|event| event.unwrap().to_owned_event()));
    }
    events
}

#[test]
fn an_outcome_is_what_the_log_has_recorded() {
    let service = SpaceService::in_memory();
    let mut outcomes = Vec::new();
    for n in 0..5 {
        let space_id = format!("s{}", n % 2);
        if n < 2 {
            outcomes.extend(service.create_space(&space_id, "S").unwrap().into_events());
        }
        let set = service.with_source("test").set_variable(&space_id, "n", n);
        outcomes.extend(set.unwrap().into_events());
    }
    assert_eq!(outcomes, all(&**service.log()));
}

#[test]
fn events_are_marked_as_the_service_is() {
    let service = SpaceService::in_memory();
    let time: Timestamp = "2001-02-03T04:05:06Z".parse().unwrap();
    let marked = service.with_source("editor").with_correlation_id("c").with_timestamp(time);
    let event = marked.create_space("s", "S").unwrap().into_events().remove(0).event;
    assert_eq!(event.source.as_deref(), Some("editor"));
    assert_eq!(event.correlation_id.as_deref(), Some("c"));
    assert_eq!(event.timestamp, time);
    // The service itself is as it was.
    let event = service.activate_space("s").unwrap().into_events().remove(0).event;
    assert_eq!((event.source, event.correlation_id), (None, None));
}

#[test]
fn the_state_kept_is_the_one_that_the_log_folds_to() {
    let service = SpaceService::in_memory();
    service.batch("s").create_space("S").add_document("d", "/d").commit().unwrap();
    service.set_content_hash("s", "d", "h").unwrap();
    service.start_sync("s", Presence::Absent).unwrap();
    service.complete_sync("s").unwrap();
    service
        .batch("s")
        .start_render("d")
        .set_variable("v", 1)
        .delete_variable("v")
        .commit()
        .unwrap();
    let place = service.executor.known().place("s");
    let known = place.take().clone().unwrap();
    let snapshot = service.states().snapshot("s").unwrap();
    assert_eq!(*known.state, **snapshot.state());
    assert_eq!(known.position, snapshot.position());
}

#[test]
fn states_of_spaces_out_of_use_are_let_go_of() {
    let service = SpaceService::in_memory();
    for n in 0..3_000 {
        service.create_space(&format!("s{n}"), "S").unwrap();
    }
    assert!(service.executor.known().len() <= 1_024, "{}", service.executor.known().len());
    // Those that were let go of are found again.
    service.activate_space("s0").unwrap();
}

#[test]
fn a_command_that_panics_in_the_log_leaves_the_service_as_it_was() {
    let log = Arc::new(MemoryLog::new());
    let calls = AtomicUsize::new(0);
    let before_append = move |_: &MemoryLog, _: &AppendRequest<'_>| {
        assert_ne!(calls.fetch_add(1, Ordering::SeqCst), 1, "the second append");
    };
    let service = SpaceService::over(Arc::new(Meddled { log, before_append }));
    service.create_space("s", "S").unwrap();
    let other = service.clone();
    assert!(thread::spawn(move || other.activate_space("s")).join().is_err());
    assert_eq!(service.activate_space("s").unwrap().revision(), Revision::new(2));
}
