//! Commands under a key.

use spacefold_event_core::{
    AppendCondition, COMMAND_UNCHANGED, EventFilter, EventId, FailedCondition, LogId, lock::Lock,
};
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
fn reuses(error: &CommandError, type_name: &str, position: u64) {
    let Some(Refusal::KeyReused { type_name: stored, position: at, .. }) = error.refusal() else {
        panic!("{error}");
    };
    assert_eq!((stored.as_str(), *at), (type_name, Position::new(position)));
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
    // Nothing changes under a key that is known; a refusal under that and a new one.
    let again = service.with_key("k").set_variable("s", "v", 1).unwrap();
    assert_eq!(again.events(), first.events());
    reuses(&service.with_key("k").create_space("s", "S").unwrap_err(), "variable.set", 2);
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
    reuses(&keyed.set_variable("s", "v", 2).unwrap_err(), "variable.set", 3);
    reuses(&keyed.move_document("s", "d", "/e").unwrap_err(), "variable.set", 3);
    reuses(&keyed.rename_space("s", "S").unwrap_err(), "variable.set", 3);
    reuses(&keyed.remove_document("s", "x").unwrap_err(), "variable.set", 3);
    reuses(&keyed.create_space("t", "T").unwrap_err(), "variable.set", 3);
    reuses(&keyed.set_variable("t", "v", 1).unwrap_err(), "variable.set", 3);
    assert_eq!(service.log().head(), Position::new(3));
}

#[test]
fn refusals_are_decided_anew() {
    let service = service();
    let keyed = service.with_key("k");
    let error = keyed.remove_document("s", "e").unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::UnknownDocument { .. })), "{error}");
    service.add_document("s", "e", "/e").unwrap();
    assert!(!keyed.remove_document("s", "e").unwrap().is_repeated());
    // In a log without events there is nothing to recognise.
    let empty = SpaceService::in_memory().with_key("k");
    let error = empty.activate_space("s").unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::NoSuchSpace));
    assert_eq!(empty.log().head(), Position::START);
}

/// Everything that commands have left which changed nothing: of each the space and the position.
fn unchanged(service: &SpaceService) -> Vec<(String, u64)> {
    let events = all(&**service.log());
    let left = events.iter().filter(|event| event.event.type_name() == COMMAND_UNCHANGED);
    left.map(|event| (event.event.space_id.clone(), event.position.get())).collect()
}

#[test]
fn a_command_that_changed_nothing_changes_nothing_when_it_is_repeated() {
    let service = service();
    service.set_variable("s", "v", 1).unwrap();
    let source = service.with_source("editor").with_correlation_id("c");
    let first = source.with_key("k").set_variable("s", "v", 1).unwrap();
    assert!(first.is_unchanged() && !first.is_repeated() && first.is_durable());
    assert_eq!((first.last_position(), first.revision()), (None, Revision::new(4)));
    assert_eq!(unchanged(&service), [("s".to_owned(), 4)]);
    let left = all(&**service.log()).pop().unwrap().event;
    assert_eq!(left.event_id, id_of(&service, "k", 0));
    assert_eq!(
        (left.source.as_deref(), left.correlation_id.as_deref()),
        (Some("editor"), Some("c"))
    );
    // At once, when it would change nothing all the same.
    let repeats = |again: &Outcome| {
        assert!(again.is_unchanged() && again.is_repeated(), "{again:?}");
        assert_eq!(again.revision(), first.revision());
    };
    repeats(&service.with_key("k").set_variable("s", "v", 1).unwrap());
    // When it would change something.
    service.set_variable("s", "v", 9).unwrap();
    repeats(&service.with_key("k").set_variable("s", "v", 1).unwrap());
    repeats(
        &SpaceService::over(Arc::clone(service.log()))
            .with_key("k")
            .set_variable("s", "v", 1)
            .unwrap(),
    );
    let pending = service
        .with_key("k")
        .submit("s", Command::SetVariable { name: "v".to_owned(), value: 1.into() });
    repeats(&pending.wait().unwrap());
    let now = service.states().snapshot("s").unwrap();
    assert_eq!(now.variable("v"), Some(&Value::from(9)));
    // When the space takes no commands any more.
    service.delete_space("s").unwrap();
    repeats(&service.with_key("k").set_variable("s", "v", 1).unwrap());
    assert_eq!(unchanged(&service).len(), 1);
    assert_eq!(service.log().head(), Position::new(6));
}

#[test]
fn other_arguments_under_the_key_of_a_command_that_changed_nothing_reuse_it() {
    let service = service();
    service.set_variable("s", "v", 1).unwrap();
    let keyed = service.with_key("k");
    assert!(keyed.set_variable("s", "v", 1).unwrap().is_unchanged());
    let head = service.log().head();
    let reused = |error: CommandError| reuses(&error, COMMAND_UNCHANGED, 4);
    // One that changes something, one that does not, one that is refused, one elsewhere.
    reused(keyed.set_variable("s", "v", 2).unwrap_err());
    reused(keyed.set_variable("s", "v", "1").unwrap_err());
    reused(keyed.rename_space("s", "S").unwrap_err());
    reused(keyed.remove_document("s", "x").unwrap_err());
    reused(keyed.set_variable("t", "v", 1).unwrap_err());
    reused(keyed.create_space("t", "T").unwrap_err());
    reused(keyed.batch("s").set_variable("v", 1).rename_space("S").commit().unwrap_err());
    assert_eq!(service.log().head(), head);
    // A command that changed something is no repetition of one that did not.
    service.with_key("l").set_variable("s", "v", 2).unwrap();
    reuses(&service.with_key("l").rename_space("s", "S").unwrap_err(), "variable.set", 5);
}

#[test]
fn a_batch_that_changed_nothing_changes_nothing_when_it_is_repeated() {
    for submits in [false, true] {
        let service = service();
        let give = |value: u64| {
            let batch = service.with_key("k").batch("s").rename_space("S").set_variable("v", value);
            if submits { batch.submit().wait() } else { batch.commit() }
        };
        service.set_variable("s", "v", 1).unwrap();
        assert!(give(1).unwrap().is_unchanged());
        service.batch("s").rename_space("T").set_variable("v", 9).commit().unwrap();
        let again = give(1).unwrap();
        assert!(again.is_unchanged() && again.is_repeated());
        reuses(&give(2).unwrap_err(), COMMAND_UNCHANGED, 4);
        assert_eq!(unchanged(&service), [("s".to_owned(), 4)]);
        // One without commands leaves nothing.
        assert!(service.with_key("l").batch("none").commit().unwrap().is_unchanged());
        assert_eq!(service.log().head(), Position::new(6));
    }
}

#[test]
fn what_is_refused_leaves_nothing_and_its_key_free() {
    let service = service();
    let keyed = service.with_key("k");
    assert!(keyed.add_document("s", "d", "/d").is_err());
    let never = keyed.only_if(AppendCondition::no_space("s"));
    for refused in [never.rename_space("s", "S"), never.batch("s").rename_space("S").commit()] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused.refusal(), Some(Refusal::ConditionFailed { .. })), "{refused}");
    }
    let changed = keyed.if_unchanged_since(crate::Scope::document("d"), Position::new(1));
    assert!(changed.rename_space("s", "S").is_err());
    assert_eq!((unchanged(&service), service.log().head()), (Vec::new(), Position::new(2)));
    assert!(keyed.rename_space("s", "S").unwrap().is_unchanged());
    // A condition that holds no more is no matter to a repetition.
    assert!(never.rename_space("s", "S").unwrap().is_repeated());
}

#[test]
fn a_command_without_a_key_leaves_nothing_when_it_changes_nothing() {
    let service = service();
    assert!(service.rename_space("s", "S").unwrap().is_unchanged());
    assert_eq!(service.log().head(), Position::new(2));
}

#[test]
fn a_repetition_at_the_time_of_the_first_says_that_it_is_one() {
    let service = service();
    let time = Timestamp::from_micros(1).unwrap();
    let keyed = service.with_timestamp(time).with_key("k");
    let first = keyed.set_variable("s", "v", 1).unwrap();
    service.set_variable("s", "v", 2).unwrap();
    let again = keyed.set_variable("s", "v", 1).unwrap();
    assert!(again.is_repeated());
    assert_eq!(again.events(), first.events());
    assert!(
        service.with_timestamp(time).with_key("l").rename_space("s", "S").unwrap().is_unchanged()
    );
    assert!(
        service.with_timestamp(time).with_key("l").rename_space("s", "S").unwrap().is_repeated()
    );
}

#[test]
fn a_repetition_at_the_time_of_the_first_answers_as_then_whatever_it_would_come_to() {
    for submits in [false, true] {
        let service = service();
        let keyed = service.with_timestamp(Timestamp::from_micros(1).unwrap()).with_key("k");
        let give = |batch: Batch| if submits { batch.submit().wait() } else { batch.commit() };
        let one = || keyed.batch("s").set_variable("v", 1);
        let first = give(one().set_variable("w", 2)).unwrap();
        assert_eq!((first.events().len(), first.is_repeated()), (2, false));
        // From here on it would come to the first of its events alone.
        service.set_variable("s", "v", 9).unwrap();
        let again = give(one().set_variable("w", 2)).unwrap();
        assert!(again.is_repeated());
        assert_eq!((again.events(), again.revision()), (first.events(), first.revision()));
        // And so would another batch.
        reuses(&give(one()).unwrap_err(), "variable.set", 4);
        assert_eq!(service.log().head(), Position::new(5));
    }
}

#[test]
fn a_repetition_that_loses_to_the_first_at_the_same_time_says_that_it_is_one() {
    for submits in [false, true] {
        let log = Arc::new(MemoryLog::new());
        let first = SpaceService::over(log.clone());
        first.create_space("s", "S").unwrap();
        let keyed = |service: &SpaceService| {
            service.with_timestamp(Timestamp::from_micros(1).unwrap()).with_key("k")
        };
        let (rival, stored) = (keyed(&first), Arc::default());
        let noted: Arc<Lock<Option<Outcome>>> = Arc::clone(&stored);
        let before_append = move |_: &MemoryLog, _: &AppendRequest<'_>| {
            *noted.lock() = Some(rival.set_variable("s", "v", 1).unwrap());
        };
        let second = keyed(&SpaceService::over(Arc::new(Meddled { log, before_append })));
        let again = if submits {
            let set = Command::SetVariable { name: "v".to_owned(), value: 1.into() };
            second.submit("s", set).wait().unwrap()
        } else {
            second.set_variable("s", "v", 1).unwrap()
        };
        let stored = stored.lock().take().unwrap();
        assert!(again.is_repeated() && !stored.is_repeated());
        assert_eq!(again.events(), stored.events());
    }
}

#[test]
fn an_event_of_others_under_the_id_of_a_later_one_is_no_repetition() {
    let service = service();
    let taken = SpaceEvent::variable_set("s", "w", 2).with_event_id(id_of(&service, "k", 1));
    service.log().append(&AppendRequest::new(std::slice::from_ref(&taken))).unwrap();
    let batch = service.with_key("k").batch("s").set_variable("v", 1).set_variable("w", 3);
    let error = batch.commit().unwrap_err();
    let CommandError::Append(AppendError::EventIdReused { id, position }) = error else {
        panic!("{error}");
    };
    assert_eq!((id, position), (taken.event_id, Position::new(3)));
    assert_eq!(service.log().head(), Position::new(3));
}

/// A log that notes what it is asked for a command.
#[derive(Default)]
struct Noting {
    log: MemoryLog,
    asked: AtomicUsize,
    conditions: Lock<Vec<AppendCondition>>,
}

impl testing::LogWrapper for Noting {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        self.conditions.lock().push(append.condition().clone());
        self.log.append(append)
    }

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.log.failed_parts(condition)
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.log.find_event(id)
    }
}

#[test]
fn a_command_under_a_key_is_appended_as_any_other() {
    let log = Arc::new(Noting::default());
    let service = SpaceService::over(log.clone());
    service.create_space("s", "S").unwrap();
    let keyed = service.with_key("k");
    log.conditions.lock().clear();
    keyed.set_variable("s", "v", 1).unwrap();
    let exists = AppendCondition::exists("s");
    service.with_key("l").only_if(exists.clone()).set_variable("s", "v", 2).unwrap();
    let exact = |revision| AppendCondition::exact("s", Revision::new(revision));
    assert_eq!(*log.conditions.lock(), [exact(1), exact(2).and(exists)]);
    assert_eq!(log.asked.load(Ordering::SeqCst), 0, "asked what the append tells");
    // The append tells a repetition from what does not fit any more.
    let never = AppendCondition::no_space("s");
    let again = keyed.only_if(never.clone()).set_variable("s", "v", 1).unwrap();
    assert!(again.is_repeated());
    let refused = service.with_key("m").only_if(never).set_variable("s", "v", 3).unwrap_err();
    assert!(matches!(refused.refusal(), Some(Refusal::ConditionFailed { .. })), "{refused}");
}

#[test]
fn one_of_many_that_repeat_a_command_which_changes_nothing_records_it() {
    const THREADS: usize = 4;
    for round in 0..50 {
        let service = service();
        let begin = Barrier::new(THREADS);
        let repeated = thread::scope(|scope| {
            let repeats: Vec<_> = (0..THREADS)
                .map(|n| {
                    let (service, begin) = (&service, &begin);
                    scope.spawn(move || {
                        let own = SpaceService::over(Arc::clone(service.log()));
                        let service = if n % 2 == 0 { service } else { &own };
                        let time = i64::try_from(n.max(THREADS / 2)).unwrap();
                        let time = Timestamp::from_micros(time).unwrap();
                        let service = service.with_timestamp(time).with_key("k");
                        begin.wait();
                        let outcome = service.rename_space("s", "S").unwrap();
                        assert!(outcome.is_unchanged());
                        outcome.is_repeated()
                    })
                })
                .collect();
            repeats.into_iter().map(|thread| thread.join().unwrap()).filter(|it| *it).count()
        });
        assert_eq!((repeated, unchanged(&service).len()), (THREADS - 1, 1), "round {round}");
        assert_eq!(service.log().head(), Position::new(3), "round {round}");
    }
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
                        // Half of them at one time, the others at times of their own.
                        let time = i64::try_from(n.max(THREADS / 2)).unwrap();
                        let time = Timestamp::from_micros(time).unwrap();
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
