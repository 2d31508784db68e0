//! `spacefold spaces`

use clap::Args;
use serde::Serialize;
use spacefold::Position;
use spacefold_event_core::bytes::to_u64;

use crate::{
    error::Failure,
    interrupt,
    output::{CellTable, number, text},
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct Spaces {
    /// As of this position.
    #[arg(long, value_name = "N")]
    at: Option<u64>,
}

#[derive(Serialize)]
struct PrintedSpace<'a> {
    space_id: &'a str,
    name: Option<&'a str>,
    status: String,
    revision: u64,
    documents: usize,
    updated_at: String,
}

impl Spaces {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_states()?;
        let snapshots = match self.at {
            Some(at) => store.at(Position::new(at)).snapshots()?,
            None => store.snapshots(),
        };
        let titles = ["space", "name", "status", "revision", "documents", "updated"];
        let mut table = CellTable::new().head(titles);
        for snapshot in snapshots {
            interrupt::check()?;
            let snapshot = snapshot?;
            let printed = PrintedSpace {
                space_id: snapshot.space_id(),
                name: snapshot.name(),
                status: snapshot.status().to_string(),
                revision: snapshot.revision().get(),
                documents: snapshot.document_count(),
                updated_at: snapshot.updated_at().to_string(),
            };
            if session.json {
                session.output.json(&printed)?;
                continue;
            }
            table.row([
                text(printed.space_id),
                text(printed.name.unwrap_or("-")),
                text(printed.status),
                number(printed.revision),
                number(to_u64(printed.documents)),
                text(printed.updated_at),
            ]);
            session.output.many_rows(&mut table)?;
        }
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        Ok(store.close()?)
    }
}
