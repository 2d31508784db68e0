//! What may be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser};

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

    #[command(subcommand)]
    pub(crate) command: CliCommand,
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
        Self { store, json, command: CliCommand::Rebuild(rebuild) }
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
