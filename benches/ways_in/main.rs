//! What the ways into a store and out of it cost, each beside what anybody would compare it with: JSON
//! lines beside bulk appends and a replay, `import-git` beside git, commands beside the start of a
//! process, content beside `cp`.
//!
//! ```text
//! cargo build --release -p spacefold-cli
//! cargo run --release -p spacefold-benches --example ways_in -- target/release/spacefold 2000000
//! ```
//!
//! Further words are the rows that are wanted: `import`, `export`, `git`, `commands`, `content`; all
//! unless told. Rounds are interleaved; of each the median is printed, and a ratio is the median of
//! those of the rounds. Everything is in the temporary folder of the system, on its disk.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

mod commands;
mod content;
mod events;
mod git;
mod measure;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::measure::{Taken, median, taken};

const ROUNDS: usize = 3;

/// What all rows need.
pub(crate) struct Bench {
    spacefold: PathBuf,
    pub(crate) events: u64,
    pub(crate) folder: PathBuf,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["child", rest @ ..] if matches!(rest, ["put" | "get", ..]) => content::child(rest),
        ["child", rest @ ..] => events::child(rest),
        [spacefold, events, rows @ ..] => {
            let folder = tempfile::tempdir().unwrap();
            let bench = Bench {
                spacefold: fs::canonicalize(spacefold).unwrap(),
                events: events.parse().unwrap(),
                folder: folder.path().to_owned(),
            };
            type Row = (&'static str, fn(&Bench));
            let all: [Row; 5] = [
                ("import", events::import_row),
                ("export", events::export_row),
                ("git", git::row),
                ("commands", commands::row),
                ("content", content::row),
            ];
            for (name, row) in all {
                if rows.is_empty() || rows.contains(&name) {
                    row(&bench);
                }
            }
        }
        _ => println!("SPACEFOLD EVENTS [import|export|git|commands|content]..."),
    }
}

impl Bench {
    /// The command line, on a store.
    pub(crate) fn spacefold(&self, store: &Path) -> Command {
        let mut command = Command::new(&self.spacefold);
        command.arg("--data").arg(store);
        command
    }

    /// This program again, in a process of its own.
    pub(crate) fn child(&self, what: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg("child").arg(what);
        command
    }

    /// Removes a folder that may be there.
    pub(crate) fn forget(&self, folder: &Path) {
        assert!(folder.starts_with(&self.folder), "{} is not ours", folder.display());
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }

    /// Prints what each of these takes, and how much that is of what the first takes.
    pub(crate) fn compare(
        &self,
        (unit, units): (&str, f64),
        ways: &mut [(&str, &mut dyn FnMut())],
    ) {
        let mut rounds: Vec<Vec<Taken>> = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(ways.iter_mut().map(|(_, act)| taken(act)).collect());
        }
        println!("| | processor µs/{unit} | × first | {unit}s/s | × first | processors |");
        println!("|---|---|---|---|---|---|");
        for (index, (name, _)) in ways.iter().enumerate() {
            let of = |value: &dyn Fn(&Taken, &Taken) -> f64| {
                let each =
                    rounds.iter().filter_map(|round| Some((round.get(index)?, round.first()?)));
                median(each.map(|(own, first)| value(own, first)).collect())
            };
            let processor = of(&|own, _| own.processor_seconds * 1e6 / units);
            let of_processor = of(&|own, first| own.processor_seconds / first.processor_seconds);
            let rate = of(&|own, _| units / own.wall_seconds);
            let of_rate = of(&|own, first| first.wall_seconds / own.wall_seconds);
            let processors = of(&|own, _| own.processor_seconds / own.wall_seconds);
            println!(
                "| {name} | {processor:.2} | {of_processor:.2} | {rate:.0} | {of_rate:.2} | {processors:.2} |"
            );
        }
    }
}
