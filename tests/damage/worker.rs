//! The process in which cases run: a case a line comes in, an outcome a line goes out.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test harness: a panic is a finding"
)]

use std::{
    collections::HashMap,
    io::{BufRead as _, Write as _},
    path::PathBuf,
};

use damage::{
    bench::Task,
    case::{Subject, watch_for_panics},
    stores::Store,
};

fn main() {
    let scratch = PathBuf::from(std::env::args_os().nth(1).unwrap());
    watch_for_panics();
    let mut subjects: HashMap<PathBuf, Subject> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let task: Task = serde_json::from_str(&line.unwrap()).unwrap();
        let subject = subjects
            .entry(task.store.clone())
            .or_insert_with(|| Subject::new(Store::read(&task.store)));
        let outcome = subject.run(&task.case, &scratch, task.again);
        println!("{}", serde_json::to_string(&outcome).unwrap());
        std::io::stdout().flush().unwrap();
    }
}
