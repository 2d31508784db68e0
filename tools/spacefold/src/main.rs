//! The command line of spacefold.

mod arguments;
mod command;
mod error;
mod git;
mod input;
mod interrupt;
mod limits;
mod output;
mod progress;
mod session;
mod target;
mod tree;
mod zstd;

use std::process::ExitCode;

use self::{arguments::Arguments, error::Failure, session::Session};

fn main() -> ExitCode {
    let arguments: Arguments = error::parse_arguments();
    limits::turn_signals_into_errors();
    interrupt::install();
    match limits::make_sure_of_the_stack() {
        Ok(()) => run(arguments),
        Err(error) => Failure::caused(&error, "before anything", "run it again").report(),
    }
}

fn run(arguments: Arguments) -> ExitCode {
    let mut session = Session::new(arguments.data, arguments.json);
    let outcome = command::run(&arguments.command, &mut session);
    match outcome.and_then(|()| session.output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
