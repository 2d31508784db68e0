//! `spacefold blame`

use clap::Args;
use serde::Deserialize;
use spacefold::Timestamp;

use super::selection;
use crate::{
    error::{Failure, Status},
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
        selection::check_space(&*store, &self.space_id)?;
        let position = selection::moment(&*store, self.at, self.as_of)?;
        let position = match position {
            Some(position) => position,
            None => store.durable_head()?,
        };
        let blame = store.blame(&self.space_id, position)?;
        if session.json {
            session.output.json(&blame)?;
        } else {
            let read = serde_json::from_value::<PrintedBlame>(blame);
            let blame = read.map_err(|error| {
                let hint = "`spacefold blame --json` prints it as it is";
                Failure::new(Status::Failed, error, "what the events are to blame for", hint)
            })?;
            session.output.table(&table_of(&blame))?;
        }
        session.output.flush()?;
        store.close()
    }
}

/// What a `Blame` is printed as, as far as people are told.
#[derive(Deserialize)]
struct PrintedBlame {
    documents: Vec<BlamedDocument>,
    variables: Vec<BlamedVariable>,
    references: Vec<BlamedReference>,
}

#[derive(Deserialize)]
struct BlamedDocument {
    document_id: String,
    path: BlamedPlace,
    content: Option<BlamedPlace>,
    attributes: Option<BlamedPlace>,
}

#[derive(Deserialize)]
struct BlamedVariable {
    name: String,
    set: BlamedPlace,
}

#[derive(Deserialize)]
struct BlamedReference {
    document_id: String,
    target: String,
    added: BlamedPlace,
}

/// An event that is to blame.
#[derive(Deserialize)]
struct BlamedPlace {
    position: u64,
    recorded_at: String,
    event_id: String,
}

fn table_of(blame: &PrintedBlame) -> CellTable {
    let mut table = CellTable::new().head(["what", "of", "position", "recorded at", "event"]);
    let mut row = |what: &str, of: &str, event: &BlamedPlace| {
        table.row([
            text(what),
            text(of),
            number(event.position),
            text(&event.recorded_at),
            text(&event.event_id),
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
        let of = format!("{} -> {}", reference.document_id, reference.target);
        row("reference", &of, &reference.added);
    }
    table
}
