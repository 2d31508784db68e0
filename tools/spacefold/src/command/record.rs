//! `spacefold record`

use clap::Args;
use spacefold::{Folding, event::Object};

use super::service::{self, marks::CommandMarks, operation::parse_object};
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
    marks: CommandMarks,

    #[command(flatten)]
    new_store: NewStore,
}

impl RecordArgs {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.open(Folding::OnDemand, self.new_store)?;
        let service = self.marks.of(store.service());
        let outcome = service.record(&self.space, &*self.name, self.payload.clone());
        let printed =
            outcome.map_err(Failure::from).and_then(|outcome| service::print(&outcome, session));
        store.close()?;
        printed
    }
}
