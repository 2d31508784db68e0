//! `spacefold where`

use clap::Args;
use serde::Serialize;
use spacefold::{Occurrence, Position};

use crate::{
    error::Failure,
    output::{Table, number, text},
    session::Session,
};

#[derive(Debug, Args)]
pub(crate) struct WhereIs {
    /// The content hash.
    hash: String,

    /// Only where it was as of this position.
    #[arg(long, value_name = "N", conflicts_with = "now")]
    at: Option<u64>,

    /// Only where it is now.
    #[arg(long)]
    now: bool,
}

#[derive(Serialize)]
struct Printed<'a> {
    space_id: &'a str,
    document_id: &'a str,
    from: u64,
    until: Option<u64>,
}

impl WhereIs {
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let store = session.open_existing()?;
        let head = store.durable_head();
        let at = match (self.at.map(Position::new), self.now) {
            (Some(at), _) if at > head => return Err(Failure::beyond_head(at, head)),
            (Some(at), _) => Some(at),
            (None, true) => Some(head),
            (None, false) => None,
        };
        let mut found = store.occurrences(&self.hash)?;
        found.retain(|occurrence| at.is_none_or(|at| occurrence.is_at(at)));
        let mut table = Table::new().head(["space", "document", "from", "until"]);
        for Occurrence { space_id, document_id, from, until } in &found {
            let (from, until) = (from.get(), until.map(Position::get));
            if session.json {
                session.output.json(&Printed { space_id, document_id, from, until })?;
            } else {
                let until = until.map_or_else(|| text("now"), number);
                table.row([text(space_id), text(document_id), number(from), until]);
            }
        }
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        Ok(store.close()?)
    }
}
