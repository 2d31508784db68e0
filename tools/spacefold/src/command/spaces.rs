//! `spacefold spaces`

use clap::Args;
use spacefold::Position;

use crate::{
    error::Failure,
    output::{CellTable, number, text},
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct Spaces {
    /// As of this position.
    #[arg(long, value_name = "N")]
    at: Option<u64>,
}

impl Spaces {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_states()?;
        let titles = ["space", "name", "status", "revision", "documents", "updated"];
        let mut table = CellTable::new().head(titles);
        store.spaces(self.at.map(Position::new), &mut |space| {
            if session.json {
                return session.output.json(&space);
            }
            table.row([
                text(&space.space_id),
                text(space.name.as_deref().unwrap_or("-")),
                text(&space.status),
                number(space.revision),
                number(space.documents),
                text(&space.updated_at),
            ]);
            session.output.many_rows(&mut table)
        })?;
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        store.close()
    }
}
