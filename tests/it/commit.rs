//! The commit path from outside: when what is appended becomes durable, how it is waited for, and
//! what the files of a store grow to.

use std::{
    fs,
    path::Path,
    sync::Arc,
    task::{Context, Poll, Wake},
    thread,
    time::Duration,
};

use conformance::{append, append_on, whole_log};
use spacefold::{
    AppendCondition, AppendError, Durability, Position, Revision, SpaceEvent,
    event::EventFilter,
    log::{
        AppendRequest, Discontinuity, EmbeddedLog, LogReader, LogWriter, PendingAppend,
        ReadRequest, StorageErrorKind, StoreOptions,
    },
};

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(86_400);

fn created(space: &str) -> [SpaceEvent; 1] {
    [SpaceEvent::space_created(space, space)]
}

fn is_empty(log: &EmbeddedLog) -> bool {
    log.read(&ReadRequest::from(Position::new(1))).unwrap().is_empty()
}

#[test]
fn what_is_ingested_again_is_durable_when_that_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (source, copy) = (folder.path().join("source"), folder.path().join("copy"));
    let source = EmbeddedLog::open(&source).unwrap();
    for n in 0..10 {
        append(&source, &[SpaceEvent::variable_set("handbook", "n", n)]);
    }
    let records = whole_log(&source);
    let options = StoreOptions::default().durability(Durability::Interval(NEVER));
    let log = EmbeddedLog::open_with(&copy, &options).unwrap();
    assert!(!log.ingest(&records[..5]).unwrap().receipt().unwrap().is_durable());
    assert_eq!((log.head(), log.durable_head()), (Position::new(5), Position::START));
    let mut other = records[1..4].to_vec();
    other[1].event.source = Some("another".to_owned());
    let refused = log.ingest(&other).unwrap_err();
    let AppendError::DoesNotFollow { position, why: Discontinuity::Stored } = refused else {
        panic!("{refused}")
    };
    assert_eq!((position, log.durable_head()), (Position::new(3), Position::START));
    // Some of them are there, none of them durable.
    let ingested = log.ingest(&records).unwrap();
    assert_eq!((ingested.skipped(), ingested.taken()), (5, 5));
    assert!(log.durable_head() >= Position::new(5));
    assert_eq!(log.ingest(&records).unwrap().skipped(), 10);
    assert_eq!(whole_log(&log), records);
    log.close().unwrap();
}

#[test]
fn what_is_not_durable_is_counted_but_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let options = StoreOptions::default().durability(Durability::Interval(NEVER));
    let log = EmbeddedLog::open_with(&store, &options).unwrap();
    let [event] = created("handbook");
    let receipt = append(&log, std::slice::from_ref(&event));
    assert!(!receipt.is_durable());
    assert_eq!((log.head(), log.durable_head()), (Position::new(1), Position::START));
    assert!(is_empty(&log));
    assert_eq!(log.revision("handbook").unwrap(), Revision::NONE);
    assert_eq!(log.newest_revision("handbook").unwrap(), Revision::new(1));
    for (after, expected) in [(Position::START, true), (Position::new(1), false)] {
        let none_of = |space: &str| {
            let filter = EventFilter::all().spaces([space]);
            log.meets(&AppendCondition::no_event_matching(filter, after)).unwrap()
        };
        assert_eq!(none_of("handbook"), !expected);
        assert!(none_of("other"));
    }
    assert!(!log.meets(&AppendCondition::no_space("handbook")).unwrap());
    assert_eq!(log.find_event(event.event_id).unwrap(), Some(Position::new(1)));
    assert_eq!(
        log.wait_durable(Position::new(1), Duration::ZERO).unwrap(),
        Position::START,
        "the time is over before it is durable"
    );
    // Conditions are checked against what is written.
    let refused = append_on(&log, &created("handbook"), AppendCondition::no_space("handbook"));
    assert!(matches!(refused, Err(AppendError::ConditionFailed { .. })), "{refused:?}");
    let next = [SpaceEvent::variable_set("handbook", "title", "Handbook")];
    let condition = AppendCondition::exact("handbook", Revision::new(1));
    assert_eq!(append_on(&log, &next, condition).unwrap().revision(), Revision::new(2));
    // A retry is answered once what it repeats is durable.
    let again = append(&log, &next);
    assert!(again.is_durable());
    assert_eq!(again.last_position(), Position::new(2));
    assert_eq!((log.head(), log.durable_head()), (Position::new(2), Position::new(2)));
    assert_eq!(whole_log(&log).len(), 2);
    // Closing makes the rest durable.
    append(&log, &created("guide"));
    log.close().unwrap();
    let log = EmbeddedLog::open(&store).unwrap();
    assert_eq!(whole_log(&log).len(), 3);
}

#[test]
fn appends_that_fill_the_journal_before_anything_is_synced_go_on() {
    const APPENDS: u64 = 6_000;
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::default().durability(Durability::Interval(NEVER));
    // Eight of these hold two thousand appends.
    let options = options.journal_file_bytes(128 << 10);
    let log = EmbeddedLog::open_with(folder.path().join("store"), &options).unwrap();
    for n in 0..APPENDS {
        append(&log, &[SpaceEvent::variable_set("handbook", "n", n)]);
    }
    assert_eq!(log.head(), Position::new(APPENDS));
    assert!(log.durable_head() > Position::START);
    log.close().unwrap();
}

#[test]
fn the_background_makes_durable_what_was_acknowledged_before() {
    for durability in [Durability::Interval(Duration::from_millis(1)), Durability::Os] {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::default().durability(durability);
        let log = EmbeddedLog::open_with(folder.path().join("store"), &options).unwrap();
        for n in 1..=3_u64 {
            let position = append(&log, &[SpaceEvent::variable_set("a", "n", n)]).last_position();
            assert_eq!(log.wait_durable(position, NEVER).unwrap(), position, "{durability:?}");
            assert_eq!(log.revision("a").unwrap(), Revision::new(n));
        }
    }
}

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future without any runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn an_append_is_awaited_under_any_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path().join("store")).unwrap();
    let positions = block_on(async {
        let first = log.submit(&AppendRequest::new(&created("a"))).unwrap();
        let second = log.submit(&AppendRequest::new(&created("b"))).unwrap();
        [first.await.unwrap(), second.await.unwrap()].map(|receipt| receipt.last_position().get())
    });
    assert_eq!(positions, [1, 2]);
    // A handle that is dropped takes nothing back.
    drop(log.submit(&AppendRequest::new(&created("c"))).unwrap());
    let condition = AppendCondition::no_space("a");
    let refused = block_on(async {
        log.submit(&AppendRequest::new(&created("a")).on(condition)).unwrap().await
    });
    assert!(matches!(refused, Err(AppendError::ConditionFailed { .. })), "{refused:?}");
    assert_eq!(log.head(), Position::new(3));
    log.close().unwrap();
    let closed = log.submit(&AppendRequest::new(&created("d"))).and_then(PendingAppend::wait);
    assert!(matches!(closed, Err(AppendError::Closed)), "{closed:?}");
}

#[test]
fn what_a_thread_handed_over_stays_before_what_it_appends_then() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path().join("store")).unwrap();
    for round in 0..200 {
        let handed_over: Vec<PendingAppend> = (0..3)
            .map(|n| log.submit(&AppendRequest::new(&created(&format!("{round}-{n}")))).unwrap())
            .collect();
        // Nobody has the writer by now, or somebody does: it goes through either way.
        let own = log.append(&AppendRequest::new(&created(&format!("{round}-own")))).unwrap();
        let positions =
            handed_over.into_iter().map(|pending| pending.wait().unwrap().last_position());
        let positions: Vec<u64> = positions.map(Position::get).collect();
        let first = round * 4 + 1;
        assert_eq!(positions, [first, first + 1, first + 2], "round {round}");
        assert_eq!(own.last_position().get(), first + 3, "round {round}");
    }
}

#[test]
fn one_append_of_a_group_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path().join("store")).unwrap();
    // Handed over together: each is checked against those before it.
    let pending: Vec<PendingAppend> = (0..60)
        .map(|n| {
            let space = format!("space-{}", n % 20);
            let condition = AppendCondition::no_space(&space);
            log.submit(&AppendRequest::new(&created(&space)).on(condition)).unwrap()
        })
        .collect();
    let outcomes: Vec<_> = pending.into_iter().map(PendingAppend::wait).collect();
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(receipt) => assert_eq!(receipt.last_position(), Position::new(n as u64 + 1)),
            Err(error) => assert!(matches!(error, AppendError::ConditionFailed { .. }), "{error}"),
        }
        assert_eq!(outcome.is_ok(), n < 20, "{n}");
    }
    assert_eq!(whole_log(&log).len(), 20);
}

fn bytes_below(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn variable(n: u64) -> [SpaceEvent; 1] {
    let space = format!("space-{}", n % 100);
    [SpaceEvent::variable_set(&space, format!("variable-{}", n % 7), n).with_source("test")]
}

/// Appends events one by one, many under way at a time.
fn append_singly(log: &EmbeddedLog, events: std::ops::Range<u64>) {
    let mut pending = std::collections::VecDeque::new();
    for n in events {
        pending.push_back(log.submit(&AppendRequest::new(&variable(n))).unwrap());
        if pending.len() > 500 {
            pending.pop_front().unwrap().wait().unwrap();
        }
    }
    pending.into_iter().for_each(|append| assert!(append.wait().unwrap().is_durable()));
}

#[test]
fn small_commits_leave_no_small_blocks() {
    const EVENTS: u64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let log = EmbeddedLog::open(&store).unwrap();
    append_singly(&log, 0..EVENTS);
    log.close().unwrap();
    let log = EmbeddedLog::open(&store).unwrap();
    let info = log.info();
    assert_eq!(info.head, Position::new(EVENTS));
    assert!((EVENTS / 512 - 1..=EVENTS / 400).contains(&info.blocks), "{info:?}");
    // An event alone in its append takes some 300 bytes of the journal.
    assert!(info.sealed_bytes < 60 * EVENTS, "{info:?}");
    let sealed = fs::read_dir(store.join("sealed")).unwrap().count();
    assert!((1..=8).contains(&sealed), "{sealed} segments");
    log.close().unwrap();
}

#[test]
fn the_journal_is_used_again_and_stays_bounded() {
    const EVENTS: u64 = 30_000;
    const FILE_BYTES: u64 = 128 << 10;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let options = StoreOptions::default().journal_file_bytes(FILE_BYTES);
    let log = EmbeddedLog::open_with(&store, &options).unwrap();
    for round in 0..3 {
        append_singly(&log, round * EVENTS / 3..(round + 1) * EVENTS / 3);
        let files = fs::read_dir(store.join("journal")).unwrap().count();
        assert!(files <= 9, "{files} journal files");
        // Groups that are larger than a file make it larger.
        assert!(bytes_below(&store.join("journal")) <= 9 * 4 * FILE_BYTES);
    }
    let before = whole_log(&log);
    assert_eq!(before.len() as u64, EVENTS);
    // As a kill leaves it: what stands in the files from earlier uses does not come back.
    let killed = folder.path().join("killed");
    copy_folder(&store, &killed);
    log.close().unwrap();
    for path in [&killed, &store] {
        let log = EmbeddedLog::open_with(path, &options).unwrap();
        assert_eq!(whole_log(&log), before);
        assert_eq!(log.info().healed, 0);
        append_singly(&log, 0..2_000);
        log.close().unwrap();
        let log = EmbeddedLog::open_with(path, &options).unwrap();
        let after = whole_log(&log);
        assert_eq!(after[..before.len()], before);
        assert_eq!(after.len(), before.len() + 2_000);
    }
}

/// Copies a store that is open. What is in the way of events goes before what they move to: HEAD,
/// then the journal, then the segments.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if fs::copy(entry.path(), target).is_err() {
            // It has been renamed since.
            return copy_folder(from, to);
        }
    }
}

#[test]
fn a_sealer_that_fails_refuses_appends_and_wakes_whoever_waits() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let options = StoreOptions::default().journal_file_bytes(128 << 10);
    let log = EmbeddedLog::open_with(&store, &options).unwrap();
    append_singly(&log, 0..10);
    // The first segment cannot be written.
    fs::remove_dir(store.join("sealed")).unwrap();
    let waiting = thread::spawn({
        let log = log.clone();
        move || log.wait_durable(Position::new(1_000_000), NEVER)
    });
    let refused =
        (10..1_000_000_u64).find_map(|n| log.append(&AppendRequest::new(&variable(n))).err());
    assert!(matches!(refused, Some(AppendError::Refused { .. })), "{refused:?}");
    assert!(waiting.join().unwrap().is_err());
    let durable = log.durable_head();
    let events = whole_log(&log);
    assert_eq!(events.len() as u64, durable.get());
    assert_eq!(log.close().unwrap_err().kind(), StorageErrorKind::FolderGone);
    drop(log);
    assert!(EmbeddedLog::open(&store).is_err());
    fs::create_dir(store.join("sealed")).unwrap();
    let log = EmbeddedLog::open(&store).unwrap();
    assert_eq!(whole_log(&log)[..events.len()], events);
    append(&log, &created("resumed"));
}
