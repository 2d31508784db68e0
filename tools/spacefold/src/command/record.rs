//! `spacefold record`

use clap::Args;
use spacefold::{command::Command, event::Object};

use super::service::{self, marks::MarkArgs, operation::parse_object};
use crate::{
    error::Failure,
    session::{CliSession, NewStore},
};

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The space; the event may be its first.
    space: String,

    /// The name of the event's type, such as com.example.comment.added.
    name: String,

    /// What the event says: a JSON object.
    #[arg(default_value = "{}", value_parser = parse_object)]
    payload: Object,

    #[command(flatten)]
    marks: MarkArgs,

    #[command(flatten)]
    new_store: NewStore,
}

impl RecordArgs {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.write(self.new_store)?;
        let (type_name, payload) = (self.name.clone(), self.payload.clone());
        let command = Command::Record { type_name, payload };
        let outcome = store.execute(&self.space, command, &self.marks.told());
        let printed = outcome.and_then(|outcome| service::print(&outcome, session));
        store.close()?;
        printed
    }
}
