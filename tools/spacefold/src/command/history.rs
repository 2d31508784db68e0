//! `spacefold history`

use clap::Args;
use spacefold::{Position, event::EventFilter};

use crate::{error::Failure, session::CliSession};

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct HistoryArgs {
    /// The id of the space; every space where none is named.
    #[arg(value_name = "SPACE")]
    space_id: Option<String>,

    /// Only events about this document.
    #[arg(long, value_name = "ID")]
    document: Option<String>,

    /// Only events that have this tag; given several times, all of them.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// Only events of this source.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
}

impl HistoryArgs {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_log()?;
        if let Some(space_id) = &self.space_id
            && !store.has_space(space_id)?
        {
            return Err(Failure::unknown_space(space_id, "as of the position or time asked for"));
        }
        let range = (Position::START.next(), store.durable_head()?);
        store.events(range, &self.filter(), &mut |lines| session.output.bytes(lines.text))?;
        session.output.flush()?;
        store.close()
    }

    fn filter(&self) -> EventFilter {
        let mut filter = EventFilter::all().tags(&self.tags);
        if let Some(space_id) = &self.space_id {
            filter = filter.spaces([space_id]);
        }
        if let Some(document_id) = &self.document {
            filter = filter.document(document_id);
        }
        if let Some(source) = &self.source {
            filter = filter.source(source);
        }
        filter
    }
}
