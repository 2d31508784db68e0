//! What is done to a log, each step in a process of its own: its peak of memory is its own.

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use rustix::time::ClockId;
use spacefold_event_core::{
    AppendCondition, AppendRequest, LogReader, LogWriter, MAX_APPEND_EVENTS, Position, ReadRequest,
    Revision, SpaceEvent,
};
use spacefold_projection::{
    DerivedState, LiveStates, Projections, RebuildMode, RebuildOptions, rebuild,
};
use spacefold_store::EmbeddedLog;

use crate::{
    costs::{Costs, cpu_nanos, disk_bytes, peak_mib, written_bytes},
    events::{Events, SPACES, event_id, space_id},
};

/// How often something is looked up.
const LOOKS: u32 = 2_000;
/// Events of a space that are read at a time.
const PAGE: usize = 64;

/// A step, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Load,
    Read,
    Rebuild,
    Open,
    LookUp,
}

impl Step {
    pub(crate) const ALL: [Self; 5] =
        [Self::Load, Self::Read, Self::Rebuild, Self::Open, Self::LookUp];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Read => "read",
            Self::Rebuild => "rebuild",
            Self::Open => "open",
            Self::LookUp => "look-up",
        }
    }

    /// Takes the step in the log at a path, which has so many events, or is to have them.
    pub(crate) fn work(self, path: &Path, count: u64) -> Costs {
        let mut costs = Costs::default();
        match self {
            Self::Load => load(path, count, &mut costs),
            Self::Read => read(path, count, &mut costs),
            Self::Rebuild => rebuild_states(path, count, &mut costs),
            Self::Open => open(path, count, &mut costs),
            Self::LookUp => look_up(path, count, &mut costs),
        }
        costs.add(&format!("{}: peak MiB", self.name()), peak_mib());
        costs
    }
}

fn load(path: &Path, count: u64, costs: &mut Costs) {
    let mut events = Events::new();
    let (begun, mut making) = (cpu_nanos(ClockId::ProcessCPUTime), 0.0);
    let log = EmbeddedLog::open(path).unwrap();
    while !events.is_over(count) {
        let before = cpu_nanos(ClockId::ThreadCPUTime);
        let next = events.take(count);
        making += cpu_nanos(ClockId::ThreadCPUTime) - before;
        log.append(&AppendRequest::new(next).on(AppendCondition::none())).unwrap();
    }
    log.close().unwrap();
    let spent = cpu_nanos(ClockId::ProcessCPUTime) - begun - making;
    costs.add("load: ns an event", spent / count as f64);
    costs.add("load: bytes written an event", written_bytes() / count as f64);
    costs.add("load: bytes of disk an event", disk_bytes(path) / count as f64);
}

fn read(path: &Path, count: u64, costs: &mut Costs) {
    let log = EmbeddedLog::open_existing(path).unwrap();
    // Opening has a row of its own.
    drop(log.info());
    let begun = cpu_nanos(ClockId::ProcessCPUTime);
    let mut found = 0;
    let all = ReadRequest::from(Position::new(1)).limit(MAX_APPEND_EVENTS);
    for page in log.pages(all) {
        for event in page.unwrap().events() {
            black_box(event.unwrap());
            found += 1;
        }
    }
    assert_eq!(found, count);
    let spent = cpu_nanos(ClockId::ProcessCPUTime) - begun;
    costs.add("read: ns an event", spent / count as f64);
    log.close().unwrap();
}

fn states_of(log: &EmbeddedLog) -> Arc<LiveStates> {
    let derived = DerivedState::in_folder(log.derived_folder());
    Arc::new(LiveStates::new(Arc::new(log.clone()), derived))
}

fn rebuild_states(path: &Path, count: u64, costs: &mut Costs) {
    let log = EmbeddedLog::open_existing(path).unwrap();
    drop(log.info());
    let begun = cpu_nanos(ClockId::ProcessCPUTime);
    let projections = Projections::new(states_of(&log));
    let options = RebuildOptions::new(RebuildMode::Replace);
    rebuild(&projections, &["space-state".to_owned()], &options).unwrap();
    let spent = cpu_nanos(ClockId::ProcessCPUTime) - begun;
    costs.add("rebuild: ns an event", spent / count as f64);
    log.close().unwrap();
}

fn open(path: &Path, count: u64, costs: &mut Costs) {
    let begun = Instant::now();
    let since = |name: &str, costs: &mut Costs| {
        costs.add(&format!("open: ms to the {name}"), begun.elapsed().as_secs_f64() * 1e3);
    };
    let log = EmbeddedLog::open_existing(path).unwrap();
    let first = log.read(&ReadRequest::from(Position::new(1)).limit(1)).unwrap();
    assert_eq!(first.len(), 1);
    since("first event", costs);
    let states = states_of(&log);
    assert_eq!(states.snapshot(&space_id(SPACES / 2)).unwrap().position(), Position::new(count));
    since("first snapshot", costs);
    let event = [SpaceEvent::space_created(space_id(0), "Opened")];
    assert!(log.append(&AppendRequest::new(&event)).unwrap().is_durable());
    since("first durable append", costs);
    drop((states, log));
}

fn look_up(path: &Path, count: u64, costs: &mut Costs) {
    let log = EmbeddedLog::open_existing(path).unwrap();
    drop(log.info());
    let mut random = fastrand::Rng::with_seed(count);
    let spaces: Vec<(String, Revision)> = log.spaces().unwrap();
    let mut found = 0;
    let mut space = || {
        let (space, revision) = random.choice(&spaces).unwrap();
        let from = Revision::new(random.u64(1..=revision.get()));
        let page = log.read_space(space, from, PAGE).unwrap();
        found += page.events().filter(|event| event.is_ok()).count();
    };
    let spent = micros(&mut space) * f64::from(LOOKS + LOOKS / 4);
    // Where there are few events of a space the pages are short.
    costs.add("look up: µs an event of a space", spent / found as f64);
    let mut random = fastrand::Rng::with_seed(count + 1);
    let mut id = || {
        let n = random.u64(..count);
        assert_eq!(log.find_event(event_id(n)).unwrap(), Some(Position::new(n + 1)));
    };
    costs.add("look up: µs an id", micros(&mut id));
    log.close().unwrap();
}

/// Processor time of something that is done many times, in µs; once before, so that it is warm.
fn micros(work: &mut dyn FnMut()) -> f64 {
    (0..LOOKS / 4).for_each(|_| work());
    let begun = cpu_nanos(ClockId::ProcessCPUTime);
    (0..LOOKS).for_each(|_| work());
    (cpu_nanos(ClockId::ProcessCPUTime) - begun) / f64::from(LOOKS) / 1e3
}
