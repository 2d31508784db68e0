//! Other writers on the same space.

use super::*;

/// A log in which another writer is faster before each of the first appends.
fn beaten(times: usize) -> (SpaceService, Arc<MemoryLog>) {
    let log = Arc::new(MemoryLog::new());
    log.append(&AppendRequest::new(&[SpaceEvent::space_created("s", "S")])).unwrap();
    let beaten = AtomicUsize::new(0);
    let before_append = move |log: &MemoryLog, _: &AppendRequest<'_>| {
        let n = beaten.fetch_add(1, Ordering::SeqCst);
        if n < times {
            let n = n as u64;
            log.append(&AppendRequest::new(&[SpaceEvent::variable_set("s", "other", n)])).unwrap();
        }
    };
    let service = SpaceService::over(Arc::new(Meddled { log: Arc::clone(&log), before_append }));
    (service, log)
}

#[test]
fn a_lost_race_is_run_again() {
    for keyed in [false, true] {
        let (service, log) = beaten(15);
        let service = if keyed { service.with_key("k") } else { service };
        let outcome = service.set_variable("s", "own", 1).unwrap();
        assert_eq!(outcome.revision(), Revision::new(17));
        assert_eq!(outcome.into_events(), all(&*log).split_off(16));
    }
}

#[test]
fn races_that_are_always_lost_end_in_a_conflict() {
    for keyed in [false, true] {
        let (service, log) = beaten(usize::MAX);
        let service = if keyed { service.with_key("k") } else { service };
        let error = service.set_variable("s", "own", 1).unwrap_err();
        let CommandError::Conflict { space_id, attempts, read, found } = &error else {
            panic!("{error}");
        };
        assert_eq!((space_id.as_str(), *attempts), ("s", MAX_ATTEMPTS));
        assert_eq!((*read, *found), (Revision::new(16), Revision::new(17)));
        let text = "space \"s\" has changed under the command 16 times, from revision 16 to 17 the \
                    last time; nothing was written";
        assert_eq!(error.to_string(), text);
        assert!(all(&*log).iter().all(|recorded| {
            recorded.event.event_type() == EventType::SpaceCreated
                || recorded.event.payload.to_object().get("name") == Some(&Value::from("other"))
        }));
    }
}

#[test]
fn a_lost_race_is_decided_anew() {
    let log = Arc::new(MemoryLog::new());
    log.append(&AppendRequest::new(&[SpaceEvent::space_created("s", "S")])).unwrap();
    let before_append = |log: &MemoryLog, append: &AppendRequest<'_>| {
        // Somebody does the very same first.
        let mut event = append.events()[0].clone();
        event.event_id = spacefold_event_core::EventId::new();
        log.append(&AppendRequest::new(&[event])).unwrap();
    };
    let service = SpaceService::over(Arc::new(Meddled { log, before_append }));
    assert!(service.set_variable("s", "v", 1).unwrap().is_unchanged());
    let error = service.add_document("s", "d", "/d").unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::DocumentExists { .. })), "{error}");
}

#[test]
fn what_others_record_counts_at_once() {
    let service = SpaceService::in_memory();
    service.create_space("s", "S").unwrap();
    let other = SpaceService::new(Arc::clone(service.log()), Arc::clone(service.states()));
    other.add_document("s", "d", "/d").unwrap();
    // For a refusal, for a decision that changes nothing, and for an event.
    let error = service.add_document("s", "e", "/d").unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::PathTaken { .. })), "{error}");
    other.set_variable("s", "v", 1).unwrap();
    assert!(service.set_variable("s", "v", 1).unwrap().is_unchanged());
    other.set_variable("s", "v", 2).unwrap();
    assert_eq!(service.set_variable("s", "v", 1).unwrap().revision(), Revision::new(5));
}

#[test]
fn threads_of_one_service_lose_no_race() {
    const THREADS: u64 = 4;
    const COMMANDS: u64 = 200;
    let log = Arc::new(MemoryLog::new());
    let appends = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&appends);
    let before_append = move |_: &MemoryLog, _: &AppendRequest<'_>| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let service = SpaceService::over(Arc::new(Meddled { log: Arc::clone(&log), before_append }));
    service.create_space("s", "S").unwrap();
    let begin = Barrier::new(4);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (service, begin) = (&service, &begin);
            scope.spawn(move || {
                begin.wait();
                for n in 0..COMMANDS {
                    service.set_variable("s", format!("v{thread}"), n).unwrap();
                }
            });
        }
    });
    assert_eq!(log.head().get(), 1 + THREADS * COMMANDS);
    assert_eq!(appends.load(Ordering::SeqCst), log.head().get());
}
