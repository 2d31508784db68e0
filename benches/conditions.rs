//! What an append costs on each kind of condition, in processor time of the whole process, with
//! `Durability::Os`, to a log of so many events:
//!
//! ```text
//! SPACEFOLD_EVENTS=10000000 cargo bench -p spacefold-benches --bench conditions
//! ```
//!
//! The kinds take turns, some appends at a time, so that what disturbs one disturbs all.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

use std::{env, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use spacefold_event_core::{
    AppendCondition, AppendRequest, EventFilter, EventQuery, LogReader as _, LogWriter as _,
    MAX_APPEND_EVENTS, Position, Revision, SpaceEvent,
};
use spacefold_store::{Durability, EmbeddedLog, StoreOptions};

/// Events of the log where the environment does not say.
const EVENTS: u64 = 20_000;
const SPACES: u64 = 100_000;
const COURSES: u64 = 1_000;
/// Appends of one kind before the next has its turn.
const SLICE_APPENDS: u64 = 100;

/// What an append is made of: its event, and the condition that it is on.
type MakeAppend = fn(&EmbeddedLog, u64) -> (SpaceEvent, AppendCondition);

const KINDS: [(&str, MakeAppend); 8] = [
    ("no condition, no tags", |_, n| (untagged(n), AppendCondition::none())),
    ("no condition", |_, n| (event(n), AppendCondition::none())),
    ("revision of a space", |log, n| {
        let event = event(n);
        let revision = log.newest_revision(&event.space_id).unwrap();
        let condition = AppendCondition::exact(&event.space_id, revision);
        (event, condition)
    }),
    ("nothing of a space since the head", |log, n| {
        let event = event(n);
        let filter = EventFilter::all().spaces([&event.space_id]);
        (event, AppendCondition::no_event_matching(filter, log.head()))
    }),
    ("nothing with a tag since the head", |log, n| {
        let filter = EventFilter::all().tags([course(n)]);
        (event(n), AppendCondition::no_event_matching(filter, log.head()))
    }),
    ("nothing with either tag since the head", |log, n| {
        let [course, student] = [course(n), student(n)];
        let either = [course, student].map(|tag| EventFilter::all().tags([tag]));
        let condition = AppendCondition::no_event_matching(EventQuery::any_of(either), log.head());
        (event(n), condition)
    }),
    ("nothing ever of a space", |_, n| {
        let filter = EventFilter::all().spaces([format!("new-{n}")]);
        (event(n), AppendCondition::no_event_matching(filter, Position::START))
    }),
    ("nothing ever with a tag", |_, n| {
        let filter = EventFilter::all().tags([format!("new:{n}")]);
        (event(n), AppendCondition::no_event_matching(filter, Position::START))
    }),
];

fn main() {
    let events = env::var("SPACEFOLD_EVENTS").map_or(EVENTS, |events| events.parse().unwrap());
    let slices = if events > EVENTS { 101 } else { 5 };
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::default().durability(Durability::Os);
    let log = EmbeddedLog::open_with(folder.path().join("store"), &options).unwrap();
    let begun = processor_time();
    load(&log, events);
    println!("load: {} ns an event", (processor_time() - begun).as_nanos() / u128::from(events));
    let mut next = events;
    let mut spent = [Duration::ZERO; KINDS.len()];
    for _ in 0..slices {
        for ((_, make), spent) in KINDS.iter().zip(&mut spent) {
            let begun = processor_time();
            for _ in 0..SLICE_APPENDS {
                next += 1;
                let (event, condition) = make(&log, next);
                log.append(&AppendRequest::new(&[event]).on(condition)).unwrap();
            }
            *spent += processor_time() - begun;
        }
    }
    for ((kind, _), spent) in KINDS.iter().zip(spent) {
        let appends = u128::from(slices * SLICE_APPENDS);
        println!("{kind}: {} ns an append", spent.as_nanos() / appends);
    }
    assert_eq!(log.head().get(), next);
    assert_ne!(log.newest_revision(&event(next).space_id).unwrap(), Revision::NONE);
    log.close().unwrap();
}

fn load(log: &EmbeddedLog, events: u64) {
    let chunk = MAX_APPEND_EVENTS as u64;
    for first in (1..=events).step_by(MAX_APPEND_EVENTS) {
        let events: Vec<SpaceEvent> = (first..=events.min(first + chunk - 1)).map(event).collect();
        log.append(&AppendRequest::new(&events)).unwrap();
    }
}

/// Some event of a course and a student: of the former there are some, of the latter ever more.
fn event(n: u64) -> SpaceEvent {
    untagged(n).with_tags([course(n), student(n)])
}

fn untagged(n: u64) -> SpaceEvent {
    let space = mixed(n) % SPACES;
    SpaceEvent::variable_set(format!("space-{space:06}"), "enrolled", format!("{n:016x}"))
}

fn course(n: u64) -> String {
    format!("course:{}", mixed(n ^ 1) % COURSES)
}

fn student(n: u64) -> String {
    format!("student:{}", n / 3)
}

const fn mixed(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n ^ (n >> 29)
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec.try_into().unwrap())
}
