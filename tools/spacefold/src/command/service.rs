//! `spacefold service`

mod failure;
pub(crate) mod marks;
pub(crate) mod operation;

use clap::Args;
use spacefold::{Folding, command::Outcome};

use self::{marks::CommandMarks, operation::OperationArgs};
use crate::{
    error::Failure,
    output::grouped,
    session::{CliSession, NewStore},
};

#[derive(Debug, Args)]
pub(crate) struct Service {
    #[command(subcommand)]
    operation: OperationArgs,

    #[command(flatten)]
    marks: CommandMarks,

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
        let outcome = operation.run(&self.marks.of(store.service()));
        let printed = outcome.map_err(Failure::from).and_then(|outcome| print(&outcome, session));
        store.close()?;
        printed
    }
}

/// Prints the events that were recorded: as lines for programs, their places for people.
pub(crate) fn print(outcome: &Outcome, session: &mut CliSession) -> Result<(), Failure> {
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
