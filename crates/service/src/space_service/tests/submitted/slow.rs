//! Commands that have to wait hold up nobody else, and what cannot be taken is told as such.

use spacefold_event_core::{EventId, FailedCondition};

use super::*;
use crate::MAX_SUBMITTED_BYTES;

/// A gate that is open until it is shut.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap() = is_shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let is_shut = self.is_shut.lock().unwrap();
        drop(self.changed.wait_while(is_shut, |is_shut| *is_shut).unwrap());
    }
}

/// A log that answers some questions only after a sync: while the gate is shut there is none.
#[derive(Default)]
struct Asked {
    log: MemoryLog,
    /// Of what is asked about what is not durable yet.
    sync: Gate,
    /// Of what is read.
    reads: Gate,
}

impl testing::LogWrapper for Asked {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        self.sync.pass();
        self.log.failed_parts(condition)
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        self.sync.pass();
        self.log.find_event(id)
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.sync.pass();
        self.log.wait_durable(position, timeout)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        self.reads.pass();
        self.log.read(read)
    }
}

fn asked() -> (SpaceService, Arc<Asked>) {
    let log = Arc::new(Asked::default());
    let service = SpaceService::over(log.clone());
    for space in ["slow", "plain"] {
        service.create_space(space, "S").unwrap();
    }
    (service, log)
}

/// Whether a command on another space is answered while that which was handed over waits.
#[track_caller]
fn holds_up_nobody(service: &SpaceService, gate: &Gate, slow: impl FnOnce() -> PendingOutcome) {
    gate.set(true);
    let slow = slow();
    // Behind it, on its space.
    let next = service.submit("slow", set("next", 1));
    let (answered, is_answered) = mpsc::channel();
    let plain = [
        service.submit("plain", set("v", 1)),
        service.with_key("plain").submit("plain", set("v", 2)),
        service.submit("new", named("N")),
        service.batch("plain").set_variable("v", 3).rename_space("P").submit(),
    ];
    thread::spawn(move || {
        plain.into_iter().for_each(|plain| drop(plain.wait().unwrap()));
        answered.send(()).unwrap();
    });
    let plain = is_answered.recv_timeout(LONG);
    let slow = slow.try_wait();
    gate.set(false);
    plain.expect("a command on another space waits for one that waits");
    drop(slow.expect_err("it does not wait").wait());
    next.wait().unwrap();
}

#[test]
fn a_refusal_that_waits_for_a_sync_holds_up_no_other_space() {
    let (service, log) = asked();
    let keyed = service.with_key("k");
    holds_up_nobody(&service, &log.sync, || keyed.submit("slow", named("again")));
}

#[test]
fn a_command_that_changes_nothing_and_waits_for_a_sync_holds_up_no_other_space() {
    let (service, log) = asked();
    let keyed = service.with_key("k");
    let rename = Command::RenameSpace { name: "S".to_owned() };
    holds_up_nobody(&service, &log.sync, || keyed.submit("slow", rename));
}

#[test]
fn a_repetition_that_waits_for_a_sync_holds_up_no_other_space() {
    let (service, log) = asked();
    let keyed = service.with_key("k");
    keyed.set_variable("slow", "v", 1).unwrap();
    service.set_variable("slow", "v", 2).unwrap();
    // Its append is taken for one of an id that is used.
    holds_up_nobody(&service, &log.sync, || keyed.submit("slow", set("v", 1)));
}

#[test]
fn a_condition_that_waits_for_a_sync_holds_up_no_other_space() {
    let (service, log) = asked();
    // What it found is asked for when the append has refused it.
    let only_if = service.only_if(AppendCondition::no_space("slow"));
    holds_up_nobody(&service, &log.sync, || only_if.submit("slow", set("v", 1)));
}

#[test]
fn a_refusal_under_a_condition_that_waits_for_a_sync_holds_up_no_other_space() {
    let (service, log) = asked();
    let changed = service.if_unchanged_since(Scope::Space, Position::new(1));
    holds_up_nobody(&service, &log.sync, || changed.submit("slow", named("again")));
}

#[test]
fn a_lost_race_that_waits_for_a_sync_holds_up_no_other_space() {
    let (service, log) = asked();
    // So that the service has the state in mind, and the log then has more.
    service.set_variable("slow", "v", 1).unwrap();
    holds_up_nobody(&service, &log.reads, || {
        let other = [SpaceEvent::variable_set("slow", "other", 1)];
        log.log.append(&AppendRequest::new(&other)).unwrap();
        service.submit("slow", set("v", 2))
    });
}

#[test]
fn many_commands_that_wait_are_answered_in_the_end_and_in_order() {
    const SPACES: usize = 200;
    let (service, log) = asked();
    log.sync.set(true);
    let spaces = (0..SPACES).map(|n| format!("s{n}"));
    let pending: Vec<Vec<PendingOutcome>> = spaces
        .map(|space| {
            let never = service.only_if(AppendCondition::no_space("slow"));
            vec![
                service.submit(&space, named("S")),
                never.submit(&space, set("v", 0)),
                service.submit(&space, set("v", 1)),
            ]
        })
        .collect();
    log.sync.set(false);
    for pending in pending {
        let outcomes: Vec<_> = pending.into_iter().map(PendingOutcome::wait).collect();
        let [Ok(created), Err(CommandError::Refused { .. }), Ok(set)] = &outcomes[..] else {
            panic!("{outcomes:?}");
        };
        assert_eq!((created.revision(), set.revision()), (Revision::new(1), Revision::new(2)));
    }
    drop(service);
    assert!(Arc::try_unwrap(log).is_ok(), "somebody has it still");
}

#[test]
fn a_log_that_panics_where_commands_wait_leaves_nobody_waiting() {
    struct Panics(MemoryLog);

    impl testing::LogWrapper for Panics {
        fn inner(&self) -> &dyn EventLog {
            &self.0
        }

        fn find_event(&self, _: EventId) -> Result<Option<Position>, ReadError> {
            panic!("panics as it should");
        }
    }

    let service = SpaceService::over(Arc::new(Panics(MemoryLog::new())));
    service.create_space("s", "S").unwrap();
    let panicked = service.with_key("k").submit("s", named("S"));
    let next = service.submit("s", set("v", 1));
    let error = panicked.wait().unwrap_err();
    assert!(matches!(error, CommandError::Append(AppendError::OutcomeUnknown(_))), "{error}");
    assert_eq!(next.wait().unwrap().revision(), Revision::new(2));
}

#[track_caller]
fn is_refused_for_want_of_a_thread(error: &CommandError) {
    let CommandError::Append(AppendError::Refused { reason, .. }) = error else {
        panic!("{error:?}")
    };
    assert!(reason.contains("starting a thread"), "{reason}");
}

#[test]
fn a_thread_that_cannot_be_had_stores_nothing_and_says_so() {
    // The courier's.
    let (service, log) = asked();
    let head = log.log.head();
    *service.submissions.threads.refused.lock() = Some("spacefold-commands");
    is_refused_for_want_of_a_thread(&service.submit("slow", set("v", 1)).wait().unwrap_err());
    assert_eq!(log.log.head(), head);
    *service.submissions.threads.refused.lock() = None;
    service.submit("slow", set("v", 1)).wait().unwrap();

    // That which syncs content.
    let service = service.with_content_store(Arc::new(MemoryContentStore::new()));
    service.add_document("slow", "d", "/d").unwrap();
    let head = log.log.head();
    *service.submissions.threads.refused.lock() = Some("spacefold-content-sync");
    let with_content = || service.batch("slow").set_content("d", "bytes").submit();
    is_refused_for_want_of_a_thread(&with_content().wait().unwrap_err());
    is_refused_for_want_of_a_thread(&service.submit_content_sync().wait().unwrap_err());
    assert_eq!(log.log.head(), head);
    *service.submissions.threads.refused.lock() = None;
    with_content().wait().unwrap();

    // That for what waits: a condition, a state to be read, a race that is lost.
    *service.submissions.threads.refused.lock() = Some("spacefold-command");
    let only_if = service.only_if(AppendCondition::none().and(AppendCondition::exists("slow")));
    is_refused_for_want_of_a_thread(&only_if.submit("slow", set("v", 2)).wait().unwrap_err());
    let other = [SpaceEvent::variable_set("slow", "other", 1)];
    log.log.append(&AppendRequest::new(&other)).unwrap();
    let head = log.log.head();
    is_refused_for_want_of_a_thread(&service.submit("slow", set("v", 2)).wait().unwrap_err());
    assert_eq!(log.log.head(), head);
    *service.submissions.threads.refused.lock() = None;
    service.submit("slow", set("v", 2)).wait().unwrap();
}

#[test]
fn a_race_that_is_lost_where_no_thread_is_to_be_had_stores_nothing() {
    let log = Arc::new(MemoryLog::new());
    log.append(&AppendRequest::new(&[SpaceEvent::space_created("s", "S")])).unwrap();
    let races = AtomicU64::new(0);
    let before_append = move |log: &MemoryLog, _: &AppendRequest<'_>| {
        if races.fetch_add(1, Ordering::SeqCst) == 1 {
            let other = [SpaceEvent::variable_set("s", "other", 1)];
            log.append(&AppendRequest::new(&other)).unwrap();
        }
    };
    let service = SpaceService::over(Arc::new(Meddled { log: Arc::clone(&log), before_append }));
    service.set_variable("s", "v", 1).unwrap();
    *service.submissions.threads.refused.lock() = Some("spacefold-command");
    is_refused_for_want_of_a_thread(&service.submit("s", set("v", 2)).wait().unwrap_err());
    assert_eq!(log.head(), Position::new(3));
}

#[test]
fn a_log_that_does_not_know_what_it_has_stored_is_believed_without_a_thread() {
    struct Unknown(MemoryLog);

    impl testing::LogWrapper for Unknown {
        fn inner(&self) -> &dyn EventLog {
            &self.0
        }

        fn append(&self, _: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
            Err(AppendError::OutcomeUnknown(spacefold_event_core::StorageError::new(
                "syncing", "no",
            )))
        }
    }

    for refused in [None, Some("spacefold-command")] {
        let service = SpaceService::over(Arc::new(Unknown(MemoryLog::new())));
        *service.submissions.threads.refused.lock() = refused;
        let error = service.submit("s", named("S")).wait().unwrap_err();
        let CommandError::Append(AppendError::OutcomeUnknown(error)) = error else {
            panic!("{error}")
        };
        assert!(error.to_string().contains("syncing"), "{error}");
    }
}

#[test]
fn what_is_submitted_past_the_limit_is_refused_until_some_of_it_is_answered() {
    let (service, log) = held();
    let large = || set("v", "x".repeat(MAX_SUBMITTED_BYTES / 2));
    let pending = [service.submit("s", named("S")), service.submit("s", large())];
    log.wait_for(1);
    let error = service.submit("t", large()).wait().unwrap_err();
    let CommandError::TooManySubmitted { commands, bytes } = error else { panic!("{error}") };
    assert!(commands == 2 && bytes > MAX_SUBMITTED_BYTES / 2, "{commands} {bytes}");
    let small = service.submit("t", named("T"));
    log.wait_for(2);
    log.sync();
    let [created, too_large] = pending;
    created.wait().unwrap();
    small.wait().unwrap();
    log.wait_for(1);
    log.sync();
    let error = too_large.wait().unwrap_err();
    assert!(matches!(error, CommandError::Refused { .. }), "{error:?}");
    // By the time of an answer there is room.
    let too_large = service.submit("t", large());
    log.wait_for(1);
    log.sync();
    let error = too_large.wait().unwrap_err();
    assert!(matches!(error, CommandError::Refused { .. }), "{error:?}");
}

#[test]
fn what_goes_into_the_events_of_commands_counts_for_the_limit() {
    type With = fn(&SpaceService, String) -> SpaceService;
    let with: [With; 6] = [
        |service, large| service.with_extra("large", large),
        |service, large| service.with_extra(large, 1),
        |service, large| service.with_tags([large]),
        |service, large| service.with_source(large),
        |service, large| service.with_correlation_id(large),
        |service, large| service.with_key(large),
    ];
    let large = || "x".repeat(MAX_SUBMITTED_BYTES / 2);
    let is_too_much = |pending: PendingOutcome| match pending.try_wait() {
        Ok(Err(CommandError::TooManySubmitted { .. })) => true,
        Ok(other) => panic!("{other:?}"),
        Err(_) => false,
    };
    for (index, with) in with.into_iter().enumerate() {
        let (service, log) = held();
        let first = service.submit("s", named("S"));
        log.wait_for(1);
        // It waits for the first.
        let taken = with(&service, large()).submit("s", named("T"));
        let is_refused = is_too_much(with(&service, large()).submit("s", named("T")));
        log.sync();
        first.wait().unwrap();
        assert!(taken.wait().is_err() && is_refused, "{index}");
    }
}

#[test]
fn commands_that_may_have_to_wait_share_threads() {
    const COMMANDS: usize = 200;
    let service = SpaceService::in_memory();
    service.create_space("s", "S").unwrap();
    let only_if = service.only_if(AppendCondition::exists("s"));
    for n in 0..COMMANDS {
        only_if.submit("s", set("v", n as u64)).wait().unwrap();
    }
    let started = service.submissions.threads.started.load(Ordering::SeqCst);
    assert!(started < COMMANDS / 2, "{started} threads for {COMMANDS} commands");
}

/// A content store whose first sync panics.
struct Panicking {
    store: MemoryContentStore,
    syncs: AtomicU64,
}

impl ContentStore for Panicking {
    fn put(&self, content: &mut dyn std::io::Read) -> Result<StoredContent, ContentError> {
        self.store.put(content)
    }

    fn put_hashed(&self, content: HashedContent<'_>) -> Result<StoredContent, ContentError> {
        self.store.put_hashed(content)
    }

    fn sync(&self) -> Result<(), ContentError> {
        assert!(self.syncs.fetch_add(1, Ordering::SeqCst) > 0, "panics as it should");
        self.store.sync()
    }

    fn open(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        self.store.open(hash)
    }

    fn contains(&self, hash: &ContentHash) -> Result<bool, ContentError> {
        self.store.contains(hash)
    }
}

#[test]
fn a_content_store_whose_sync_panics_fails_that_sync_alone() {
    let panicking = || Panicking { store: MemoryContentStore::new(), syncs: AtomicU64::new(0) };
    let service = SpaceService::in_memory().with_content_store(Arc::new(panicking()));
    service.batch("s").create_space("S").add_document("d", "/d").commit().unwrap();
    let head = service.log().head();
    let panicked = service.batch("s").set_content("d", "bytes").submit();
    let next = service.submit("s", set("v", 1));
    let error = panicked.wait().unwrap_err();
    let CommandError::Content(ContentError::Storage(error)) = error else { panic!("{error}") };
    assert!(error.to_string().contains("panicked"), "{error}");
    assert_eq!(next.wait().unwrap().last_position(), Some(head.next()));
    service.batch("s").set_content("d", "bytes").submit().wait().unwrap();

    // A sync that is asked for alone.
    let service = service.with_content_store(Arc::new(panicking()));
    assert!(matches!(service.submit_content_sync().wait(), Err(CommandError::Content(_))));
    service.submit_content_sync().wait().unwrap();
}

#[test]
fn content_that_was_put_is_synced_for_whoever_asks_without_waiting() {
    let syncs = Arc::new(AtomicU64::new(0));
    let store = Noted { store: MemoryContentStore::new(), syncs: Arc::clone(&syncs), fails: false };
    let service = SpaceService::in_memory().with_content_store(Arc::new(store));
    let stored = service.content_store().unwrap().put(&mut &b"bytes"[..]).unwrap();
    service.submit_content_sync().wait().unwrap();
    assert_eq!(syncs.load(Ordering::SeqCst), 1);
    assert!(service.content_store().unwrap().contains(&stored.hash).unwrap());
    let none = SpaceService::over(Arc::new(MemoryLog::new())).submit_content_sync();
    assert!(matches!(none.wait(), Err(CommandError::NoContentStore)));
    // The last of a service waits for it.
    drop(service.submit_content_sync());
    drop(service);
    assert_eq!(syncs.load(Ordering::SeqCst), 2);
}
