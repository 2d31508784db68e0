//! Commands that are handed over.

use std::{
    future::{Future as _, IntoFuture},
    pin::pin,
    sync::{
        Condvar, Mutex,
        mpsc::{self, Sender},
    },
    task::{self, Context, Wake},
    time::Duration,
};

use spacefold_event_core::{
    AppendCondition, ContentError, ContentHash, ContentReader, ContentStore, HashedContent,
    PendingAppend, StoredContent,
};

use super::*;
use crate::{PendingOutcome, Scope};

mod slow;

/// How long anything may take.
const LONG: Duration = Duration::from_secs(60);

type UnderWay = Box<dyn FnOnce(&MemoryLog) + Send>;

/// A log whose appends wait for a sync that the test makes.
#[derive(Default)]
struct Held {
    log: MemoryLog,
    under_way: Mutex<Vec<UnderWay>>,
    handed_over: Condvar,
}

impl Held {
    /// Waits until this many appends wait for the sync.
    fn wait_for(&self, appends: usize) {
        let under_way = self.under_way.lock().unwrap();
        let under_way = self.handed_over.wait_while(under_way, |they| they.len() < appends);
        assert_eq!(under_way.unwrap().len(), appends);
    }

    fn sync(&self) {
        let under_way = std::mem::take(&mut *self.under_way.lock().unwrap());
        under_way.into_iter().for_each(|append| append(&self.log));
    }
}

impl testing::LogWrapper for Held {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn submit(&self, append: &AppendRequest<'_>) -> Result<PendingAppend, AppendError> {
        let (answerer, pending) = PendingAppend::new(|| Err(AppendError::Closed));
        let (events, condition) = (append.events().to_vec(), append.condition().clone());
        let append = move |log: &MemoryLog| {
            answerer.answer(log.append(&AppendRequest::new(&events).on(condition)));
        };
        self.under_way.lock().unwrap().push(Box::new(append));
        self.handed_over.notify_all();
        Ok(pending)
    }
}

fn held() -> (SpaceService, Arc<Held>) {
    let log = Arc::new(Held::default());
    let service = SpaceService::over(log.clone());
    (service.with_content_store(Arc::new(MemoryContentStore::new())), log)
}

fn named(name: impl Into<String>) -> Command {
    Command::CreateSpace { name: name.into() }
}

fn set(name: &str, value: impl Into<Value>) -> Command {
    Command::SetVariable { name: name.to_owned(), value: value.into() }
}

#[test]
fn commands_on_many_spaces_are_under_way_together() {
    const SPACES: usize = 100;
    let (service, log) = held();
    let pending: Vec<PendingOutcome> =
        (0..SPACES).map(|n| service.submit(&format!("s{n}"), named("S"))).collect();
    log.wait_for(SPACES);
    let mut waiting = Vec::new();
    for pending in pending {
        waiting.push(pending.try_wait().expect_err("nothing is durable yet"));
    }
    assert_eq!(log.log.head(), Position::START);
    log.sync();
    for pending in waiting {
        let outcome = pending.wait().unwrap();
        assert!(outcome.is_durable() && outcome.revision() == Revision::new(1));
    }
    assert!(service.seen() >= Position::new(1));
}

#[test]
fn commands_on_one_space_happen_in_the_order_in_which_they_were_handed_over() {
    let (service, log) = held();
    let mut pending = vec![service.submit("s", named("S"))];
    pending.extend((0..20).map(|n| service.submit("s", set("v", n))));
    let batch = service.batch("s").add_document("d", "/d").set_content("d", "bytes");
    pending.push(batch.submit());
    pending.push(service.submit("s", Command::RemoveDocument { document_id: "d".to_owned() }));
    for _ in 0..pending.len() {
        log.wait_for(1);
        log.sync();
    }
    let outcomes = pending.into_iter().map(PendingOutcome::wait).map(Result::unwrap);
    let events: Vec<_> = outcomes.flat_map(Outcome::into_events).collect();
    assert_eq!(events.len(), 24);
    assert_eq!(events, all(&log.log));
}

#[test]
fn whoever_waits_for_nothing_keeps_nobody_from_the_space() {
    let (service, log) = held();
    let unwaited = service.submit("s", named("S"));
    drop(service.submit("t", named("T")));
    log.wait_for(2);
    thread::scope(|scope| {
        // Waits for the turn of the first, which nobody waits for.
        let set = scope.spawn(|| service.set_variable("s", "v", 1).unwrap());
        log.sync();
        assert_eq!(set.join().unwrap().revision(), Revision::new(2));
    });
    assert_eq!(unwaited.try_wait().unwrap().unwrap().revision(), Revision::new(1));
    service.activate_space("t").unwrap();
}

#[test]
fn an_outcome_can_be_awaited() {
    struct Unpark(thread::Thread);

    impl task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let (service, log) = held();
    let mut outcome = pin!(service.submit("s", named("S")).into_future());
    let waker = task::Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = task::Context::from_waker(&waker);
    assert!(outcome.as_mut().poll(&mut context).is_pending());
    log.wait_for(1);
    log.sync();
    loop {
        if let task::Poll::Ready(outcome) = outcome.as_mut().poll(&mut context) {
            return assert_eq!(outcome.unwrap().revision(), Revision::new(1));
        }
        thread::park();
    }
}

#[test]
fn the_last_of_a_service_waits_for_what_it_was_given() {
    let log = Arc::new(MemoryLog::new());
    let service = SpaceService::over(log.clone());
    for n in 0..200 {
        drop(service.submit(&format!("s{}", n % 3), named("S")));
        drop(service.submit(&format!("s{}", n % 3), set("v", n)));
    }
    drop(service.clone());
    drop(service);
    assert_eq!(log.head(), Position::new(203));
    // Nobody else has it any more.
    assert!(Arc::try_unwrap(log).is_ok());
}

#[test]
fn a_lost_race_is_decided_anew_and_conditions_are_kept() {
    let log = Arc::new(MemoryLog::new());
    log.append(&AppendRequest::new(&[SpaceEvent::space_created("s", "S")])).unwrap();
    let appends = AtomicU64::new(0);
    let before_append = move |log: &MemoryLog, _: &AppendRequest<'_>| {
        let n = appends.fetch_add(1, Ordering::SeqCst);
        if n < 10 || n == 11 {
            log.append(&AppendRequest::new(&[SpaceEvent::variable_set("s", "other", n)])).unwrap();
        }
    };
    let service = SpaceService::over(Arc::new(Meddled { log: Arc::clone(&log), before_append }));
    let pending = service.submit("s", set("own", 1));
    let next = service.with_key("k").submit("s", set("own", 2));
    assert_eq!(pending.wait().unwrap().revision(), Revision::new(12));
    assert_eq!(next.wait().unwrap().revision(), Revision::new(14));
    let again = service.with_key("k").submit("s", set("own", 2)).wait().unwrap();
    assert!(again.is_repeated() && again.revision() == Revision::new(14));
    let stale = service.if_unchanged_since(Scope::Space, Position::new(13));
    let refused = stale.submit("s", set("own", 3)).wait().unwrap_err();
    assert!(matches!(refused.refusal(), Some(Refusal::ConditionFailed { .. })), "{refused}");
    let failed = service.only_if(AppendCondition::no_space("s")).batch("s").activate_space();
    assert!(failed.submit().wait().is_err());
    assert_eq!(log.head(), Position::new(14));
}

/// Lets go of a service when it is woken.
struct LetsGo {
    service: Mutex<Option<SpaceService>>,
    done: Sender<()>,
}

impl Wake for LetsGo {
    fn wake(self: Arc<Self>) {
        drop(self.service.lock().unwrap().take());
        self.done.send(()).unwrap();
    }
}

#[test]
fn an_answer_after_a_lost_race_may_let_go_of_the_last_of_a_service() {
    let log = Arc::new(MemoryLog::new());
    log.append(&AppendRequest::new(&[SpaceEvent::space_created("s", "S")])).unwrap();
    let (polled, is_polled) = mpsc::channel();
    let is_polled = Mutex::new(is_polled);
    let appends = AtomicU64::new(0);
    let before_append = move |log: &MemoryLog, _: &AppendRequest<'_>| match appends
        .fetch_add(1, Ordering::SeqCst)
    {
        0 => {
            let other = [SpaceEvent::variable_set("s", "other", 1)];
            log.append(&AppendRequest::new(&other)).unwrap();
        }
        _ => is_polled.lock().unwrap().recv().unwrap(),
    };
    let service = SpaceService::over(Arc::new(Meddled { log, before_append }));
    let mut pending = pin!(service.submit("s", set("own", 1)).into_future());
    let (done, is_done) = mpsc::channel();
    let waker = Arc::new(LetsGo { service: Mutex::new(Some(service)), done }).into();
    assert!(pending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    polled.send(()).unwrap();
    is_done.recv_timeout(LONG).expect("the service waits for the thread that lets go of it");
}

#[test]
fn threads_that_wait_and_commands_that_are_handed_over_lose_no_race() {
    const COMMANDS: u64 = 200;
    let log = Arc::new(MemoryLog::new());
    let appends = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&appends);
    let before_append = move |_: &MemoryLog, _: &AppendRequest<'_>| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let service = SpaceService::over(Arc::new(Meddled { log: Arc::clone(&log), before_append }));
    service.create_space("s", "S").unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let service = &service;
            scope.spawn(move || {
                let name = format!("v{thread}");
                let mut pending = Vec::new();
                for n in 0..COMMANDS {
                    match thread % 2 {
                        0 => pending.push(service.submit("s", set(&name, n))),
                        _ => drop(service.set_variable("s", &name, n).unwrap()),
                    }
                }
                pending.into_iter().for_each(|pending| drop(pending.wait().unwrap()));
            });
        }
    });
    assert_eq!(log.head().get(), 1 + 4 * COMMANDS);
    assert_eq!(appends.load(Ordering::SeqCst), log.head().get());
}

#[test]
fn a_log_that_panics_leaves_nobody_waiting() {
    let log = Arc::new(MemoryLog::new());
    let before_append = |_: &MemoryLog, append: &AppendRequest<'_>| {
        assert_ne!(append.events()[0].space_id, "bad", "panics as it should");
    };
    let service = SpaceService::over(Arc::new(Meddled { log, before_append }));
    let pending = service.submit("bad", named("B"));
    let good = service.submit("good", named("G"));
    let error = pending.wait().unwrap_err();
    assert!(matches!(error, CommandError::Append(AppendError::OutcomeUnknown(_))), "{error}");
    assert_eq!(good.wait().unwrap().revision(), Revision::new(1));
    assert!(service.submit("good", set("v", 1)).wait().is_ok());
}

/// A content store that notes when it syncs, or fails to.
struct Noted {
    store: MemoryContentStore,
    syncs: Arc<AtomicU64>,
    fails: bool,
}

impl ContentStore for Noted {
    fn put(&self, content: &mut dyn std::io::Read) -> Result<StoredContent, ContentError> {
        self.store.put(content)
    }

    fn put_hashed(&self, content: HashedContent<'_>) -> Result<StoredContent, ContentError> {
        self.store.put_hashed(content)
    }

    fn sync(&self) -> Result<(), ContentError> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        match self.fails {
            false => self.store.sync(),
            true => Err(ContentError::Missing { hash: ContentHash::of(b"") }),
        }
    }

    fn open(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        self.store.open(hash)
    }

    fn contains(&self, hash: &ContentHash) -> Result<bool, ContentError> {
        self.store.contains(hash)
    }
}

#[test]
fn content_is_synced_before_the_event_that_names_it() {
    for fails in [false, true] {
        let log = Arc::new(MemoryLog::new());
        log.record([
            SpaceEvent::space_created("s", "S"),
            SpaceEvent::document_added("s", "d", "/d"),
        ])
        .unwrap();
        let syncs = Arc::new(AtomicU64::new(0));
        let synced = Arc::clone(&syncs);
        let before_append = move |_: &MemoryLog, append: &AppendRequest<'_>| {
            let names = append.events()[0].event_type() == EventType::DocumentContentChanged;
            assert!(!names || synced.load(Ordering::SeqCst) == 1, "named before it was durable");
        };
        let store = Noted { store: MemoryContentStore::new(), syncs, fails };
        let service = SpaceService::over(Arc::new(Meddled { log: log.clone(), before_append }))
            .with_content_store(Arc::new(store));
        let content = service.batch("s").set_content("d", "bytes").submit();
        let next = service.submit("s", set("v", 1));
        match content.wait() {
            Ok(outcome) => assert!(!fails && outcome.last_position() == Some(Position::new(3))),
            Err(error) => assert!(fails && matches!(error, CommandError::Content(_)), "{error}"),
        }
        next.wait().unwrap();
        assert_eq!(log.head(), Position::new(if fails { 3 } else { 4 }));
    }
    // What cannot be put is the answer.
    let service = SpaceService::over(Arc::new(MemoryLog::new()));
    let error = service.batch("s").set_content("d", "bytes").submit().wait().unwrap_err();
    assert!(matches!(error, CommandError::NoContentStore), "{error}");
}
