//! `spacefold where`

use clap::Args;
use spacefold::{Position, projection::Occurrence};

use crate::{
    error::Failure,
    output::{CellTable, number, text},
    session::CliSession,
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

impl WhereIs {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_states()?;
        let head = store.durable_head()?;
        let at = match (self.at.map(Position::new), self.now) {
            (Some(at), _) if at > head => return Err(Failure::beyond_head(at, head)),
            (Some(at), _) => Some(at),
            (None, true) => Some(head),
            (None, false) => None,
        };
        let mut found = store.occurrences(&self.hash)?;
        found.retain(|occurrence| at.is_none_or(|at| occurrence.is_at(at)));
        let mut table = CellTable::new().head(["space", "document", "from", "until"]);
        for occurrence in &found {
            if session.json {
                session.output.json(occurrence)?;
            } else {
                let Occurrence { space_id, document_id, from, until } = occurrence;
                let until = until.map_or_else(|| text("now"), |until| number(until.get()));
                table.row([text(space_id), text(document_id), number(from.get()), until]);
            }
        }
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        store.close()
    }
}
