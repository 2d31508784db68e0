//! The commands, one module each.

pub(crate) mod activity;
pub(crate) mod append;
pub(crate) mod backup;
pub(crate) mod blame;
pub(crate) mod checkout;
pub(crate) mod content;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod find;
pub(crate) mod fork;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod import_git;
pub(crate) mod info;
pub(crate) mod problems;
pub(crate) mod pull;
pub(crate) mod rebuild;
pub(crate) mod record;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod salvage;
pub(crate) mod selection;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod snapshot;
pub(crate) mod spaces;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod verify;
pub(crate) mod where_is;

use clap::Subcommand;

use crate::{error::Failure, session::CliSession};

#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// A guided tour on a real history, in a temporary folder.
    Demo(demo::Demo),
    /// Import events from JSON lines, plain, gzip or zstd; those stored already are skipped.
    Import(import::Import),
    /// Print events as JSON lines.
    Export(export::Export),
    /// Append new events from JSON lines as they arrive.
    Append(append::AppendEvents),
    /// Command a space: each operation is checked against its state and recorded as an event.
    Service(service::Service),
    /// Record an event of the application's own in a space, which no state takes in.
    Record(record::RecordArgs),
    /// Print the state of a space, now or at an earlier position or time.
    Snapshot(snapshot::SnapshotOf),
    /// List the spaces.
    Spaces(spaces::Spaces),
    /// Print what changed in a space between two positions or times.
    Diff(diff::Diff),
    /// Which event gave each document, variable and reference the value that it has.
    Blame(blame::BlameOf),
    /// Print the events of a space or of one document.
    History(history::HistoryArgs),
    /// Print an event by its id.
    Find(find::FindEvent),
    /// Print the newest events.
    Tail(tail::TailArgs),
    /// Print where a content is and was, by its hash: in which documents, from when to when.
    Where(where_is::WhereIs),
    /// Print how many events there were, by day, type and source.
    Activity(activity::ActivityOf),
    /// List failed renders, open sync conflicts, stale documents, and renders and synchronisations that
    /// run.
    ///
    /// What runs is listed from its start on, with who started it: whether it still does, the store
    /// cannot know. One whose process is gone is ended or taken over by `spacefold service`.
    Problems(problems::Problems),
    /// Check every copy of the data against the others.
    Verify(verify::Verify),
    /// Fold projections again from the first event, compare them, and swap them in.
    Rebuild(rebuild::Rebuild),
    /// Look at a store and what it is on: disk, room, limits, clock, lag; says what to change.
    ///
    /// A file is written and synced several times in the folder, and removed. Exit 0: nothing is wrong; 1:
    /// something is; 3: the store is damaged.
    Doctor(doctor::Doctor),
    /// Mend a damaged store in its place, from what is whole here or in another copy of it.
    ///
    /// Sled's copy, indexes, states and rows are rebuilt from the log. Whatever is replaced is set
    /// aside until you delete it. Exit 3: it cannot be mended, and nothing was changed.
    Repair(repair::Repair),
    /// Take everything that is whole out of a damaged folder into a new store, with an account of the
    /// rest.
    ///
    /// The folder may be in any condition, such as a copy made while the store was written: nothing is
    /// changed in it. Events keep id, space, time, tags, origin and order. Exit 0: nothing is missing;
    /// 3: something is, as the account says.
    Salvage(salvage::Salvage),
    /// Make a store of its own id with the same events at the same positions, encoded again.
    Fork(fork::ForkStore),
    /// Take over whole spaces of another store that were never changed here, as far as they are not here
    /// yet.
    ///
    /// Events keep id, time, tags and order, and get where they come from as their origin; the content that
    /// they name comes along. Of a space that went a way of its own here nothing is pulled. Run again, what
    /// has come since follows. Exit 3: content is lacking in the other store.
    Pull(pull::Pull),
    /// Show the store at a glance.
    Info,
    /// Store, print and clear away the content of documents.
    Content(content::ContentArgs),
    /// Import the history of a git repository; what was imported before is skipped.
    ///
    /// Nothing is fetched, no setting of the repository counts, and no program that it names is run.
    /// No file is held in memory whole, but by git where a pack keeps one as a difference to
    /// another, and where a commit may have renamed one with changes.
    ImportGit(import_git::ImportGit),
    /// Write the documents of a space as files.
    Checkout(checkout::Checkout),
    /// Back the store up, open or not: to a folder, in proportion to what is new.
    Backup(backup::Backup),
    /// Make a store of a backup, as it was at its end, a position or a time.
    Restore(restore::Restore),
    /// Serve the store over HTTP and through its socket, until Ctrl-C or SIGTERM.
    ///
    /// Who asks over HTTP needs a token, which `spacefold token create` makes; who asks through the socket
    /// has to be the same user. At the end streams are closed, what is under way is answered, and the
    /// store is closed; pressed again, Ctrl-C ends at once, and what was acknowledged is stored.
    Serve(serve::Serve),
    /// Make, list and revoke the tokens that `serve` lets in.
    Token(token::TokenArgs),
}

impl CliCommand {
    /// What it is called, where it takes the folder of a store: no server does it.
    const fn of_folders(&self) -> Option<&'static str> {
        Some(match self {
            Self::Demo(_) => "demo",
            Self::Import(_) => "import",
            Self::Verify(_) => "verify",
            Self::Rebuild(_) => "rebuild",
            Self::Doctor(_) => "doctor",
            Self::Repair(_) => "repair",
            Self::Salvage(_) => "salvage",
            Self::Fork(_) => "fork",
            Self::Pull(_) => "pull",
            Self::ImportGit(_) => "import-git",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            _ => return None,
        })
    }

    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        if let (Some(server), Some(name)) = (session.server(), self.of_folders()) {
            return Err(Failure::through_no_server(name, server.endpoint()));
        }
        match self {
            Self::Demo(arguments) => arguments.run(session),
            Self::Import(arguments) => arguments.run(session),
            Self::Export(arguments) => arguments.run(session),
            Self::Append(arguments) => arguments.run(session),
            Self::Service(arguments) => arguments.run(session),
            Self::Record(arguments) => arguments.run(session),
            Self::Snapshot(arguments) => arguments.run(session),
            Self::Spaces(arguments) => arguments.run(session),
            Self::Diff(arguments) => arguments.run(session),
            Self::Blame(arguments) => arguments.run(session),
            Self::History(arguments) => arguments.run(session),
            Self::Find(arguments) => arguments.run(session),
            Self::Tail(arguments) => arguments.run(session),
            Self::Where(arguments) => arguments.run(session),
            Self::Activity(arguments) => arguments.run(session),
            Self::Problems(arguments) => arguments.run(session),
            Self::Verify(arguments) => arguments.run(session),
            Self::Rebuild(arguments) => arguments.run(session),
            Self::Doctor(arguments) => arguments.run(session),
            Self::Repair(arguments) => arguments.run(session),
            Self::Salvage(arguments) => arguments.run(session),
            Self::Fork(arguments) => arguments.run(session),
            Self::Pull(arguments) => arguments.run(session),
            Self::Info => info::run(session),
            Self::Content(arguments) => arguments.run(session),
            Self::ImportGit(arguments) => arguments.run(session),
            Self::Checkout(arguments) => arguments.run(session),
            Self::Backup(arguments) => arguments.run(session),
            Self::Restore(arguments) => arguments.run(session),
            Self::Serve(arguments) => arguments.run(session),
            Self::Token(arguments) => arguments.run(session),
        }
    }
}
