//! What one stage over a whole store costs: in time, and in instructions, which are the same on every
//! machine and whatever else runs.
//!
//! ```text
//! cargo build --release -p spacefold-benches --example history --example stages
//! target/release/examples/history skewed STORE 200000 1000
//! target/release/examples/stages replay STORE
//! target/release/examples/stages count replay STORE
//! ```
//!
//! The stages: `replay`, every event decoded, in one thread; `space-state`, `content-index` and
//! `open-problems`, a rebuild of each in a copy of the store that it may change; `past`, the history
//! cache made anew there; `snapshot`, the first of the first space after opening, its state persisted.
//! `count` runs a stage under valgrind, which has to be installed, and counts all threads from where
//! the stage begins to where it ends: opening the store, in which sled spins under valgrind, is left
//! out. Valgrind takes some 50 times as long: 200,000 events are enough.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

use std::{
    env,
    process::{self, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use spacefold_event_core::{LogReader, Position, ReadRequest};
use spacefold_projection::{
    Builtin, DerivedState, HistoryCacheOptions, LiveStates, Projections, RebuildMode,
    RebuildOptions, Resume, TimeTravel, rebuild,
};
use spacefold_store::EmbeddedLog;

/// What valgrind says before the number of instructions.
const COLLECTED: &str = "Collected : ";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["count", stage, path] => count(stage, path),
        ["counted", stage, path] => run(stage, path, &Measure::Instructions),
        [stage, path] => run(stage, path, &Measure::Time),
        _ => println!("[count] replay|space-state|content-index|open-problems|past|snapshot PATH"),
    }
}

/// Runs a stage under valgrind and says how many instructions it took an event.
fn count(stage: &str, path: &str) {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(env::current_exe().unwrap()).args(["counted", stage, path]);
    let output = valgrind.stderr(Stdio::piped()).output().expect("valgrind is installed");
    let (said, report) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let collected = report.lines().find_map(|line| line.split_once(COLLECTED));
    let instructions: Option<u64> =
        collected.and_then(|(_, number)| number.split_whitespace().next()?.parse().ok());
    let events: Option<u64> = said.split_whitespace().next().and_then(|word| word.parse().ok());
    let (Some(instructions), Some(events)) = (instructions, events) else {
        panic!("{stage} came to nothing:\n{said}{report}");
    };
    println!("{stage}: {} instructions an event, {events} events", instructions / events);
}

enum Measure {
    Time,
    /// By the valgrind that this runs under.
    Instructions,
}

impl Measure {
    fn of<T>(&self, events: u64, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        self.control("on");
        let done = work();
        self.control("off");
        let seconds = begun.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "printed with few digits")]
        let nanos = seconds * 1e9 / events as f64;
        println!("{events} events in {:.1} ms, {nanos:.0} ns each", seconds * 1e3);
        done
    }

    fn control(&self, to: &str) {
        if let Self::Instructions = self {
            let mut control = Command::new("callgrind_control");
            control.arg(format!("--instr={to}")).arg(process::id().to_string());
            assert!(control.stdout(Stdio::null()).status().unwrap().success());
        }
    }
}

fn run(stage: &str, path: &str, measure: &Measure) {
    if stage == "snapshot" {
        // As it is after a store was closed: the states are persisted.
        let log = open(path);
        let before = states(&log);
        before.catch_up().unwrap();
        before.save().unwrap();
        drop(before);
        log.close().unwrap();
        let log = open(path);
        let states = states(&log);
        let id = log.spaces_after(None, 1).unwrap().remove(0);
        let snapshot = measure.of(1, || states.snapshot(&id).unwrap());
        assert_ne!(snapshot.revision().get(), 0);
        return;
    }
    let log = open(path);
    let events = log.durable_head().get();
    match stage {
        "replay" => measure.of(events, || assert_eq!(replay(&log), events)),
        "past" => {
            let travel =
                TimeTravel::with_history_cache(states(&log), HistoryCacheOptions::default());
            measure.of(events, || travel.rebuild_history_cache().unwrap());
        }
        projection => {
            let projections = Projections::new(states(&log));
            Builtin::register(&projections).unwrap();
            let options = RebuildOptions {
                resume: Resume::Restart,
                ..RebuildOptions::new(RebuildMode::Replace)
            };
            measure.of(events, || {
                rebuild(&projections, &[projection.to_owned()], &options).unwrap();
            });
        }
    }
    log.close().unwrap();
}

fn open(path: &str) -> EmbeddedLog {
    EmbeddedLog::open_existing(path).unwrap()
}

fn states(log: &EmbeddedLog) -> Arc<LiveStates> {
    let derived = DerivedState::in_folder(log.derived_folder());
    Arc::new(LiveStates::new(Arc::new(log.clone()), derived))
}

/// Decodes every event, and counts them.
fn replay(log: &EmbeddedLog) -> u64 {
    let mut events = 0;
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        for event in page.unwrap().events() {
            std::hint::black_box(&event.unwrap());
            events += 1;
        }
    }
    events
}
