//! `torture`: kills, cuts and fails stores, and checks what is left of them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spacefold_crash_tests::child::{self, ChildOptions};

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The writer that the others kill.
    #[command(hide = true)]
    Child(ChildOptions),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Child(options) => match child::run(&options) {
            Ok(code) => ExitCode::from(code),
            Err(_) => ExitCode::FAILURE,
        },
    }
}
