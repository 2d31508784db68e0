//! What a large log costs beside time: memory, disk, opening. Each step runs in a process of its
//! own, so that its peak is its own:
//!
//! ```text
//! cargo run --release -p spacefold-benches --example footprint -- load FOLDER 10000000 100000
//! cargo run --release -p spacefold-benches --example footprint -- open FOLDER
//! cargo run --release -p spacefold-benches --example footprint -- scan FOLDER
//! cargo run --release -p spacefold-benches --example footprint -- space FOLDER
//! cargo run --release -p spacefold-benches --example footprint -- idle FOLDER
//! ```
//!
//! `load` ends as a process that is killed does, `load-and-close` closes the store. `idle` opens one
//! with all that a program has with it, makes a space in it, and tells what it takes then.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

use std::{env, fs, os::unix::fs::MetadataExt as _, path::Path, process, thread, time::Instant};

use spacefold::Spacefold;
use spacefold_event_core::{
    AppendCondition, AppendRequest, LogReader, LogWriter, MAX_APPEND_EVENTS, Position, ReadRequest,
    Revision, SpaceEvent,
};
use spacefold_store::{EmbeddedLog, StoreOptions};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["load", path, events, spaces] => {
            load(path, events.parse().unwrap(), spaces.parse().unwrap());
            process::exit(0);
        }
        ["load-and-close", path, events, spaces] => {
            let log = load(path, events.parse().unwrap(), spaces.parse().unwrap());
            timed("close", || log.close().unwrap());
        }
        ["open", path] => drop(open(path)),
        ["scan", path] => {
            let log = open(path);
            timed("scan", || scan(&log));
            timed("close", || log.close().unwrap());
        }
        ["space", path] => space(&open(path)),
        ["idle", path] => idle(path),
        _ => println!("load|load-and-close PATH EVENTS SPACES; open|scan|space|idle PATH"),
    }
}

fn load(path: &str, count: usize, spaces: u32) -> EmbeddedLog {
    let log = EmbeddedLog::open_with(path, &StoreOptions::default()).unwrap();
    let mut random = SEED;
    println!("seed {SEED:#x}");
    timed("load", || {
        let mut appended = 0;
        while appended < count {
            let events: Vec<SpaceEvent> =
                (0..MAX_APPEND_EVENTS).map(|_| event(&mut random, spaces)).collect();
            log.append(&AppendRequest::new(&events).on(AppendCondition::none())).unwrap();
            appended += events.len();
            if appended % (1 << 20) < MAX_APPEND_EVENTS {
                println!("{appended} events: peak {} MiB", peak_mib());
            }
        }
    });
    println!("{:?}", log.info());
    log
}

/// Some 200 bytes of JSON; few spaces have most events (Zipf).
fn event(random: &mut u64, spaces: u32) -> SpaceEvent {
    let uniform = f64::from(u32::try_from(next(random) >> 32).unwrap()) / f64::from(u32::MAX);
    let space = f64::from(spaces).powf(uniform).floor();
    let (n, old, new) = (next(random) % 1_000, next(random), next(random));
    let hash = |n: u64| format!("{n:016x}{:016x}{:032x}", n.rotate_left(17), n.rotate_left(5));
    let document_id = format!("document-{n}");
    SpaceEvent::document_content_changed(
        format!("space-{space:06}"),
        document_id,
        (old % 2 == 0).then(|| hash(old)),
        hash(new),
    )
}

/// xorshift64*
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

fn open(path: &str) -> EmbeddedLog {
    let log = timed("open", || EmbeddedLog::open_existing(path).unwrap());
    timed("first event", || log.read(&ReadRequest::from(Position::new(1)).limit(1)).unwrap().len());
    log
}

fn scan(log: &EmbeddedLog) -> usize {
    let mut read = 0;
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        read += page.unwrap().events().filter(|event| event.is_ok()).count();
    }
    read
}

/// All events of the space of median size, beside a full scan.
fn space(log: &EmbeddedLog) {
    let mut spaces = log.spaces().unwrap();
    spaces.sort_unstable_by_key(|(_, revision)| *revision);
    let (median, revision) = spaces.get(spaces.len() / 2).unwrap();
    println!("{} spaces; {median} has {revision} events", spaces.len());
    timed("scan", || scan(log));
    for _ in 0..3 {
        timed("median space", || {
            let mut read = 0;
            let mut from = Revision::new(1);
            while read < usize::try_from(revision.get()).unwrap() {
                let page = log.read_space(median, from, usize::MAX).unwrap();
                let events = page.events().filter(|event| event.is_ok()).count();
                read += events;
                from = from.plus(u64::try_from(events).unwrap());
            }
            read
        });
    }
}

/// What a store takes that has nothing to do.
fn idle(path: &str) {
    let spaces = Spacefold::open(path).unwrap();
    let id = format!("space-{}", spaces.durable_head());
    spaces.service().create_space(&id, "Idle").unwrap();
    assert_eq!(spaces.snapshot(&id).unwrap().revision(), Revision::new(1));
    // The threads that opening begins end soon.
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let begun = Instant::now();
    while threads() > 4 && begun.elapsed().as_secs() < 10 {
        thread::yield_now();
    }
    println!(
        "{} threads, peak {} MiB, {} KiB of disk",
        threads(),
        peak_mib(),
        kib_of(Path::new(path))
    );
    spaces.close().unwrap();
}

/// What is allocated to a folder with everything in it.
fn kib_of(path: &Path) -> u64 {
    let found = fs::symlink_metadata(path).unwrap();
    let below = || fs::read_dir(path).unwrap().map(|entry| kib_of(&entry.unwrap().path())).sum();
    found.blocks() / 2 + if found.is_dir() { below() } else { 0 }
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    let millis = begun.elapsed().as_secs_f64() * 1e3;
    println!("{what}: {millis:.1} ms, {} CPU ticks, peak {} MiB", cpu_ticks(), peak_mib());
    done
}

/// The most memory this process has had resident, as Linux knows it.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0_u64) >> 10
}

/// What this process has used of the processors, all threads.
fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    behind_name.split(' ').skip(12).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
