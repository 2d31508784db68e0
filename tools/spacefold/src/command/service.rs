//! `spacefold service`

mod failure;
mod operation;

use clap::Args;
use spacefold::{Folding, SpaceService, command::Outcome};

use self::operation::OperationArgs;
use crate::{
    error::Failure,
    output::grouped,
    session::{CliSession, NewStore},
};

#[derive(Debug, Args)]
pub(crate) struct Service {
    #[command(subcommand)]
    operation: OperationArgs,

    /// Who does it: goes into the event.
    #[arg(long, global = true, value_name = "SOURCE")]
    source: Option<String>,

    /// What it belongs to: goes into the event.
    #[arg(long, global = true, value_name = "ID")]
    correlation_id: Option<String>,

    /// An idempotency key of your choice: repeated under the same key, the command emits nothing
    /// and answers as the first time.
    #[arg(long, global = true, value_name = "KEY")]
    key: Option<String>,

    #[command(flatten)]
    new_store: NewStore,
}

impl Service {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let operation = self.operation.ready()?;
        let store = if self.operation.creates_a_store() {
            session.open(Folding::OnDemand, self.new_store)?
        } else {
            session.open_existing()?
        };
        let outcome = operation.run(&self.marked(store.service()));
        let printed = outcome.map_err(Failure::from).and_then(|outcome| print(&outcome, session));
        store.close()?;
        printed
    }

    /// The service as the options say.
    fn marked(&self, service: &SpaceService) -> SpaceService {
        let mut service = service.clone();
        if let Some(source) = &self.source {
            service = service.with_source(source);
        }
        if let Some(correlation_id) = &self.correlation_id {
            service = service.with_correlation_id(correlation_id);
        }
        if let Some(key) = &self.key {
            service = service.with_key(key.as_str());
        }
        service
    }
}

/// Prints the events that were recorded: as lines for programs, their places for people.
fn print(outcome: &Outcome, session: &mut CliSession) -> Result<(), Failure> {
    if session.json {
        for event in outcome.events() {
            session.output.json(event)?;
        }
        return session.output.flush();
    }
    let before = if outcome.is_repeated() { ", recorded before under this key" } else { "" };
    if outcome.is_unchanged() {
        session.output.line(&format!("nothing changed{before}"))?;
    }
    for event in outcome.events() {
        let (position, revision) = (grouped(event.position.get()), grouped(event.revision.get()));
        let event_type = event.event.type_name();
        session
            .output
            .line(&format!("{event_type}: position {position}, revision {revision}{before}"))?;
    }
    session.output.flush()
}
