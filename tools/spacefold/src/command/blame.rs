//! `spacefold blame`

use clap::Args;
use spacefold::{
    Timestamp,
    state::{Blame, BlamedEvent},
};

use super::selection;
use crate::{
    error::Failure,
    output::{CellTable, number, text},
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct BlameOf {
    /// The id of the space.
    #[arg(value_name = "SPACE")]
    space_id: String,

    /// As of this position.
    #[arg(long, value_name = "N", conflicts_with = "as_of")]
    at: Option<u64>,

    /// As of this time, such as 2015-12-11T22:50:02+00:00; a date alone is its first instant in UTC.
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
}

impl BlameOf {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_states()?;
        selection::check_space(&store, &self.space_id)?;
        let position = selection::moment(&store, self.at, self.as_of)?;
        let position = position.unwrap_or_else(|| store.durable_head());
        let blame = store
            .at(position)
            .blame(&self.space_id)
            .map_err(|error| Failure::of_state_at(error, position))?;
        if session.json {
            // As a value, so that its keys are sorted.
            session.output.json(&serde_json::to_value(&blame).expect("a blame is valid JSON"))?;
        } else {
            session.output.table(&table_of(&blame))?;
        }
        session.output.flush()?;
        Ok(store.close()?)
    }
}

fn table_of(blame: &Blame) -> CellTable {
    let mut table = CellTable::new().head(["what", "of", "position", "recorded at", "event"]);
    let mut row = |what: &str, of: &str, event: &BlamedEvent| {
        table.row([
            text(what),
            text(of),
            number(event.position.get()),
            text(event.recorded_at.to_string()),
            text(event.event_id.to_string()),
        ]);
    };
    for document in &blame.documents {
        row("path", &document.document_id, &document.path);
        for (what, event) in [("content", &document.content), ("attributes", &document.attributes)]
        {
            if let Some(event) = event {
                row(what, &document.document_id, event);
            }
        }
    }
    for variable in &blame.variables {
        row("variable", &variable.name, &variable.set);
    }
    for reference in &blame.references {
        let of = format!("{} -> {}", reference.document_id, reference.reference.target);
        row("reference", &of, &reference.added);
    }
    table
}
