//! Makes a store with one of the histories, for measuring tools on it:
//!
//! ```text
//! cargo run --release -p spacefold-benches --example history -- skewed /tmp/store 1000000 1000
//! cargo run --release -p spacefold-benches --example history -- large /tmp/store 300000 100000
//! cargo run --release -p spacefold-benches --example history -- fold /tmp/store
//! cargo run --release -p spacefold-benches --example history -- live /tmp/store 65536
//! ```
//!
//! `live` appends the skewed history and folds it in one process, with a state commitment every so
//! many events, or none for 0: its CPU time with and without tells what commitments cost.
//! `fold` tells apart what reading, decoding, folding and hashing cost, in one thread.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]
#![allow(clippy::indexing_slicing, reason = "a bench that fails may panic")]

mod histories;

use std::{env, num::NonZeroU64, time::Instant};

use histories::{Events, History, fill, space_id};
use spacefold::{Options, admin::StateCommitments};
use spacefold_event_core::{LogReader, Page, Position, ReadRequest};
use spacefold_state::SpaceStates;
use spacefold_store::EmbeddedLog;

const SEED: u64 = 7;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| -> usize { text.parse().unwrap() };
    let (history, path, events) = match arguments.as_slice() {
        ["skewed", path, events, spaces] => {
            (History::Skewed { spaces: number(spaces) }, path, number(events))
        }
        ["large", path, events, documents] => {
            (History::Large { documents: number(documents) }, path, number(events))
        }
        ["fold", path] => return fold(path),
        ["live", path, every] => return live(path, every.parse().unwrap()),
        _ => {
            println!(
                "fold PATH | live PATH EVERY | skewed PATH EVENTS SPACES | large PATH EVENTS DOCUMENTS"
            );
            return;
        }
    };
    let log = EmbeddedLog::open(path).unwrap();
    fill(&log, &mut Events::new(history, SEED), events);
    println!("seed {SEED}, {history:?}, {events} events, the first space is {}", space_id(0));
    log.close().unwrap();
}

fn fold(path: &str) {
    let log = EmbeddedLog::open_existing(path).unwrap();
    for _ in 0..3 {
        timed("read", || each_page(&log, |page| assert!(page.envelopes().count() > 0)));
        timed("and decode", || {
            each_page(&log, |page| assert!(page.events().all(|event| event.is_ok())));
        });
        let mut states = SpaceStates::new();
        timed("and fold", || {
            each_page(&log, |page| {
                page.events().for_each(|event| drop(states.apply(&event.unwrap())));
            });
        });
        timed("hash", || states.hash());
        timed("drop", || drop(states));
    }
}

fn live(path: &str, every: u64) {
    let commitments = NonZeroU64::new(every).map_or(StateCommitments::Off, StateCommitments::Every);
    let spaces = Options::new(path).commitments(commitments).open().unwrap();
    let mut events = Events::new(History::Skewed { spaces: 1_000 }, SEED);
    timed("live", || {
        fill(spaces.log(), &mut events, 1_000_000);
        spaces.catch_up().unwrap();
    });
    spaces.close().unwrap();
}

fn each_page(log: &EmbeddedLog, mut visit: impl FnMut(&Page)) {
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        visit(&page.unwrap());
    }
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    println!("{what:>12} {:>8.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    done
}
