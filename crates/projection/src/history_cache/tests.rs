//! The past is what the log says, whatever is kept of it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use proptest::prelude::*;
use spacefold_disk::{
    Folder, MemoryDisk, SimDisk,
    sim::{Fault, Kept as KeptByDisk},
};
use spacefold_event_core::{
    AppendRequest, EventLog, LogWriter, MemoryLog, Page, ReadError, ReadRequest, SpaceEvent,
    StorageError, testing,
};
use spacefold_state::testing::{events, fold, log_of, record, recorded};

use super::{kept::RUNS, *};
use crate::testing::{disk_of, files};

const SPACES: [&str; 3] = ["s", "s2", "t"];

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn with(
    log: &Arc<MemoryLog>,
    folder: Arc<dyn Folder>,
    options: HistoryCacheOptions,
) -> HistoryCache {
    HistoryCache::new(log.clone(), DerivedState::in_folder(folder), options)
}

fn over(log: &Arc<MemoryLog>, folder: Arc<dyn Folder>) -> HistoryCache {
    with(log, folder, HistoryCacheOptions::default())
}

/// What is kept of a log.
fn gathered(log: &Arc<MemoryLog>) -> Files {
    let folder = MemoryDisk::new().root();
    over(log, Arc::clone(&folder)).gather_all().unwrap();
    files(&folder)
}

#[track_caller]
fn agrees(cache: &HistoryCache, log: &MemoryLog, positions: impl Iterator<Item = u64>) {
    for position in positions {
        for space_id in SPACES {
            let state = cache.state_at(space_id, Position::new(position)).unwrap();
            let expected = fold(log, space_id, position);
            match state {
                Some(state) => assert_eq!(*state, expected, "{space_id} at {position}"),
                None => assert_eq!(expected.revision(), Revision::NONE, "{space_id} at {position}"),
            }
        }
    }
}

/// A log in which one event in twenty is of `s`, with parts that change again and again.
fn sparse(events: usize) -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::new());
    let event = |n: usize| match n % 20 {
        7 if n.is_multiple_of(3) => SpaceEvent::variable_set("s", format!("v{}", n % 50), n as u64),
        7 => SpaceEvent::document_added("s", format!("d{}", n % 200), format!("/{n}")),
        m => SpaceEvent::variable_set("t", format!("v{m}"), n as u64),
    };
    let all: Vec<SpaceEvent> = (0..events).map(event).collect();
    for part in all.chunks(4_096) {
        log.append(&AppendRequest::new(part)).unwrap();
    }
    log
}

/// The first events of a log, in a log of their own.
fn beginning(log: &MemoryLog, events: usize) -> Arc<MemoryLog> {
    let beginning = Arc::new(MemoryLog::new());
    for part in recorded(log)[..events].chunks(4_096) {
        beginning.ingest(part).unwrap();
    }
    beginning
}

/// How many rows of a kind are kept of a space, in a folder that is not damaged.
fn kept(folder: &Arc<dyn Folder>, kind: u8, space_id: &str) -> usize {
    let Some(opened) = DerivedState::in_folder(Arc::clone(folder)).open_runs(RUNS).unwrap() else {
        return 0;
    };
    let group = [&[kind, 0, u8::try_from(space_id.len()).unwrap()], space_id.as_bytes()].concat();
    let mut rows = opened.set.view().scan(&group).unwrap();
    let mut count = 0;
    while rows.next_row().unwrap().is_some_and(|(key, _)| key.starts_with(&group)) {
        count += 1;
    }
    count
}

fn is_damaged(cache: &HistoryCache) -> bool {
    matches!(**cache.known.load(), CacheState::Damaged)
}

#[test]
fn sparse_spaces_have_stretches_and_states_and_dense_ones_only_states() {
    let log = sparse(45_000);
    let folder = MemoryDisk::new().root();
    let cache = over(&log, Arc::clone(&folder));
    assert!(cache.gather().unwrap(), "a stride of it is done, and more is left");
    assert!(!cache.gather().unwrap(), "what is left is less than a stride");
    cache.gather_all().unwrap();
    assert_eq!((kept(&folder, b'e', "s"), kept(&folder, b'e', "t")), (3, 0));
    let states = (kept(&folder, b's', "s"), kept(&folder, b's', "t"));
    assert!(states.0 >= 1 && states.1 >= 2, "{states:?}");
    assert_eq!((kept(&folder, b'v', "s"), kept(&folder, b'v', "t")), states);
    // In memory, from disk, and through stretches alone.
    let positions = || (0..45_000).step_by(3_571).chain([1, 16_384, 16_385, 44_999, 45_000]);
    agrees(&cache, &log, positions());
    agrees(&over(&log, Arc::clone(&folder)), &log, positions());
    let mut opened = DerivedState::in_folder(Arc::clone(&folder)).open_runs(RUNS).unwrap().unwrap();
    let mut stateless: Vec<Vec<u8>> = Vec::new();
    let view = opened.set.view().clone();
    let mut rows = view.scan(b"f").unwrap();
    while let Some((key, _)) = rows.next_row().unwrap() {
        stateless.push(key.to_vec());
    }
    let removed = stateless.iter().map(|key| (key.as_slice(), None));
    let written = opened.set.write(removed, &opened.owner).unwrap();
    opened.set.adopt(written);
    assert_eq!(kept(&folder, b's', "t"), 0);
    agrees(&over(&log, folder), &log, positions());
}

#[test]
fn what_is_kept_is_read_in_place_of_the_log() {
    let log = sparse(40_000);
    let folder = MemoryDisk::new().root();
    over(&log, Arc::clone(&folder)).gather_all().unwrap();
    let cache = over(&log, folder);
    let found = cache.read(|kept| kept.stretch_after("s", Revision::new(900))).unwrap().unwrap();
    assert!(found.first <= Revision::new(901) && found.last_position > Position::new(18_000));
    assert!(cache.read(|kept| kept.stretch_after("s", Revision::new(2_000))).unwrap().is_none());
    assert!(cache.read(|kept| kept.stretch_after("u", Revision::NONE)).unwrap().is_none());
    let newest = cache.read(|kept| kept.state_before("t", Position::new(u64::MAX)));
    let newest = newest.unwrap().unwrap();
    let before = newest.position.previous();
    let older = cache.read(|kept| kept.state_before("t", before)).unwrap().unwrap();
    assert!(older.position < newest.position && older.revision < newest.revision);
    let state = cache.read(|kept| kept.state("t", newest).map(Some)).unwrap().unwrap();
    assert_eq!(state, fold(&log, "t", newest.position.get()));
}

#[test]
fn whichever_bit_is_damaged_answers_are_right_and_all_is_kept_anew() {
    let two = |n: u64| if n.is_multiple_of(2) { "s" } else { "s2" };
    let log = log_of((0..24).map(|n| SpaceEvent::variable_set(two(n), format!("v{}", n % 3), n)));
    let whole = gathered(&log);
    assert_eq!(whole.len(), 2, "a manifest and a run");
    for (name, bytes) in &whole {
        for bit in 0..bytes.len() * 8 {
            let mut harmed = whole.clone();
            harmed.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let folder = disk_of(&harmed).root();
            let cache = over(&log, Arc::clone(&folder));
            agrees(&cache, &log, [13, 24].into_iter());
            cache.gather_all().unwrap();
            assert_eq!(kept(&folder, b'e', "s") + kept(&folder, b'e', "s2"), 2, "{name:?} {bit}");
            agrees(&cache, &log, [5].into_iter());
            agrees(&over(&log, folder), &log, [23].into_iter());
        }
    }
}

#[test]
fn what_is_damaged_cut_lost_or_of_an_earlier_time_is_done_without() {
    let log = sparse(40_000);
    let folder = MemoryDisk::new().root();
    let cache = over(&log, Arc::clone(&folder));
    assert!(cache.gather().unwrap());
    cache.finish_gathering().unwrap();
    let earlier = files(&folder);
    cache.gather_all().unwrap();
    let whole = files(&folder);
    assert!(whole.len() > earlier.len() && earlier.len() >= 2);
    let mut rng = fastrand::Rng::with_seed(4);
    let mut harmed = vec![earlier.clone()];
    for (name, bytes) in &whole {
        let with = |other: Option<Vec<u8>>| {
            let mut harmed = whole.clone();
            harmed.remove(name);
            harmed.extend(other.map(|bytes| (name.clone(), bytes)));
            harmed
        };
        harmed.push(with(None));
        harmed.push(with(earlier.get(name).cloned()));
        harmed.extend(
            [0, 1, bytes.len() / 2, bytes.len() - 1].map(|n| with(Some(bytes[..n].into()))),
        );
        // What another file holds.
        harmed.extend(
            whole.values().filter(|other| *other != bytes).map(|other| with(Some(other.clone()))),
        );
        harmed.extend((0..12).map(|_| {
            let mut bytes = bytes.clone();
            bytes[rng.usize(..whole[name].len())] ^= 1 << rng.u8(..8);
            with(Some(bytes))
        }));
    }
    for harmed in harmed {
        let folder = disk_of(&harmed).root();
        let cache = over(&log, Arc::clone(&folder));
        agrees(&cache, &log, [13_000, 40_000].into_iter());
        let was_damaged = is_damaged(&cache);
        cache.gather_all().unwrap();
        agrees(&cache, &log, [27_777].into_iter());
        assert!(!was_damaged || kept(&folder, b'e', "s") == 3, "it is not made anew");
    }
}

#[test]
fn the_history_of_another_log_is_not_taken() {
    let (log, other) = (sparse(40_000), sparse(40_000));
    let folder = disk_of(&gathered(&other)).root();
    agrees(&over(&log, Arc::clone(&folder)), &log, [20_000, 39_000].into_iter());
    assert_eq!(files(&folder).len(), 0, "it is removed");
    let cache = over(&log, Arc::clone(&folder));
    cache.gather_all().unwrap();
    agrees(&cache, &log, [20_000, 39_000].into_iter());
    // What went on from the same beginning is not this log's either, however far it has come.
    let apart = beginning(&log, 30_000);
    record(&apart, (0..20).map(|n| SpaceEvent::variable_set("s", "apart", n)));
    let cache = over(&apart, Arc::clone(&folder));
    agrees(&cache, &apart, [20_000, 30_020].into_iter());
    cache.gather_all().unwrap();
    agrees(&over(&apart, Arc::clone(&folder)), &apart, [29_999, 30_020].into_iter());
    // What comes from the common beginning is as good as of this log.
    let beginning = beginning(&log, 25_000);
    let cache = over(&log, disk_of(&gathered(&beginning)).root());
    agrees(&cache, &log, [20_000, 39_000].into_iter());
    assert!(
        !is_damaged(&cache) && cache.gatherer.lock().as_ref().unwrap().position().get() == 25_000
    );
}

#[test]
fn nothing_is_kept_when_that_is_turned_off_or_after_it_was_removed() {
    let log = sparse(40_000);
    let folder = MemoryDisk::new().root();
    let options = HistoryCacheOptions {
        on_disk: HistoryCacheOnDisk::NotKept,
        ..HistoryCacheOptions::default()
    };
    let cache = with(&log, Arc::clone(&folder), options);
    cache.gather_all().unwrap();
    assert!(!cache.gather().unwrap());
    agrees(&cache, &log, [30_000].into_iter());
    cache.finish_gathering().unwrap();
    assert_eq!(files(&folder).len(), 0);
    let cache = over(&log, Arc::clone(&folder));
    cache.gather_all().unwrap();
    assert!(!files(&folder).is_empty());
    cache.remove().unwrap();
    assert_eq!(files(&folder).len(), 0);
    agrees(&cache, &log, [30_000].into_iter());
    cache.gather_all().unwrap();
    assert_eq!(kept(&folder, b'e', "s"), 3);
}

#[test]
fn events_between_stretches_are_read_in_the_log() {
    let set = |count: u64| (0..count).map(|n| SpaceEvent::variable_set("s", format!("v{n}"), n));
    let log = log_of(set(20));
    let folder = MemoryDisk::new().root();
    // Sessions that are too short for a stretch, and long ones between them.
    for count in [5, 30, 7, 1, 12, 3] {
        over(&log, Arc::clone(&folder)).gather_all().unwrap();
        record(&log, set(count));
    }
    assert_eq!(kept(&folder, b'e', "s"), 3);
    for position in 0..=78 {
        agrees(&over(&log, Arc::clone(&folder)), &log, [position].into_iter());
    }
}

/// A log that fails to read one page, once.
struct FailingOnce {
    inner: Arc<MemoryLog>,
    fails_at: Position,
    has_failed: AtomicBool,
}

impl testing::LogWrapper for FailingOnce {
    fn inner(&self) -> &dyn EventLog {
        &*self.inner
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        let page = self.inner.read(&read.clone().limit(read.limit.min(512)))?;
        let has_it = page.envelopes().any(|event| event.position == self.fails_at);
        if has_it && !self.has_failed.swap(true, Ordering::Relaxed) {
            return Err(StorageError::new("reading", "it is planted").into());
        }
        Ok(page)
    }
}

#[test]
fn a_part_that_failed_to_be_read_leaves_no_gap_in_what_is_kept() {
    let inner = sparse(60_000);
    let (fails_at, has_failed) = (Position::new(25_000), AtomicBool::new(false));
    let log = Arc::new(FailingOnce { inner: Arc::clone(&inner), fails_at, has_failed });
    let place = DerivedState::in_folder(MemoryDisk::new().root());
    let cache = HistoryCache::new(log.clone(), place, HistoryCacheOptions::default());
    assert!(cache.gather_all().is_err());
    assert!(log.has_failed.load(Ordering::Relaxed));
    cache.gather_all().unwrap();
    agrees(&cache, &inner, (20_000..60_000).step_by(1_777));
}

#[test]
fn rows_that_do_not_belong_together_are_done_without() {
    let log = sparse(40_000);
    let whole = gathered(&log);
    for kind in *b"evs" {
        let folder = disk_of(&whole).root();
        let place = DerivedState::in_folder(Arc::clone(&folder));
        let mut opened = place.open_runs(RUNS).unwrap().unwrap();
        let view = opened.set.view().clone();
        let mut scan = view.scan(&[kind]).unwrap();
        let (mut keys, mut last) = (Vec::new(), Vec::new());
        while let Some((key, value)) = scan.next_row().unwrap().filter(|(key, _)| key[0] == kind) {
            keys.push(key.to_vec());
            last = value.to_vec();
        }
        assert!(keys.len() >= 3);
        let rows = keys.iter().map(|key| (key.as_slice(), Some(last.as_slice())));
        let written = opened.set.write(rows, &opened.owner).unwrap();
        opened.set.adopt(written);
        let cache = over(&log, Arc::clone(&folder));
        agrees(&cache, &log, [40_000, 9_999].into_iter());
        assert!(is_damaged(&cache), "{}", kind.escape_ascii());
    }
}

#[test]
fn gathering_goes_on_where_a_session_ended_also_if_it_kept_nothing() {
    let log = sparse(0);
    let events: Vec<_> = (0..17_000).map(|n| SpaceEvent::variable_set("t", "v", n)).collect();
    for part in events.chunks(4_096) {
        log.append(&AppendRequest::new(part)).unwrap();
    }
    let cache = over(&log, disk_of(&gathered(&log)).root());
    agrees(&cache, &log, [17_000].into_iter());
    assert_eq!(cache.gatherer.lock().as_ref().unwrap().position().get(), 17_000);
}

#[test]
fn a_session_that_gathers_nothing_writes_nothing() {
    let log = sparse(20_000);
    let folder = MemoryDisk::new().root();
    over(&log, Arc::clone(&folder)).gather_all().unwrap();
    let disk = SimDisk::default();
    for (path, bytes) in files(&folder) {
        disk.root().create(path.to_str().unwrap()).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    let cache = over(&log, disk.root());
    agrees(&cache, &log, [20_000].into_iter());
    let calls = disk.calls();
    cache.gather().unwrap();
    cache.finish_gathering().unwrap();
    assert_eq!(disk.calls(), calls);
}

#[test]
fn whatever_call_fails_and_whatever_the_disk_keeps_answers_are_right() {
    let log = sparse(17_000);
    let expected = SPACES.map(|space_id| fold(&log, space_id, 16_999));
    let check = |cache: &HistoryCache| {
        for state in &expected {
            let found = cache.state_at(state.space_id(), Position::new(16_999)).unwrap();
            let revision = state.revision();
            assert!(found.map_or(revision == Revision::NONE, |found| *found == *state));
        }
    };
    let fill = |disk: &SimDisk| {
        let cache = over(&log, disk.root());
        [cache.gather().map(drop), cache.gather_all(), cache.gather_all()]
    };
    let disk = SimDisk::default();
    assert!(fill(&disk).iter().all(Result::is_ok));
    let calls = disk.calls();
    assert!(calls > 10);
    let mut rng = fastrand::Rng::with_seed(9);
    for (call, fault) in (1..=calls).flat_map(|call| Fault::ALL.map(|fault| (call, fault))) {
        let disk = SimDisk::default();
        disk.fail_call(call, fault);
        let _ = fill(&disk);
        let left = disk.after_power_cut(KeptByDisk::Subset, &mut rng);
        let cache = over(&log, left.root());
        check(&cache);
        cache.gather_all().unwrap();
        assert!(!is_damaged(&cache), "{call} {fault:?}");
        check(&over(&log, left.root()));
    }
}

#[test]
fn versions_in_memory_stay_within_their_bytes_and_share_what_did_not_change() {
    let log = sparse(60_000);
    let options = HistoryCacheOptions { cache_bytes: 400_000, ..HistoryCacheOptions::default() };
    let cache = with(&log, MemoryDisk::new().root(), options);
    for position in (0..60_000).rev().step_by(611) {
        cache.state_at("s", Position::new(position)).unwrap();
        cache.state_at("t", Position::new(position)).unwrap();
        assert!(cache.versions.lock().bytes() <= 400_000);
    }
    agrees(&cache, &log, [59_999, 100].into_iter());
    let [before, after] =
        cache.states_at("s", Position::new(50_000), Position::new(50_100)).unwrap();
    let changes = spacefold_state::diff(before.as_deref(), after.as_deref());
    assert_eq!(
        changes,
        spacefold_state::diff(Some(&fold(&log, "s", 50_000)), Some(&fold(&log, "s", 50_100)))
    );
    assert!(!changes.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn at_every_position_it_is_the_fold(
        first in events(0..80), second in events(0..40), seed in any::<u64>()
    ) {
        let log = log_of(first);
        let folder = MemoryDisk::new().root();
        let cache = over(&log, Arc::clone(&folder));
        cache.gather_all().unwrap();
        record(&log, second);
        let head = log.durable_head().get();
        // In an order that does not lead from one to the next.
        let scattered = |n: u64| n.wrapping_mul(seed | 1) % (head + 1);
        agrees(&cache, &log, (0..=head).map(scattered));
        cache.gather_all().unwrap();
        agrees(&over(&log, folder), &log, (0..=head).map(scattered));
    }
}
