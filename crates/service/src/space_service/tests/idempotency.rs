//! Commands under a key.

use spacefold_event_core::{EventFilter, EventId, LogId};
use spacefold_projection::SnapshotError;

use super::*;

fn service() -> SpaceService {
    let service = SpaceService::in_memory();
    service.batch("s").create_space("S").add_document("d", "/d").commit().unwrap();
    service
}

/// The id of an event under a key in the log of a service.
fn id_of(service: &SpaceService, key: &str, index: usize) -> EventId {
    IdempotencyKey::new(key).event_id(service.log().identity().log_id, index)
}

#[track_caller]
fn reuses(error: &CommandError, event_type: EventType, position: u64) {
    let Some(Refusal::KeyReused { event_type: stored, position: at, .. }) = error.refusal() else {
        panic!("{error}");
    };
    assert_eq!((*stored, *at), (event_type, Position::new(position)));
}

#[test]
fn a_repeated_command_emits_nothing_and_answers_as_before() {
    let service = service();
    let keyed = service.with_key("k");
    let first = keyed.add_document("s", "e", "/e").unwrap();
    assert!(!first.is_repeated());
    assert_eq!(first.events()[0].event.event_id, id_of(&service, "k", 0));
    // At once, when it would be refused by now.
    let again = keyed.add_document("s", "e", "/e").unwrap();
    assert!(again.is_repeated());
    assert_eq!(again.events(), first.events());
    // When the state has gone on, so that it could happen again.
    service.remove_document("s", "e").unwrap();
    let again = keyed.add_document("s", "e", "/e").unwrap();
    assert_eq!(again.events(), first.events());
    // When the space takes no commands any more.
    service.delete_space("s").unwrap();
    let again = keyed.add_document("s", "e", "/e").unwrap();
    assert_eq!(again.events(), first.events());
    assert_eq!(service.log().head(), Position::new(5));
}

#[test]
fn a_repetition_is_recognised_by_a_service_that_begins_anew() {
    let first = service();
    let outcome = first.with_key("k").set_variable("s", "v", 1).unwrap();
    first.set_variable("s", "v", 2).unwrap();
    let second = SpaceService::over(Arc::clone(first.log()));
    let again = second.with_key("k").set_variable("s", "v", 1).unwrap();
    assert_eq!(again.events(), outcome.events());
    assert_eq!(first.log().head(), Position::new(4));
}

#[test]
fn the_log_is_asked_by_reading_alone() {
    let log = Arc::new(MemoryLog::new());
    let appends = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&appends);
    let before_append = move |_: &MemoryLog, _: &AppendRequest<'_>| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let service = SpaceService::over(Arc::new(Meddled { log, before_append }));
    service.create_space("s", "S").unwrap();
    let first = service.with_key("k").set_variable("s", "v", 1).unwrap();
    appends.store(0, Ordering::SeqCst);
    // Nothing changes under a key that is known, or new; a refusal under each.
    let again = service.with_key("k").set_variable("s", "v", 1).unwrap();
    assert_eq!(again.events(), first.events());
    assert!(service.with_key("l").set_variable("s", "v", 1).unwrap().is_unchanged());
    reuses(&service.with_key("k").create_space("s", "S").unwrap_err(), EventType::VariableSet, 2);
    assert!(service.with_key("l").create_space("s", "S").is_err());
    assert_eq!(appends.load(Ordering::SeqCst), 0, "appended to ask");
}

#[test]
fn a_repeated_batch_is_recognised_whole() {
    let service = service();
    let commit = || {
        let batch = service.with_key("k").batch("s").set_variable("v", 1).rename_space("S");
        batch.add_document("e", "/e").commit().unwrap()
    };
    let first = commit();
    assert_eq!(first.events().len(), 2);
    let ids: Vec<_> = first.events().iter().map(|event| event.event.event_id).collect();
    assert_eq!(ids, [id_of(&service, "k", 0), id_of(&service, "k", 1)]);
    assert_eq!(commit().events(), first.events());
    // When by now other commands of it would emit something.
    service
        .batch("s")
        .set_variable("v", 9)
        .rename_space("T")
        .remove_document("e")
        .commit()
        .unwrap();
    let again = commit();
    assert!(again.is_repeated());
    assert_eq!(again.events(), first.events());
}

#[test]
fn a_key_stands_for_one_command() {
    let service = service();
    let keyed = service.with_key("k");
    keyed.set_variable("s", "v", 1).unwrap();
    // One that could happen, one that changes nothing, one that is refused; one elsewhere.
    reuses(&keyed.set_variable("s", "v", 2).unwrap_err(), EventType::VariableSet, 3);
    reuses(&keyed.move_document("s", "d", "/e").unwrap_err(), EventType::VariableSet, 3);
    reuses(&keyed.rename_space("s", "S").unwrap_err(), EventType::VariableSet, 3);
    reuses(&keyed.remove_document("s", "x").unwrap_err(), EventType::VariableSet, 3);
    reuses(&keyed.create_space("t", "T").unwrap_err(), EventType::VariableSet, 3);
    reuses(&keyed.set_variable("t", "v", 1).unwrap_err(), EventType::VariableSet, 3);
    assert_eq!(service.log().head(), Position::new(3));
}

#[test]
fn refusals_and_commands_that_change_nothing_are_decided_anew() {
    let service = service();
    let keyed = service.with_key("k");
    let error = keyed.remove_document("s", "e").unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::UnknownDocument { .. })), "{error}");
    assert!(keyed.rename_space("s", "S").unwrap().is_unchanged());
    service.add_document("s", "e", "/e").unwrap();
    assert!(!keyed.remove_document("s", "e").unwrap().is_repeated());
    // In a log without events there is nothing to recognise.
    let empty = SpaceService::in_memory().with_key("k");
    let error = empty.activate_space("s").unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::NoSuchSpace));
    assert_eq!(empty.log().head(), Position::START);
}

#[test]
fn one_of_many_that_repeat_a_command_at_once_records_it() {
    const THREADS: usize = 4;
    for round in 0..50 {
        let service = service();
        let begin = Barrier::new(THREADS);
        let outcomes: Vec<Outcome> = thread::scope(|scope| {
            let repeats: Vec<_> = (0..THREADS)
                .map(|n| {
                    let (service, begin) = (&service, &begin);
                    scope.spawn(move || {
                        // Half of them through services of their own, which know nothing.
                        let own = SpaceService::over(Arc::clone(service.log()));
                        let service = if n % 2 == 0 { service } else { &own };
                        // At times that differ, so that only the key tells.
                        let time = Timestamp::from_micros(i64::try_from(n).unwrap()).unwrap();
                        let service = service.with_timestamp(time).with_key("k");
                        begin.wait();
                        service.set_variable("s", "v", 1).unwrap()
                    })
                })
                .collect();
            repeats.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(service.log().head(), Position::new(3), "round {round}");
        assert_eq!(outcomes.iter().filter(|outcome| !outcome.is_repeated()).count(), 1);
        assert!(outcomes.iter().all(|outcome| outcome.events() == outcomes[0].events()));
    }
}

#[test]
fn a_key_is_forgotten_behind_the_retry_window() {
    let log = Arc::new(MemoryLog::with_retry_window(10));
    let service = SpaceService::over(log);
    service.create_space("s", "S").unwrap();
    let keyed = service.with_key("k");
    keyed.set_variable("s", "v", 1).unwrap();
    for n in 2..12 {
        service.set_variable("s", "v", n).unwrap();
    }
    assert!(!keyed.set_variable("s", "v", 1).unwrap().is_repeated());
}

#[test]
fn ids_are_those_of_the_key_and_the_index() {
    // So that other programs can know them: UUIDv5 of KEY/INDEX in the namespace of the log.
    let log_id = LogId::from_bytes(*b"0123456789abcdef");
    let name = "request-17/0";
    let namespace = "7c9a2d1e-5b0f-4c38-9e64-1f7ad3b80c52".parse::<uuid::Uuid>().unwrap();
    let namespace = uuid::Uuid::new_v5(&namespace, b"0123456789abcdef");
    let expected = uuid::Uuid::new_v5(&namespace, name.as_bytes());
    let id = IdempotencyKey::new("request-17").event_id(log_id, 0);
    assert_eq!(id, expected.into());
    assert_eq!(id.to_string(), "c95c7707-a78a-5f40-9745-c7e9c73d67ea");
}

#[test]
fn a_key_gives_other_ids_in_every_log_and_the_same_in_each_service_of_one() {
    let stored = |service: &SpaceService| {
        service.with_key("k").set_variable("s", "v", 1).unwrap().events()[0].event.event_id
    };
    let (first, second) = (service(), service());
    let (a, b) = (stored(&first), stored(&second));
    assert_ne!(a, b);
    // So the events of one can be taken into another, whose key is still free for its own command.
    let events = first.log().page_at(Position::new(3)).unwrap().unwrap();
    let event = events.events().next().unwrap().unwrap().to_owned_event().event;
    let third = service();
    third.log().append(&AppendRequest::new(&[event])).unwrap();
    let own = third.with_key("k").set_variable("s", "v", 2).unwrap();
    assert!(!own.is_repeated());
    // Each service of a log gives the same.
    assert_eq!(stored(&SpaceService::over(Arc::clone(first.log()))), a);
}

/// A log whose durable head stays where it is.
struct Behind {
    log: Arc<MemoryLog>,
    durable_head: Position,
}

impl testing::LogWrapper for Behind {
    fn inner(&self) -> &dyn EventLog {
        &*self.log
    }

    fn durable_head(&self) -> Position {
        self.durable_head
    }

    fn wait_durable(&self, _: Position, _: Duration) -> Result<Position, ReadError> {
        Ok(self.durable_head)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        if read.from > self.durable_head {
            return Ok(Page::empty(self.durable_head.next()));
        }
        self.log.read(&read.clone().to(self.durable_head))
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        let spaces = EventFilter::all().spaces([space_id]);
        let page = LogReader::read(self, &ReadRequest::from(Position::new(1)).matching(spaces))?;
        Ok(Revision::new(page.envelopes().count() as u64))
    }
}

#[test]
fn a_repetition_of_what_does_not_become_durable_says_so() {
    let log = Arc::new(MemoryLog::new());
    let first = SpaceService::over(log.clone());
    first.create_space("s", "S").unwrap();
    let (durable_head, position) = (log.head(), Position::new(2));
    let stored = first.with_key("k").set_variable("s", "v", 1).unwrap();
    assert_eq!(stored.last_position(), Some(position));
    let second = SpaceService::over(Arc::new(Behind { log: log.clone(), durable_head }));
    let error = second.with_key("k").set_variable("s", "v", 1).unwrap_err();
    let CommandError::State(SnapshotError::TimedOut { position: asked, durable_head: at }) = error
    else {
        panic!("{error}");
    };
    assert_eq!((asked, at), (position, durable_head));
    assert_eq!(log.head(), position);
}
