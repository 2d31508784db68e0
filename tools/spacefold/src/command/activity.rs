//! `spacefold activity`

use clap::Args;
use serde::Serialize;
use spacefold::{ActivityCount, ActivityFilter, Day, EventType, EventTypes};

use crate::{
    error::Failure,
    output::{Table, number, text},
    session::Session,
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

#[derive(Serialize)]
struct Printed<'a> {
    day: String,
    event_type: &'static str,
    source: Option<&'a str>,
    events: u64,
}

impl ActivityOf {
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let store = session.open_existing()?;
        let types = match self.types.as_slice() {
            [] => EventTypes::ALL,
            types => types.iter().copied().collect(),
        };
        let filter = ActivityFilter { from: self.from, to: self.to, types };
        let counts = store.activity()?.counts(&filter)?;
        let mut table = Table::new().head(["day", "type", "source", "events"]);
        for ActivityCount { day, event_type, source, events } in &counts {
            let (day, source, events) = (day.to_string(), source.as_deref(), *events);
            let event_type = event_type.name();
            if session.json {
                session.output.json(&Printed { day, event_type, source, events })?;
            } else {
                let source = source.unwrap_or("-");
                table.row([text(day), text(event_type), text(source), number(events)]);
            }
        }
        if !session.json {
            session.output.table(&table)?;
        }
        session.output.flush()?;
        Ok(store.close()?)
    }
}
