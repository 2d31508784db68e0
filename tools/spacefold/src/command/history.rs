//! `spacefold history`

use clap::Args;
use spacefold::{EventLog, ReadError, Revision};

use super::selection;
use crate::{error::Failure, interrupt, session::Session};

const PAGE_EVENTS: usize = 1_024;

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The id of the space.
    #[arg(value_name = "SPACE")]
    space_id: String,

    /// Only events about this document.
    #[arg(long, value_name = "ID")]
    document: Option<String>,
}

impl History {
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let store = session.open_existing()?;
        let last = selection::check_space(&store, &self.space_id)?;
        let mut next = Revision::NONE.next();
        let mut line = String::new();
        while next <= last {
            interrupt::check()?;
            let page = store.log().read_space(&self.space_id, next, PAGE_EVENTS)?;
            let Some(end) = page.envelopes().last().map(|envelope| envelope.revision) else {
                break;
            };
            for envelope in page.envelopes() {
                let position = envelope.position;
                let event =
                    envelope.decode().map_err(|cause| ReadError::Corrupt { position, cause })?;
                let document = self.document.as_deref();
                if document.is_none_or(|id| event.payload.names_document(id)) {
                    line.clear();
                    event.write_json(&mut line);
                    session.output.line(&line)?;
                }
            }
            next = end.next();
        }
        session.output.flush()?;
        Ok(store.close()?)
    }
}
