//! What may be said on the command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser};
use spacefold_client::{Client, Endpoint};

use crate::{
    command::{CliCommand, rebuild},
    error::{Failure, Status},
    server_client::client,
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
    data: PathBuf,

    /// The URL of a server of the store, instead of its folder, such as http://127.0.0.1:7353.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SPACEFOLD_URL",
        hide_env_values = true,
        conflicts_with = "data"
    )]
    url: Option<Endpoint>,

    /// The file of the token that the server is told; SPACEFOLD_TOKEN has the token itself.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Store {
    /// The folder of the store, and the server that is asked instead.
    pub(crate) fn place(self) -> Result<(PathBuf, Option<Client>), Failure> {
        let Some(endpoint) = self.url else {
            return match self.token_file {
                Some(path) => {
                    let (what, hint) = ("a token is for a server", "name the server with --url");
                    Err(Failure::new(Status::Usage, what, path.display(), hint))
                }
                None => Ok((self.data, None)),
            };
        };
        let client = client(endpoint, self.token_file.as_deref())?;
        Ok((self.data, Some(client)))
    }
}
