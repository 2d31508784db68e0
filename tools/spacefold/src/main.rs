//! The command line of spacefold.

mod arguments;
mod command;
mod error;
mod git;
mod input;
mod interrupt;
mod output;
mod progress;
mod session;
mod target;
mod tree;
mod zstd;

use std::process::ExitCode;

use self::{arguments::Arguments, session::Session};

fn main() -> ExitCode {
    let arguments: Arguments = error::parse_arguments();
    interrupt::install();
    let mut session = Session::new(arguments.data, arguments.json);
    let outcome = command::run(&arguments.command, &mut session);
    match outcome.and_then(|()| session.output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
