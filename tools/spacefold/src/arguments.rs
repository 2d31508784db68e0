//! What may be said on the command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser};

use crate::command::{CliCommand, rebuild};

/// An event-sourced storage engine for information spaces.
#[derive(Debug, Parser)]
#[command(name = "spacefold", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) store: Store,

    /// Print JSON for programs instead of tables for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say on standard error what happens: -v what is worth knowing, -vv more, -vvv everything.
    ///
    /// SPACEFOLD_LOG names a level instead: off, error, warn, info, debug or trace.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// Folds projections again from the first event, compares them, and swaps them in.
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

    /// Say on standard error what happens; SPACEFOLD_LOG names a level instead.
    #[arg(long, short, action = ArgAction::Count)]
    verbose: u8,
}

impl From<RebuildProjections> for Arguments {
    fn from(RebuildProjections { store, rebuild, json, verbose }: RebuildProjections) -> Self {
        Self { store, json, verbose, command: CliCommand::Rebuild(rebuild) }
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
