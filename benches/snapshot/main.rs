//! What states cost: of now, beside a writer at full speed; of any position; what changed between
//! two; and when they are opened as they were persisted.
//!
//! ```text
//! cargo bench -p spacefold-benches --bench snapshot
//! cargo bench -p spacefold-benches --bench snapshot -- now past diff open
//! ```
//!
//! On two histories: a million events of 1,000 spaces of skewed sizes, and one space of 100,000
//! documents with 300,000 events. A plain `cargo test` runs everything once at a size that says
//! nothing.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]
#![allow(clippy::indexing_slicing, reason = "a bench that fails may panic")]

mod histories;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use histories::{Events, History, fill, space_id};
use spacefold::{
    Position, Spacefold,
    log::{EmbeddedLog, LogReader},
};
use tempfile::TempDir;

const SEED: u64 = 7;

/// A history in a store, and what was asked of it.
struct Data {
    name: &'static str,
    spaces: Spacefold,
    events: Events,
    count: u64,
    ids: Vec<String>,
    folder: TempDir,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_full = arguments.iter().any(|argument| argument == "--bench");
    let named: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|name| !name.starts_with('-')).collect();
    let wants = |name: &str| named.is_empty() || named.contains(&name);
    let scale = if is_full { 1 } else { 100 };
    println!("seed {SEED}; in microseconds: half, 99 %, 99.9 %, most");
    for mut data in [
        Data::load("skewed", History::Skewed { spaces: 1_000 }, 1_000_000 / scale, 1_000),
        Data::load("large", History::Large { documents: 100_000 / scale }, 300_000 / scale, 1),
    ] {
        if wants("past") {
            past(&data, "while it is gathered", 200 / scale.min(20));
            timed(&data, "gathering the history", || {
                data.spaces.history_cache().rebuild().unwrap()
            });
            let after = data.spaces.admin().info();
            println!("{:>8} sled has {} MiB", data.name, after.sled_bytes >> 20);
            past(&data, "first asked", 3_000 / scale);
            past(&data, "asked again", 3_000 / scale);
        }
        if wants("diff") {
            diff(&data, "near", 50, 1_000 / scale.min(50));
            diff(&data, "far", data.count / 2, 100 / scale.min(20));
        }
        if wants("now") {
            now(&mut data, Duration::from_millis(if is_full { 3_000 } else { 30 }));
        }
        data.spaces.close().unwrap();
        if wants("open") {
            open(&data, if is_full { 15 } else { 1 });
        }
    }
}

impl Data {
    fn load(name: &'static str, history: History, count: usize, spaces: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Spacefold::open(folder.path().join("store")).unwrap();
        let mut events = Events::new(history, SEED);
        fill(store.log(), &mut events, count);
        let data = Self {
            name,
            spaces: store,
            events,
            count: u64::try_from(count).unwrap(),
            ids: (0..spaces).map(space_id).collect(),
            folder,
        };
        timed(&data, "folding what is new", || data.spaces.catch_up().unwrap());
        data
    }

    /// A space that has an event, and a position where it has one already.
    fn any(&self, random: &mut Rng) -> (&str, Position) {
        loop {
            let space_id = &self.ids[random.usize(0..self.ids.len())];
            let position = Position::new(random.u64(1..=self.count));
            if self.spaces.at(Position::new(self.count)).snapshot(space_id).is_ok() {
                return (space_id, position);
            }
        }
    }
}

/// Opening the log alone, and with the states as they were persisted at close, to the first
/// snapshot of one and of all.
fn open(data: &Data, times: usize) {
    let (mut log_alone, mut to_one, mut to_all) = (Vec::new(), Vec::new(), Vec::new());
    let path = data.folder.path().join("store");
    let micros = |begun: Instant| begun.elapsed().as_secs_f64() * 1e6;
    for _ in 0..times {
        let begun = Instant::now();
        let log = EmbeddedLog::open(&path).unwrap();
        log_alone.push(micros(begun));
        log.close().unwrap();
        let begun = Instant::now();
        let spaces = Spacefold::open(&path).unwrap();
        spaces.snapshot(&data.ids[0]).unwrap();
        to_one.push(micros(begun));
        spaces.close().unwrap();
        let begun = Instant::now();
        let spaces = Spacefold::open(&path).unwrap();
        assert!(!spaces.snapshot_all().unwrap().is_empty());
        to_all.push(micros(begun));
        spaces.close().unwrap();
    }
    report(data.name, "open, the log alone", log_alone);
    report(data.name, "open, to the first snapshot", to_one);
    report(data.name, "open, to the first of all", to_all);
}

/// Snapshots of now, while one writer appends as fast as it can.
fn now(data: &mut Data, length: Duration) {
    let writing = AtomicBool::new(true);
    let (spaces, ids) = (data.spaces.clone(), data.ids.clone());
    let events = &mut data.events;
    let (alone, beside, appended) = thread::scope(|scope| {
        let alone = sample(&spaces, &ids, length / 10);
        let writer = spaces.clone();
        let writing = &writing;
        let appending = scope.spawn(move || {
            let mut appended = 0_u64;
            while writing.load(Ordering::Relaxed) {
                writer.append([events.next()]).unwrap();
                appended += 1;
            }
            appended
        });
        let beside = sample(&spaces, &ids, length);
        writing.store(false, Ordering::Relaxed);
        (alone, beside, appending.join().unwrap())
    });
    report(data.name, "snapshot, nobody writes", alone);
    report(data.name, "snapshot, a writer at full speed", beside);
    println!("{:>8} {appended} appends meanwhile", data.name);
    let behind = spaces.log().durable_head().since(spaces.snapshot(&ids[0]).unwrap().position());
    println!("{:>8} {behind} events behind at the end", data.name);
}

fn sample(spaces: &Spacefold, ids: &[String], length: Duration) -> Vec<f64> {
    let mut random = Rng::with_seed(SEED);
    let known: Vec<&String> = ids.iter().filter(|id| spaces.snapshot(id).is_ok()).collect();
    let begun = Instant::now();
    let mut micros = Vec::new();
    while begun.elapsed() < length {
        let id = known[random.usize(0..known.len())];
        let asked = Instant::now();
        let snapshot = spaces.snapshot(id).unwrap();
        micros.push(asked.elapsed().as_secs_f64() * 1e6);
        drop(snapshot);
    }
    micros
}

fn past(data: &Data, what: &str, count: usize) {
    let mut random = Rng::with_seed(SEED);
    let micros = (0..count.max(1)).map(|_| {
        let (space_id, position) = data.any(&mut random);
        let asked = Instant::now();
        let snapshot = data.spaces.at(position).snapshot(space_id);
        let micros = asked.elapsed().as_secs_f64() * 1e6;
        drop(snapshot);
        micros
    });
    report(data.name, &format!("snapshot_at, {what}"), micros.collect());
}

fn diff(data: &Data, what: &str, apart: u64, count: usize) {
    let mut random = Rng::with_seed(SEED);
    let mut changes = 0;
    let micros = (0..count.max(1)).map(|_| {
        let (space_id, position) = data.any(&mut random);
        let later = Position::new((position.get() + apart).min(data.count));
        let asked = Instant::now();
        changes += data.spaces.diff(space_id, position..later).unwrap().len();
        asked.elapsed().as_secs_f64() * 1e6
    });
    let micros: Vec<f64> = micros.collect();
    let each = changes / count.max(1);
    report(data.name, &format!("diff, {what}, {each} changes each"), micros);
}

fn timed<T>(data: &Data, what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    println!("{:>8} {what}: {:.0} ms", data.name, begun.elapsed().as_secs_f64() * 1e3);
    done
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in the list"
)]
fn report(name: &str, what: &str, mut micros: Vec<f64>) {
    micros.sort_by(f64::total_cmp);
    let at = |part: f64| micros[((micros.len() - 1) as f64 * part) as usize];
    println!(
        "{name:>8} {what:<36} {:>9} times {:>9.2} {:>9.2} {:>9.2} {:>9.1}",
        micros.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
