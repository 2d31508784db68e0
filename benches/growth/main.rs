//! Whether costs grow with the log: what an event costs in logs of several sizes, each of which is
//! loaded, read, rebuilt, looked up in and opened by processes of its own.
//!
//! ```text
//! cargo run --release -p spacefold-benches --example growth -- \
//!     [--folder DIR] [--plot growth.svg] [EVENTS ...]
//! ```
//!
//! Prints a table, and plots the same beside the smallest log. Costs are processor time of all
//! threads, which other work on the machine changes little; those of opening are times of a clock.
//! 1,000 spaces of 100 documents each have all events, whatever the size: the states do not grow.

#![allow(clippy::unwrap_used, reason = "a bench that fails may panic")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

mod costs;
mod events;
mod plot;
mod steps;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use self::{costs::Costs, steps::Step};

/// Sizes where none are asked for: small enough for every machine.
const SIZES: [u64; 3] = [100_000, 200_000, 400_000];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [step, path, count] = arguments.as_slice()
        && let Some(step) = Step::ALL.into_iter().find(|known| known.name() == step)
    {
        let costs = step.work(Path::new(path), count.parse().unwrap());
        costs.0.iter().for_each(|(name, cost)| println!("{name}={cost}"));
        return;
    }
    let (mut folder, mut plot, mut sizes) = (env::temp_dir(), None, Vec::new());
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--folder" => folder = rest.next().map(PathBuf::from).unwrap(),
            "--plot" => plot = rest.next().map(PathBuf::from),
            size => sizes.push(size.parse().unwrap()),
        }
    }
    if sizes.is_empty() {
        sizes.extend(SIZES);
    }
    let measured: Vec<(u64, Costs)> =
        sizes.into_iter().map(|size| (size, measure(&folder, size))).collect();
    println!("{}", costs::table(&measured));
    if let Some(file) = plot {
        plot::draw(&file, &measured).unwrap();
    }
}

/// What a log of so many events costs.
fn measure(folder: &Path, size: u64) -> Costs {
    let scratch = folder.join(format!("growth-{size}-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let mut costs = Costs::default();
    for step in Step::ALL {
        let output = Command::new(env::current_exe().unwrap())
            .arg(step.name())
            .arg(scratch.join("store"))
            .arg(size.to_string())
            .stderr(std::process::Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{} of {size} events", step.name());
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (name, cost) = line.split_once('=').unwrap();
            costs.0.push((name.to_owned(), cost.parse().unwrap()));
        }
        eprintln_step(step, size);
    }
    fs::remove_dir_all(&scratch).unwrap();
    costs
}

#[allow(clippy::print_stderr, reason = "a large log takes minutes: it is told how far it is")]
fn eprintln_step(step: Step, size: u64) {
    eprintln!("{size} events: {}", step.name());
}
