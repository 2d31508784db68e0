//! What a store takes while it is small: of the disk, of memory, and of threads.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use spacefold::{
    AppendCondition, Position, SpaceEvent, Spacefold,
    admin::{VerifyOptions, verify},
    log::{AppendRequest, LogWriter},
};

const MEBIBYTE: u64 = 1 << 20;
/// Events that a store takes before it grows.
const EVENTS: usize = 1_000;

/// Some 200 bytes of JSON.
fn event(n: usize) -> SpaceEvent {
    let space = format!("handbook-{}", n % 7);
    SpaceEvent::document_added(space, format!("doc-{n}"), format!("/chapter-{n}/intro.md"))
        .with_source("small-test")
}

/// The bytes that a folder takes on the disk, with everything in it.
fn allocated(path: &Path) -> u64 {
    let found = fs::symlink_metadata(path).unwrap();
    let own = found.blocks() * 512;
    if !found.is_dir() {
        return own;
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    own + entries.map(|entry| allocated(&entry)).sum::<u64>()
}

/// What the parts of a store take.
fn parts(store: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    entries.map(|path| (named(&path), allocated(&path))).collect()
}

#[track_caller]
fn assert_small(store: &Path, when: &str) {
    // What goes on in the background is over: the reserve is made, the next journal file is.
    let mut before = allocated(store);
    let began = Instant::now();
    let mut same = 0;
    while same < 10 && began.elapsed() < Duration::from_secs(10) {
        thread::yield_now();
        let now = allocated(store);
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    assert!(before <= MEBIBYTE, "{when}: {before} bytes in {:?}", parts(store));
}

/// Fills a store, closes and opens it, and looks at what it takes all the while.
fn stays_small(fill: impl Fn(&Spacefold, usize)) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    assert_small(&store, "made");
    for hundreds in 1..=EVENTS / 100 {
        fill(&spaces, hundreds * 100);
        assert_eq!(spaces.durable_head(), Position::new(hundreds as u64 * 100));
        assert_small(&store, &format!("{hundreds}00 events"));
    }
    let states = spaces.snapshot_all().unwrap();
    spaces.close().unwrap();
    assert_small(&store, "closed");
    for _ in 0..2 {
        let spaces = Spacefold::open(&store).unwrap();
        assert_eq!(spaces.snapshot_all().unwrap().len(), states.len());
        assert_small(&store, "opened again");
        spaces.close().unwrap();
        assert_small(&store, "closed again");
    }
    let report = verify(&store, VerifyOptions::default()).unwrap();
    assert!(report.is_ok() && report.events == EVENTS as u64, "{report:?}");

    // It grows as it has to, and has lost nothing.
    let spaces = Spacefold::open(&store).unwrap();
    (0..3).for_each(|_| fill_at_once(&spaces, 4_000));
    spaces.close().unwrap();
    assert!(allocated(&store) > 8 * MEBIBYTE && store.join("sled").is_dir());
    let report = verify(&store, VerifyOptions::default()).unwrap();
    assert!(report.is_ok() && report.events == EVENTS as u64 + 12_000, "{report:?}");
    let spaces = Spacefold::open_existing(&store).unwrap();
    assert_eq!(spaces.log().info().healed, 0);
    spaces.close().unwrap();
}

fn fill_at_once(spaces: &Spacefold, count: usize) {
    let head = usize::try_from(spaces.durable_head().get()).unwrap();
    let events: Vec<SpaceEvent> = (head..head + count).map(event).collect();
    spaces.log().append(&AppendRequest::new(&events).on(AppendCondition::none())).unwrap();
}

#[test]
fn a_store_takes_a_mebibyte_of_the_disk_until_its_first_thousand_events() {
    stays_small(|spaces, through| {
        let head = usize::try_from(spaces.durable_head().get()).unwrap();
        (head..through).for_each(|n| assert_eq!(spaces.append([event(n)]).unwrap().count(), 1));
    });
}

#[test]
fn a_store_that_takes_many_events_at_once_is_as_small() {
    stays_small(|spaces, through| {
        let head = usize::try_from(spaces.durable_head().get()).unwrap();
        fill_at_once(spaces, through - head);
    });
}

/// Says in a child which store it is to open.
const FOLDER: &str = "SPACEFOLD_TEST_SMALL";

/// The threads of this process.
fn threads() -> BTreeSet<OsString> {
    fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().file_name()).collect()
}

/// Bytes of the process that are in memory and in no file.
fn anonymous_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Opens a store, does a little in it, and is idle. Only a process of its own has no other threads.
#[test]
fn child() {
    let Some(store) = std::env::var_os(FOLDER) else { return };
    let before = threads();
    let spaces = Spacefold::open(&store).unwrap();
    fill_at_once(&spaces, 100);
    assert!(spaces.snapshot("handbook-1").unwrap().document("doc-1").is_some());
    // Threads that open something end.
    let began = Instant::now();
    let mut own = usize::MAX;
    while own > 3 && began.elapsed() < Duration::from_secs(20) {
        own = threads().difference(&before).count();
        thread::yield_now();
    }
    // With the one of the program that opened it there are four.
    assert!(own <= 3, "{own} threads");
    assert!(anonymous_memory() <= 6 * MEBIBYTE, "{} bytes", anonymous_memory());
    spaces.close().unwrap();
    println!("was small");
}

#[test]
fn an_idle_store_has_few_threads_and_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    // New, and there already.
    for _ in 0..2 {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "small::child", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path().join("store"))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("was small"), "{told}");
    }
}
