//! The commands, one module each.

pub(crate) mod append;
pub(crate) mod blame;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod selection;
pub(crate) mod snapshot;
pub(crate) mod spaces;
pub(crate) mod tail;
pub(crate) mod verify;

use crate::{arguments::Command, error::Failure, session::Session};

pub(crate) fn run(command: &Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Demo => demo::run(session),
        Command::Import(arguments) => arguments.run(session),
        Command::Export(arguments) => arguments.run(session),
        Command::Append(arguments) => arguments.run(session),
        Command::Snapshot(arguments) => arguments.run(session),
        Command::Spaces(arguments) => arguments.run(session),
        Command::Diff(arguments) => arguments.run(session),
        Command::Blame(arguments) => arguments.run(session),
        Command::History(arguments) => arguments.run(session),
        Command::Tail(arguments) => arguments.run(session),
        Command::Verify(arguments) => arguments.run(session),
        Command::Info => info::run(session),
    }
}
