//! `spacefold activity`

use clap::Args;
use spacefold::{
    event::{TypePattern, TypeSelection},
    projection::{ActivityCount, ActivityFilter, Day},
};

use crate::{
    error::Failure,
    output::{CellTable, number, text},
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct ActivityOf {
    /// From this day on, such as 2026-01-31; days are those of UTC.
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,

    /// Up to this day.
    #[arg(long, value_name = "DAY")]
    to: Option<Day>,

    /// Only events of this type, such as document.added or com.example.*; may be given again.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<TypePattern>,

    /// Only events that have this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl ActivityOf {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_states()?;
        let types = match self.types.as_slice() {
            [] => TypeSelection::ALL,
            types => TypeSelection::of(types.iter().cloned()),
        };
        let tag = self.tag.clone();
        let filter = ActivityFilter { from: self.from, to: self.to, types, tag };
        let counts = store.activity(&filter)?;
        let mut table = CellTable::new().head(["day", "type", "source", "events"]);
        for count in &counts {
            if session.json {
                session.output.json(count)?;
            } else {
                let ActivityCount { day, type_name, source, events } = count;
                let source = source.as_deref().unwrap_or("-");
                let (day, type_name) = (text(day.to_string()), text(type_name));
                table.row([day, type_name, text(source), number(*events)]);
            }
        }
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        store.close()
    }
}
