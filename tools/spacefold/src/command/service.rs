//! `spacefold service`

mod failure;
pub(crate) mod marks;
pub(crate) mod operation;

use clap::Args;

use self::{marks::MarkArgs, operation::OperationArgs};
use crate::{
    door::write_door::{DoneCommand, DoneEvent},
    error::Failure,
    output::grouped,
    session::{CliSession, NewStore},
};

#[derive(Debug, Args)]
pub(crate) struct Service {
    #[command(subcommand)]
    operation: OperationArgs,

    #[command(flatten)]
    marks: MarkArgs,

    #[command(flatten)]
    new_store: NewStore,
}

impl Service {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let operation = self.operation.ready()?;
        let store = if self.operation.creates_a_store() {
            session.write(self.new_store)?
        } else {
            session.write_existing()?
        };
        let outcome = operation.run(&store, &self.marks.told());
        let printed = outcome.and_then(|outcome| print(&outcome, session));
        store.close()?;
        printed
    }
}

/// Prints the events that were recorded: as lines for programs, their places for people.
pub(crate) fn print(outcome: &DoneCommand, session: &mut CliSession) -> Result<(), Failure> {
    if session.json {
        for event in &outcome.events {
            session.output.text_of_json(event.json.get())?;
        }
        return session.output.flush();
    }
    let before = if outcome.is_repeated { ", recorded before under this key" } else { "" };
    if outcome.is_unchanged {
        session.output.line(&format!("nothing changed{before}"))?;
    }
    for DoneEvent { type_name, position, revision, .. } in &outcome.events {
        let (position, revision) = (grouped(*position), grouped(*revision));
        let line = format!("{type_name}: position {position}, revision {revision}{before}");
        session.output.line(&line)?;
    }
    session.output.flush()
}
