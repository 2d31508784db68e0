//! What the ids of events cost: the same appends with ids that rise, that nearly do, and that do not.
//!
//! ```text
//! cargo run --release -p spacefold-benches --example ids -- FOLDER 10000000 1
//! ```
//!
//! loads 10,000,000 events for each kind of ids, then measures appends of 1 event, without a sync for
//! each: processor time an event, that of all threads, and bytes of the index of ids.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

use std::{env, fs, path::Path};

use spacefold_event_core::{AppendRequest, EventId, LogWriter, MAX_APPEND_EVENTS, SpaceEvent};
use spacefold_store::{Durability, EmbeddedLog, StoreOptions};

/// Events that are measured.
const MEASURED: usize = 400_000;
/// Nanoseconds of a tick of the kernel's count of processor time.
const TICK_NANOS: u64 = 10_000_000;
/// Events between two milliseconds.
const EVENTS_A_MILLI: u64 = 100;
/// How far the ids of one of many producers are behind the newest.
const LAG: u64 = 32;

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `UUIDv7` of one thread.
    Rising,
    /// `UUIDv7` of several producers, taken in another order than they were made in.
    NearlyRising,
    /// `UUIDv4`.
    Random,
}

struct Source {
    kind: Kind,
    random: fastrand::Rng,
    next: u64,
}

impl Source {
    fn event(&mut self) -> SpaceEvent {
        self.next += 1;
        let timed = |number: u64, rest: u128| {
            let millis = 1_700_000_000_000 + u128::from(number / EVENTS_A_MILLI);
            let counter = u128::from(number % EVENTS_A_MILLI) << 64;
            millis << 80 | 7 << 76 | counter | 2 << 62 | rest
        };
        let rest = self.random.u128(0..1 << 62);
        let id = match self.kind {
            Kind::Rising => timed(self.next, rest),
            Kind::NearlyRising => timed(self.next.saturating_sub(self.random.u64(0..LAG)), rest),
            Kind::Random => (rest << 66 | rest) & !(0xf << 76) | 4 << 76,
        };
        let space = format!("space-{}", self.random.u32(0..1_000));
        let hash = format!("{:032x}{:032x}", self.random.u128(..), self.random.u128(..));
        SpaceEvent::document_content_changed(space, "document", None::<String>, hash)
            .with_event_id(EventId::from_bytes(id.to_be_bytes()))
    }

    fn append(&mut self, log: &EmbeddedLog, count: usize, an_append: usize) {
        let mut appended = 0;
        while appended < count {
            let events: Vec<SpaceEvent> = (0..an_append).map(|_| self.event()).collect();
            log.append(&AppendRequest::new(&events)).unwrap();
            appended += events.len();
        }
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [path, loaded, an_append] = arguments.as_slice() else {
        println!("PATH EVENTS EVENTS-AN-APPEND");
        return;
    };
    let (loaded, an_append) = (loaded.parse().unwrap(), an_append.parse().unwrap());
    for kind in [Kind::Rising, Kind::NearlyRising, Kind::Random] {
        let path = Path::new(path).join(format!("{kind:?}"));
        let options = StoreOptions::default().durability(Durability::Os);
        let log = EmbeddedLog::open_with(&path, &options).unwrap();
        let mut source = Source { kind, random: fastrand::Rng::with_seed(1), next: 0 };
        let load = cpu_nanos(|| source.append(&log, loaded, MAX_APPEND_EVENTS));
        let append = cpu_nanos(|| source.append(&log, MEASURED, an_append));
        log.close().unwrap();
        let index = fs::read_dir(path.join("derived/event-ids"));
        let bytes = index.into_iter().flatten().map(|entry| entry.unwrap().metadata().unwrap());
        let bytes: u64 = bytes.map(|metadata| metadata.len()).sum();
        println!(
            "{kind:?}: loading {} ns an event, appending {} ns an event, {bytes} bytes of index, \
             peak {} MiB",
            load / u64::try_from(loaded.max(1)).unwrap(),
            append / u64::try_from(MEASURED).unwrap(),
            peak_mib(),
        );
    }
}

/// The processor time of all threads of this process that some work takes.
fn cpu_nanos(work: impl FnOnce()) -> u64 {
    let begun = cpu_ticks();
    work();
    (cpu_ticks() - begun) * TICK_NANOS
}

fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    behind_name.split(' ').skip(12).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// The most memory this process has had resident, as Linux knows it.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0_u64) >> 10
}
