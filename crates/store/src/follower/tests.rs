//! A follower beside the owner of a store.

mod mirrored;
mod taken;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use spacefold_event_core::{
    AppendRequest, EventFilter, EventQuery, LogWriter as _, SpaceEvent, StorageErrorKind,
};

use super::*;
use crate::{
    Durability, EmbeddedLog, StoreOptions,
    live::{LIVE, LiveHint},
};

const LONG: Duration = Duration::from_secs(30);

struct Followed {
    _scratch: tempfile::TempDir,
    path: PathBuf,
    log: EmbeddedLog,
}

impl Followed {
    fn new(options: &StoreOptions) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("store");
        let log = EmbeddedLog::open_with(&path, options).unwrap();
        Self { _scratch: scratch, path, log }
    }

    fn follow(&self) -> Follower {
        Follower::open(&self.path, &FollowerOptions::default()).unwrap()
    }
}

fn events(count: usize, bytes: usize) -> Vec<SpaceEvent> {
    let event = |place: usize| {
        let space = format!("space-{}", place % 7);
        let text = "x".repeat(bytes);
        SpaceEvent::variable_set(space, "v", text).with_tags([format!("tag-{}", place % 3)])
    };
    (0..count).map(event).collect()
}

fn append(log: &EmbeddedLog, count: usize, bytes: usize) {
    log.append(&AppendRequest::new(&events(count, bytes))).unwrap();
}

fn read(log: &impl LogReader, query: impl Into<EventQuery>) -> Vec<EventId> {
    let mut ids = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1)).matching(query)) {
        ids.extend(page.unwrap().envelopes().map(|event| event.event_id));
    }
    ids
}

/// Everything that two readers answer is the same.
fn assert_same(follower: &Follower, log: &EmbeddedLog) {
    assert_eq!(follower.refresh().unwrap(), log.durable_head());
    assert_eq!(follower.head(), log.durable_head());
    let all = read(log, EventFilter::all());
    assert_eq!(read(follower, EventFilter::all()), all);
    assert_eq!(follower.spaces().unwrap(), log.spaces().unwrap());
    let [own, theirs] =
        [follower as &dyn LogReader, log].map(|log| log.spaces_after(Some("space-2"), 3).unwrap());
    assert_eq!(own, theirs);
    for space in ["space-0", "space-6", "none"] {
        let filter = || EventFilter::all().spaces([space]);
        assert_eq!(read(follower, filter()), read(log, filter()), "{space}");
        assert_eq!(follower.revision(space).unwrap(), log.revision(space).unwrap());
        assert_eq!(follower.newest_revision(space).unwrap(), log.revision(space).unwrap());
        let from = Revision::new(3);
        let [own, theirs] = [follower as &dyn LogReader, log].map(|log| {
            let page = log.read_space(space, from, 10).unwrap();
            page.envelopes().map(|event| event.event_id).collect::<Vec<_>>()
        });
        assert_eq!(own, theirs, "{space}");
    }
    let filter = || EventFilter::all().tags(["tag-1"]);
    assert_eq!(read(follower, filter()), read(log, filter()));
    assert_eq!(follower.find_events(&all).unwrap(), log.find_events(&all).unwrap());
    assert_eq!(follower.find_event(EventId::new()).unwrap(), None);
    let condition = AppendCondition::no_space("space-0");
    assert_eq!(follower.failed_parts(&condition).unwrap(), log.failed_parts(&condition).unwrap());
    assert_eq!(follower.identity(), log.identity());
    assert_eq!(follower.origin(), log.origin());
    let now = Timestamp::now();
    assert_eq!(follower.position_as_of(now).unwrap(), log.position_as_of(now).unwrap());
}

#[test]
fn a_follower_shows_what_is_durable_beside_its_owner_and_after_it() {
    let followed = Followed::new(&StoreOptions::default());
    let follower = followed.follow();
    assert_eq!(follower.head(), Position::START);
    for (count, bytes) in [(1, 10), (3, 300), (700, 20), (4_096, 100), (1, 500_000)] {
        append(&followed.log, count, bytes);
        assert_same(&follower, &followed.log);
        assert_same(&followed.follow(), &followed.log);
    }
    assert_eq!(follower.owner().unwrap().unwrap().pid, Some(std::process::id()));
    let head = follower.head();
    followed.log.close().unwrap();
    assert_eq!(follower.owner().unwrap(), None);
    assert_eq!(follower.refresh().unwrap(), head);
    let log = EmbeddedLog::open(&followed.path).unwrap();
    append(&log, 5, 5);
    assert_same(&follower, &log);
}

#[test]
fn journal_files_are_used_again_and_sealed_under_a_follower() {
    let options = StoreOptions::default().journal_file_bytes(128 << 10).reserve_bytes(0);
    let followed = Followed::new(&options);
    let (often, seldom) = (followed.follow(), followed.follow());
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..400 {
        append(&followed.log, rng.usize(1..400), rng.usize(0..200));
        assert_eq!(often.refresh().unwrap(), followed.log.durable_head());
        if round % 100 == 99 {
            assert_same(&seldom, &followed.log);
            assert_same(&often, &followed.log);
        }
    }
    assert!(followed.log.info().sealed_bytes > 0);
    followed.log.close().unwrap();
    assert_eq!(read(&often, EventFilter::all()), read(&seldom, EventFilter::all()));
}

#[test]
fn nothing_is_written_and_no_permission_to_write_is_needed() {
    let followed = Followed::new(&StoreOptions::default());
    append(&followed.log, 2_000, 100);
    followed.log.close().unwrap();
    let listed = || {
        let mut found = Vec::new();
        let mut folders = vec![followed.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let about = entry.metadata().unwrap();
                if about.is_dir() {
                    folders.push(entry.path());
                }
                found.push((entry.path(), about.len(), about.modified().unwrap()));
            }
        }
        found.sort();
        found
    };
    let before = listed();
    let mode = |mode| {
        for (path, ..) in &before {
            let is_folder = fs::metadata(path).unwrap().is_dir();
            let mode = if is_folder { mode | 0o100 } else { mode };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    mode(0o400);
    let follower = followed.follow();
    assert_eq!(follower.head(), Position::new(2_000));
    assert_eq!(read(&follower, EventFilter::all()).len(), 2_000);
    let first = read(&follower, EventFilter::all())[0];
    assert_eq!(follower.find_event(first).unwrap(), Some(Position::new(1)));
    assert_eq!(listed(), before);
    mode(0o600);
}

#[test]
fn a_wait_is_over_as_soon_as_there_is_something_new_and_when_it_is_stopped() {
    let followed = Followed::new(&StoreOptions::default());
    let follower = followed.follow();
    thread::scope(|scope| {
        for _ in 0..4 {
            let follower = follower.clone();
            scope.spawn(move || {
                for position in 1..=100 {
                    let position = Position::new(position);
                    assert!(follower.wait_durable(position, LONG).unwrap() >= position);
                }
                let over = follower.wait_durable(Position::new(1_000), Duration::from_secs(3_600));
                assert!(matches!(over, Err(ReadError::Closed)), "{over:?}");
            });
        }
        for _ in 0..100 {
            append(&followed.log, 1, 10);
        }
        follower.wait_durable(Position::new(100), LONG).unwrap();
        follower.stop_waiting();
    });
    let begun = Instant::now();
    let head = followed.follow().wait_durable(Position::new(101), Duration::from_millis(30));
    assert_eq!(head.unwrap(), Position::new(100));
    assert!(begun.elapsed() >= Duration::from_millis(30));
    follower.close();
    assert!(matches!(follower.refresh(), Err(ReadError::Closed)));
}

#[test]
fn what_is_not_durable_is_not_shown() {
    let within = Durability::Interval(Duration::from_secs(3_600));
    let followed = Followed::new(&StoreOptions::default().durability(within));
    let follower = followed.follow();
    append(&followed.log, 3, 10);
    assert_eq!(follower.refresh().unwrap(), Position::START);
    assert_eq!(followed.follow().head(), Position::START);
    followed.log.close().unwrap();
    assert_eq!(follower.refresh().unwrap(), Position::new(3));
}

#[test]
fn a_store_that_is_gone_or_replaced_is_named_and_what_was_shown_is_read() {
    let followed = Followed::new(&StoreOptions::default());
    append(&followed.log, 3, 10);
    let follower = followed.follow();
    followed.log.close().unwrap();
    fs::rename(&followed.path, followed.path.with_extension("old")).unwrap();
    let other = EmbeddedLog::open(&followed.path).unwrap();
    append(&other, 1, 1);
    let refused = loop {
        // The hint is believed for a while.
        match follower.wait_durable(Position::new(4), Duration::from_millis(100)) {
            Ok(head) => assert_eq!(head, Position::new(3)),
            Err(error) => break error,
        }
    };
    let kind = StorageErrorKind::behind(&refused);
    assert_eq!(kind, Some(StorageErrorKind::FolderGone), "{refused}");
    assert_eq!(read(&follower, EventFilter::all()).len(), 3);
}

#[test]
fn the_owner_is_who_has_the_lock_whoever_gave_the_last_hint() {
    let followed = Followed::new(&StoreOptions::default());
    append(&followed.log, 3, 10);
    let (store_id, durable_head) = (followed.log.store_id(), followed.log.durable_head());
    followed.log.close().unwrap();
    let follower = followed.follow();
    let incarnation = follower.inner.shared.lock_head_file().head().incarnation;
    // Of a process that was killed.
    let process = std::process::id() ^ 1;
    let left = LiveHint { store_id, process, incarnation, durable_head };
    fs::write(followed.path.join(LIVE), left.encode()).unwrap();
    // As `verify` has it, which gives none.
    let folder = StoreFolder::open(&Environment::default(), &followed.path).unwrap().unwrap();
    let lock = folder.lock().unwrap();
    assert_eq!(follower.owner().unwrap().unwrap().pid, Some(std::process::id()));
    drop(lock);
    assert_eq!(follower.owner().unwrap(), None);
}

#[test]
fn no_store_is_no_store() {
    let scratch = tempfile::tempdir().unwrap();
    let options = FollowerOptions::default();
    let refused = Follower::open(scratch.path(), &options).unwrap_err();
    assert!(matches!(refused, OpenError::NoStore { .. }), "{refused}");
    fs::write(scratch.path().join("file"), "").unwrap();
    let refused = Follower::open(scratch.path(), &options).unwrap_err();
    assert!(matches!(refused, OpenError::NotAStore { .. }), "{refused}");
}
