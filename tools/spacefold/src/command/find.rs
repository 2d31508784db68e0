//! `spacefold find`

use clap::Args;
use spacefold::EventId;

use crate::{
    error::{Failure, Status},
    session::CliSession,
};

#[derive(Debug, Args)]
pub(crate) struct FindEvent {
    /// The id of the event, a UUID.
    event_id: EventId,
}

impl FindEvent {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_log()?;
        let Some(event) = store.find_event(self.event_id)? else {
            return Err(Failure::new(
                Status::Unknown,
                format_args!("there is no event {}", self.event_id),
                "in the whole log",
                "`spacefold history SPACE` prints the events of a space with their ids",
            ));
        };
        session.output.text_of_json(&event)?;
        session.output.flush()?;
        store.close()
    }
}
