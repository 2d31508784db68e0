//! `spacefold activity`

use clap::Args;
use spacefold::{
    EventType,
    event::EventTypes,
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

    /// Only events of this type; may be given again.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<EventType>,
}

impl ActivityOf {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.open_existing()?;
        let types = match self.types.as_slice() {
            [] => EventTypes::ALL,
            types => types.iter().copied().collect(),
        };
        let filter = ActivityFilter { from: self.from, to: self.to, types };
        let counts = store.projections().activity()?.counts(&filter)?;
        let mut table = CellTable::new().head(["day", "type", "source", "events"]);
        for count in &counts {
            if session.json {
                session.output.json(count)?;
            } else {
                let ActivityCount { day, event_type, source, events } = count;
                let source = source.as_deref().unwrap_or("-");
                let (day, event_type) = (text(day.to_string()), text(event_type.name()));
                table.row([day, event_type, text(source), number(*events)]);
            }
        }
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        Ok(store.close()?)
    }
}
