//! `spacefold blame`

use clap::Args;
use serde_json::{Value, json};
use spacefold::{Blame, BlamedEvent, DocumentBlame, Timestamp};

use super::selection;
use crate::{
    error::Failure,
    output::{Table, number, text},
    session::Session,
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
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let store = session.open_existing()?;
        selection::check_space(&store, &self.space_id)?;
        let position = selection::moment(&store, self.at, self.as_of)?;
        let position = position.unwrap_or_else(|| store.durable_head());
        let blame = store
            .blame(&self.space_id, position)
            .map_err(|error| Failure::of_state_at(error, position))?;
        if session.json {
            session.output.json_line(&json_of(&blame).to_string())?;
        } else {
            session.output.table(&table_of(&blame))?;
        }
        session.output.flush()?;
        Ok(store.close()?)
    }
}

fn json_of(blame: &Blame) -> Value {
    let document = |document: &DocumentBlame| {
        json!({
            "document_id": document.document_id,
            "path": event(&document.path),
            "content": document.content.as_ref().map(event),
            "attributes": document.attributes.as_ref().map(event),
        })
    };
    let variables = blame.variables.iter();
    let references = blame.references.iter();
    json!({
        "space_id": blame.space_id,
        "position": blame.position.get(),
        "documents": blame.documents.iter().map(document).collect::<Vec<_>>(),
        "variables": variables
            .map(|variable| json!({"name": variable.name, "set": event(&variable.set)}))
            .collect::<Vec<_>>(),
        "references": references
            .map(|reference| json!({
                "document_id": reference.document_id,
                "target": reference.reference.target,
                "kind": reference.reference.kind,
                "added": event(&reference.added),
            }))
            .collect::<Vec<_>>(),
    })
}

fn event(event: &BlamedEvent) -> Value {
    json!({
        "position": event.position.get(),
        "event_id": event.event_id.to_string(),
        "recorded_at": event.recorded_at.to_string(),
    })
}

fn table_of(blame: &Blame) -> Table {
    let mut table = Table::new().head(["what", "of", "position", "recorded at", "event"]);
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
