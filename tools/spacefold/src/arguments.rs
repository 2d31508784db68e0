//! What may be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command::{
    activity, append, blame, checkout, content, diff, export, history, import, import_git,
    problems, rebuild, service, snapshot, spaces, tail, verify, where_is,
};

/// An event-sourced storage engine for information spaces.
#[derive(Debug, Parser)]
#[command(name = "spacefold", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) store: Store,

    /// Print JSON for programs instead of tables for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Folds projections anew from the first event, compares them, and swaps them in.
#[derive(Debug, Parser)]
#[command(name = "rebuild-projections", version)]
pub(crate) struct RebuildProjections {
    #[command(flatten)]
    store: Store,

    #[command(flatten)]
    rebuild: rebuild::Rebuild,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl From<RebuildProjections> for Arguments {
    fn from(RebuildProjections { store, rebuild, json }: RebuildProjections) -> Self {
        Self { store, json, command: Command::Rebuild(rebuild) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The folder of the store.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SPACEFOLD_DATA",
        hide_env_values = true,
        default_value = "./spacefold-data"
    )]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A guided tour on a real history, in a temporary folder.
    Demo,
    /// Import events from JSON lines, plain, gzip or zstd; those stored already are skipped.
    Import(import::Import),
    /// Print events as JSON lines.
    Export(export::Export),
    /// Append new events from JSON lines as they arrive.
    Append(append::AppendEvents),
    /// Command a space: each operation is checked against its state and recorded as an event.
    Service(service::Service),
    /// Print the state of a space, now or at an earlier position or time.
    Snapshot(snapshot::SnapshotOf),
    /// List the spaces.
    Spaces(spaces::Spaces),
    /// Print what changed in a space between two positions or times.
    Diff(diff::Diff),
    /// Which event gave each document, variable and reference the value that it has.
    Blame(blame::BlameOf),
    /// Print the events of a space or of one document.
    History(history::History),
    /// Print the newest events.
    Tail(tail::Tail),
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
    /// Fold projections anew from the first event, compare them, and swap them in.
    Rebuild(rebuild::Rebuild),
    /// Show the store at a glance.
    Info,
    /// Store, print and clear away the content of documents.
    Content(content::Content),
    /// Import the history of a git repository; what was imported before is skipped.
    ///
    /// Nothing is fetched, no setting of the repository counts, and no program that it names is run.
    /// No file is held in memory whole, but by git where a pack keeps one as a difference to
    /// another, and where a commit may have renamed one with changes.
    ImportGit(import_git::ImportGit),
    /// Write the documents of a space as files.
    Checkout(checkout::Checkout),
}
