//! The commands, one module each.

pub(crate) mod activity;
pub(crate) mod append;
pub(crate) mod blame;
pub(crate) mod checkout;
pub(crate) mod content;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod import_git;
pub(crate) mod info;
pub(crate) mod problems;
pub(crate) mod rebuild;
pub(crate) mod selection;
pub(crate) mod service;
pub(crate) mod snapshot;
pub(crate) mod spaces;
pub(crate) mod tail;
pub(crate) mod verify;
pub(crate) mod where_is;

use crate::{arguments::Command, error::Failure, session::Session};

pub(crate) fn run(command: &Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Demo => demo::run(session),
        Command::Import(arguments) => arguments.run(session),
        Command::Export(arguments) => arguments.run(session),
        Command::Append(arguments) => arguments.run(session),
        Command::Service(arguments) => arguments.run(session),
        Command::Snapshot(arguments) => arguments.run(session),
        Command::Spaces(arguments) => arguments.run(session),
        Command::Diff(arguments) => arguments.run(session),
        Command::Blame(arguments) => arguments.run(session),
        Command::History(arguments) => arguments.run(session),
        Command::Tail(arguments) => arguments.run(session),
        Command::Where(arguments) => arguments.run(session),
        Command::Activity(arguments) => arguments.run(session),
        Command::Problems(arguments) => arguments.run(session),
        Command::Verify(arguments) => arguments.run(session),
        Command::Rebuild(arguments) => arguments.run(session),
        Command::Info => info::run(session),
        Command::Content(arguments) => arguments.run(session),
        Command::ImportGit(arguments) => arguments.run(session),
        Command::Checkout(arguments) => arguments.run(session),
    }
}
