//! The command lines of spacefold: `spacefold`, and `rebuild-projections`, which is one command of
//! it under a name of its own.

mod arguments;
mod command;
mod door;
mod error;
mod git;
mod input;
mod interrupt;
mod limits;
mod logging;
mod output;
mod progress;
mod refused;
mod server_client;
mod service_manager;
mod session;
mod target;
mod time_span;
mod tree;
mod zstd;

use std::process::ExitCode;

use clap::Parser;

use self::{
    arguments::{Arguments, RebuildProjections},
    error::Failure,
    session::CliSession,
};

/// `spacefold`, with the arguments of the process.
#[must_use]
pub fn spacefold() -> ExitCode {
    main::<Arguments>()
}

/// `rebuild-projections`, with the arguments of the process: `spacefold rebuild`.
#[must_use]
pub fn rebuild_projections() -> ExitCode {
    main::<RebuildProjections>()
}

fn main<A: Parser + Into<Arguments>>() -> ExitCode {
    let arguments = error::parse_arguments::<A>().into();
    limits::turn_signals_into_errors();
    interrupt::install();
    match limits::make_sure_of_the_stack() {
        Ok(()) => run(arguments),
        Err(error) => Failure::caused(&error, "before anything", "run it again").report(),
    }
}

fn run(arguments: Arguments) -> ExitCode {
    if let Err(failure) = logging::begin(arguments.verbose) {
        return failure.report();
    }
    let (data, server) = match arguments.store.place() {
        Ok(place) => place,
        Err(failure) => return failure.report(),
    };
    let mut session = CliSession::new(data, server, arguments.json);
    let outcome = arguments.command.run(&mut session);
    match outcome.and_then(|()| session.output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
