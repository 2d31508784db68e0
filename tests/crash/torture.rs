//! `torture`: kills, cuts and fails stores, and checks what is left of them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it found is its output")]

use std::{env, io, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use spacefold_crash_tests::{
    child::{self, ChildOptions},
    kill::{self, KillOptions},
};

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kills writers at random moments.
    Kill(Run),
    /// The writer that the others kill.
    #[command(hide = true)]
    Child(ChildOptions),
}

/// How much, and what is expected.
#[derive(Args)]
struct Run {
    /// How many rounds.
    #[arg(long, env = "SPACEFOLD_TORTURE_ROUNDS")]
    rounds: Option<u32>,
    /// What everything random is drawn from; drawn itself when it is not given.
    #[arg(long, env = "SPACEFOLD_TORTURE_SEED")]
    seed: Option<u64>,
    /// Where stores are made.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// For builds with a planted fault: finding nothing is the failure.
    #[arg(long)]
    must_fail: bool,
}

impl Run {
    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| fastrand::u64(..))
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Kill(run) => kill(&run),
        Command::Child(options) => child::run(&options).map(ExitCode::from),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("torture: {error}");
        ExitCode::from(2)
    })
}

fn kill(run: &Run) -> io::Result<ExitCode> {
    let seed = run.seed();
    println!("kill: seed {seed}");
    let mut options = KillOptions::new(env::current_exe()?, run.rounds.unwrap_or(300), seed);
    if let Some(dir) = &run.dir {
        options.folder.clone_from(dir);
    }
    if run.must_fail {
        options.stop_after = 1;
    }
    let report = kill::run(&options)?;
    Ok(close("kill", seed, run.must_fail, &report.violations, &report))
}

/// Prints what was found and the closing line; what the process answers.
fn close(
    harness: &str,
    seed: u64,
    must_fail: bool,
    violations: &[String],
    report: &dyn std::fmt::Display,
) -> ExitCode {
    for violation in violations {
        println!("{harness}: VIOLATION {violation}");
    }
    let passed = violations.is_empty() != must_fail;
    let verdict = match (passed, must_fail) {
        (true, false) => "passed",
        (false, false) => "FAILED",
        (true, true) => "passed: the planted fault was found",
        (false, true) => "FAILED: the planted fault was not found",
    };
    println!("{harness}: {verdict}; seed {seed}; {report}");
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
