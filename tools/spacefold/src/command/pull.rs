//! `spacefold pull`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use spacefold::{
    CachePlace, Folding, FollowedStore, Options,
    admin::{PullError, PullReport, PullSource},
};
use spacefold_client::Endpoint;

use super::salvage::with_progress;
use crate::{
    error::{Failure, Status},
    output::{CellTable, grouped, text},
    server_client::client,
    session::{CliSession, NewStore},
};

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// The folder of the other store, which another process may have open, or the URL of its server.
    #[arg(value_name = "FROM")]
    from: String,

    /// The spaces.
    #[arg(long, value_name = "SPACE", required = true, num_args = 1..)]
    spaces: Vec<String>,

    /// The file of the token that the server of the other store is told; SPACEFOLD_TOKEN has the token
    /// itself.
    #[arg(long, value_name = "FILE")]
    from_token_file: Option<PathBuf>,

    #[command(flatten)]
    new: NewStore,
}

#[derive(Serialize)]
struct PrintedPull<'r> {
    events: u64,
    contents: u64,
    lacking: u64,
    spaces: Vec<PrintedPulledSpace<'r>>,
}

#[derive(Serialize)]
struct PrintedPulledSpace<'r> {
    space_id: &'r str,
    before: u64,
    revision: u64,
}

/// What is pulled from.
enum PulledFrom {
    Folder(Box<FollowedStore>),
    Server(spacefold_client::Client),
}

impl PulledFrom {
    fn source(&self) -> &dyn PullSource {
        match self {
            Self::Folder(store) => &***store,
            Self::Server(client) => client,
        }
    }
}

impl Pull {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let from = self.from()?;
        let spaces = session.open(Folding::OnDemand, self.new)?;
        let pulled =
            with_progress("pulling", |goes_on| spaces.pull(from.source(), &self.spaces, goes_on));
        let closed = spaces.close();
        let report = pulled.map_err(|error| self.failed(error))?;
        closed?;
        self.print(&report, session)?;
        match report.lacking {
            0 => Ok(()),
            lacking => Err(Failure::new(
                Status::Damaged,
                format_args!("{lacking} contents that events name are not in the other store"),
                &self.from,
                "all events are pulled; pulled again, the contents follow if they are there by then",
            )),
        }
    }

    fn from(&self) -> Result<PulledFrom, Failure> {
        if ["http://", "https://"].iter().any(|scheme| self.from.starts_with(scheme)) {
            let endpoint: Endpoint = self.from.parse().map_err(|error| {
                Failure::new(Status::Usage, error, &self.from, "name the URL of a server")
            })?;
            return Ok(PulledFrom::Server(client(endpoint, self.from_token_file.as_deref())?));
        }
        let path = Path::new(&self.from);
        let store = Options::new(path).folding(Folding::OnDemand).cache(CachePlace::Memory);
        Ok(PulledFrom::Folder(Box::new(store.follow()?)))
    }

    fn print(&self, report: &PullReport, session: &mut CliSession) -> Result<(), Failure> {
        if session.json {
            let spaces = report.spaces.iter().map(|space| PrintedPulledSpace {
                space_id: &space.space_id,
                before: space.before.get(),
                revision: space.revision.get(),
            });
            let PullReport { events, contents, lacking, .. } = *report;
            let printed = PrintedPull { events, contents, lacking, spaces: spaces.collect() };
            session.output.json(&printed)?;
        } else {
            let (events, contents) = (grouped(report.events), grouped(report.contents));
            session.output.line(&format!("pulled {events} events, {contents} contents"))?;
            let mut table = CellTable::new();
            for space in &report.spaces {
                let revisions = format!("revision {} to {}", space.before, space.revision);
                table.row([text(&*space.space_id), text(revisions)]);
            }
            session.output.table(&table)?;
        }
        session.output.flush()
    }

    fn failed(&self, error: PullError) -> Failure {
        let again = "what was pulled is stored; run the command again for the rest";
        match error {
            PullError::Append(error) => error.into(),
            PullError::Read(error) => error.into(),
            PullError::Content(error) => error.into(),
            PullError::UnknownSpace { .. } => {
                let hint = "nothing was pulled; `spacefold spaces` lists those of a store";
                Failure::new(Status::Unknown, error, &self.from, hint)
            }
            PullError::SameStore => {
                Failure::new(Status::Usage, error, &self.from, "name another store")
            }
            PullError::Changed { .. } => {
                let hint = "nothing was pulled: bring over what you want of it by `spacefold service`, or \
                            leave the space out";
                Failure::new(Status::Failed, error, &self.from, hint)
            }
            PullError::Stopped => Failure::new(Status::Interrupted, error, &self.from, again),
            error => Failure::caused(&error, &self.from, again),
        }
    }
}
