//! Sled's copy that can be used no more in an open store: reading goes on without it.

use std::{
    io::ErrorKind,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use spacefold_event_core::{
    AppendError, AppendRequest, EventFilter, LogReader as _, LogWriter as _, Position, ReadError,
    ReadRequest, RecordedEvent, Revision, SpaceEvent, StorageErrorKind, Timestamp,
};

use crate::{EmbeddedLog, StoreOptions, VerifyOptions, log_copy::SledError, verify};

const SPACES: u64 = 5;

fn open(path: &Path) -> EmbeddedLog {
    let options = StoreOptions::default().journal_file_bytes(0).reserve_bytes(0);
    EmbeddedLog::open_with(path, &options).unwrap()
}

fn append(log: &EmbeddedLog, count: u64) {
    for _ in 0..count.div_ceil(500) {
        let first = log.head().get() + 1;
        let time = |n: u64| Timestamp::from_micros(i64::try_from(n).unwrap() * 1_000).unwrap();
        let times: Vec<Timestamp> = (first..first + 500).map(time).collect();
        let event = |n: u64| {
            SpaceEvent::variable_set(format!("space-{}", n % SPACES), "v", format!("{n}-{}", n * n))
        };
        let events: Vec<SpaceEvent> = (first..first + 500).map(event).collect();
        log.append(&AppendRequest::new(&events).recorded_at(&times)).unwrap();
    }
}

fn all(log: &EmbeddedLog, filter: &EventFilter) -> Result<Vec<RecordedEvent>, ReadError> {
    let mut events = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1)).matching(filter.clone())) {
        events.extend(page?.events().map(|event| event.unwrap().to_owned_event()));
    }
    Ok(events)
}

fn everything(log: &EmbeddedLog) -> Vec<RecordedEvent> {
    all(log, &EventFilter::all()).unwrap()
}

/// What asks sled first once it refuses.
const FIRST_READS: [&str; 5] = ["all", "filtered", "space", "time", "many at a time"];

/// Reads in one way, and compares with the events as they are.
fn read_one_way(log: &EmbeddedLog, way: &str, events: &[RecordedEvent]) {
    let of_space: Vec<&RecordedEvent> =
        events.iter().filter(|event| event.event.space_id == "space-3").collect();
    match way {
        "all" => assert!(everything(log) == events),
        "filtered" => {
            let found = all(log, &EventFilter::all().spaces(["space-3"])).unwrap();
            assert!(found.iter().eq(of_space));
        }
        "space" => {
            for n in [0, of_space.len() / 2, of_space.len() - 1] {
                let from = Revision::new(n as u64 + 1);
                let page = log.read_space("space-3", from, 1).unwrap();
                let found: Vec<RecordedEvent> =
                    page.events().map(|event| event.unwrap().to_owned_event()).collect();
                assert!(found.iter().eq([of_space[n]]), "revision {n}");
            }
        }
        "time" => {
            for event in events.iter().step_by(events.len() / 7) {
                assert_eq!(log.position_as_of(event.recorded_at).unwrap(), event.position);
            }
        }
        "many at a time" => thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(everything(log) == events));
            }
        }),
        other => panic!("{other}"),
    }
}

/// Everything that a store answers which goes on without sled's copy.
fn check_degraded(log: &EmbeddedLog, kind: StorageErrorKind, events: &[RecordedEvent]) {
    FIRST_READS.iter().for_each(|way| read_one_way(log, way, events));
    let last = events.last().unwrap().position;
    assert_eq!((log.head(), log.durable_head()), (last, last));
    let spaces = log.spaces().unwrap();
    assert_eq!(spaces.len() as u64, SPACES);
    let ids: Vec<String> = spaces.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(log.spaces_after(None, usize::MAX).unwrap(), ids);
    for (space, revision) in spaces {
        assert_eq!(log.revision(&space).unwrap(), revision);
    }
    let refusal = log.refusal().unwrap();
    assert_eq!(refusal.kind(), kind, "{refusal}");
    assert!(refusal.to_string().contains("refused by a test"), "{refusal}");
    let refused =
        log.append(&AppendRequest::new(&[SpaceEvent::space_archived("space-1")])).unwrap_err();
    assert!(
        matches!(&refused, AppendError::Refused { kind: found, .. } if *found == kind),
        "{refused:?}"
    );
}

/// A store with blocks in segments, blocks that sled alone has of both, and a tail.
fn store(path: &Path) -> EmbeddedLog {
    let log = open(path);
    append(&log, 30_000);
    log
}

/// Appends until sled alone has a block, of what is in segments and what is not, and closes.
fn until_a_block_is_in_sled_alone(path: &Path) -> Vec<RecordedEvent> {
    loop {
        let log = open(path);
        let sealed = log.info().sealed_through;
        let newest = log.shared().sled().unwrap().first_positions().unwrap().last().copied();
        if newest.is_some_and(|first| first > sealed) {
            let events = everything(&log);
            log.close().unwrap();
            return events;
        }
        append(&log, 1_000);
        log.close().unwrap();
    }
}

#[test]
fn reading_goes_on_without_a_copy_that_the_disk_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    store(&kept).close().unwrap();
    for (cause, kind) in [
        (ErrorKind::StorageFull, StorageErrorKind::NoRoom),
        (ErrorKind::ReadOnlyFilesystem, StorageErrorKind::ReadOnly),
        (ErrorKind::PermissionDenied, StorageErrorKind::NotPermitted),
        (ErrorKind::FileTooLarge, StorageErrorKind::FileTooLarge),
    ] {
        let events = until_a_block_is_in_sled_alone(&kept);
        for way in FIRST_READS {
            // Opened again, nothing is in memory.
            let log = open(&kept);
            assert!(log.info().sealed_bytes > 0 && log.info().blocks > 0);
            log.shared().sled().unwrap().refuse_now(cause);
            if way == "all" {
                // Whoever reads much reads segments, and needs no copy for those.
                read_one_way(&log, "space", &events);
            }
            read_one_way(&log, way, &events);
            check_degraded(&log, kind, &events);
            log.close().unwrap();
            assert!(matches!(
                log.read(&ReadRequest::from(Position::new(1))),
                Err(ReadError::Closed)
            ));
        }
        // The disk takes changes again.
        let log = open(&kept);
        assert!(log.refusal().is_none() && everything(&log) == events);
        append(&log, 500);
        log.close().unwrap();
        let report = verify(&kept, VerifyOptions::default()).unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
    }
}

#[test]
fn what_was_appended_in_the_session_is_read_without_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = store(&path);
    let events = everything(&log);
    assert_eq!(events.len(), 30_000);
    log.close().unwrap();
    // This time it goes on in the session that has written.
    let log = open(&path);
    append(&log, 3_000);
    let events = [events, everything(&log).split_off(30_000)].concat();
    log.shared().sled().unwrap().refuse_now(ErrorKind::StorageFull);
    // What is read below may be in memory or in segments by now, so the copy is missed first.
    let missed = log.shared().sled().unwrap().last_block().err();
    let Some(SledError::Storage(why)) = missed else { panic!("{missed:?}") };
    super::go_on_without_copy(log.shared(), &why).unwrap();
    check_degraded(&log, StorageErrorKind::NoRoom, &events);
    log.close().unwrap();
    let log = open(&path);
    assert!(everything(&log) == events);
}

#[test]
fn readers_under_way_read_on_when_the_copy_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    store(&path).close().unwrap();
    let log = open(&path);
    let events = everything(&log);
    let filter = EventFilter::all().spaces((0..SPACES).map(|n| format!("space-{n}")));
    let has_failed = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Once more after it is known to have failed.
                let mut is_last = false;
                while !is_last {
                    is_last = has_failed.load(Ordering::SeqCst);
                    assert!(all(&log, &filter).unwrap() == events);
                }
            });
        }
        assert!(all(&log, &filter).unwrap() == events);
        log.shared().sled().unwrap().refuse_now(ErrorKind::StorageFull);
        // What is in memory would be read from there.
        log.shared().cache.clear();
        has_failed.store(true, Ordering::SeqCst);
    });
    // A reader may have put back what it had read before: not all of them need the copy then.
    log.shared().cache.clear();
    assert!(all(&log, &filter).unwrap() == events);
    check_degraded(&log, StorageErrorKind::NoRoom, &events);
}

#[test]
fn a_copy_that_fails_otherwise_is_not_gone_on_without() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    store(&path).close().unwrap();
    let log = open(&path);
    let sled = log.shared().sled().unwrap();
    let last = *sled.first_positions().unwrap().last().unwrap();
    sled.refuse_now(ErrorKind::TimedOut);
    // The newest block is in no segment yet.
    let error = log.shared().event(last).unwrap_err();
    assert!(matches!(&error, ReadError::Storage(why) if why.kind() == StorageErrorKind::Other));
    assert!(log.refusal().is_none());
}
