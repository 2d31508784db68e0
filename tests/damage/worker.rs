//! The process in which things happen that a test process must survive.
//!
//! - `cases <folder>`: a case a line comes in, an outcome a line goes out.
//! - `hold <store>`: opens a store, says how that went, and closes it when its input ends.
//! - `hold-forked <store>`: the same, with a forked child that outlives the closing.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a harness: a panic is a finding")]

use std::{
    collections::HashMap,
    io::{BufRead as _, Read as _, Write as _},
    path::{Path, PathBuf},
};

use damage::{
    bench::{Task, Work},
    case::{Subject, watch_for_panics},
    contents::OpenStore,
    parts,
    stores::Store,
};
use spacefold::OpenError;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["cases", scratch] => run_cases(Path::new(scratch)),
        ["hold", store] => hold(Path::new(store), || {}),
        ["hold-forked", store] => hold(Path::new(store), fork_and_stay),
        other => panic!("{other:?} is nothing to do"),
    }
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

fn run_cases(scratch: &Path) {
    watch_for_panics();
    let mut subjects: HashMap<PathBuf, Subject> = HashMap::new();
    let mut exchanged: HashMap<PathBuf, parts::trial::Subject> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let task: Task = serde_json::from_str(&line.unwrap()).unwrap();
        let Task { store, work, again } = task;
        let outcome = match work {
            Work::Harm(case) => subjects
                .entry(store.clone())
                .or_insert_with(|| Subject::new(Store::read(&store)))
                .run(&case, scratch, again),
            Work::Parts(case) => exchanged
                .entry(store.clone())
                .or_insert_with(|| parts::trial::Subject::new(parts::making::Store::read(&store)))
                .run(&case, scratch),
        };
        say(&serde_json::to_string(&outcome).unwrap());
    }
}

fn hold(path: &Path, meanwhile: impl FnOnce()) {
    let store = match OpenStore::open(path) {
        Ok(store) => store,
        Err(OpenError::AlreadyOpen { pid, .. }) => {
            return say(&format!("in use by {}", pid.unwrap_or(0)));
        }
        Err(error) => return say(&format!("refused: {error}")),
    };
    meanwhile();
    say("open");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    store.close().unwrap();
    say("closed");
    // So that whoever watches sees a process that is alive and has closed the store.
    std::thread::park();
}

/// Leaves a child behind that shares every open file and does nothing with them.
#[allow(unsafe_code, reason = "there is no safe way to fork")]
fn fork_and_stay() {
    // SAFETY: the child calls nothing but `pause` and `_exit`, which are async-signal-safe: it
    // touches no lock and no memory that another thread of the parent may have been changing.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        // SAFETY: as above.
        unsafe {
            libc::pause();
            libc::_exit(0);
        }
    }
    say(&format!("child {child}"));
}
