//! A server as what spaces are pulled from.

use std::io;

use spacefold::{
    Position,
    admin::{PullError, PullSource, PulledStore},
    content::{ContentError, ContentHash, ContentReader},
    event::{EventFilter, RecordedEvent, id_of_text},
};

use crate::{client::Client, client_error::ClientError, server_problem::ServerProblem};

fn unread(error: ClientError) -> PullError {
    PullError::Source(Box::new(error))
}

impl PullSource for Client {
    fn store(&self) -> Result<PulledStore, PullError> {
        let store = Self::store(self).map_err(unread)?;
        let id = |text: &str| {
            let what =
                || io::Error::other(format!("the server has the id {text:?}, which is none"));
            id_of_text(text).ok_or_else(|| PullError::Source(Box::new(what())))
        };
        Ok(PulledStore {
            store_id: id(&store.store_id)?,
            timeline: id(&store.timeline)?,
            durable_head: store.durable_head,
        })
    }

    fn events(
        &self,
        space_ids: &[String],
        to: Position,
        take: &mut dyn FnMut(RecordedEvent) -> Result<(), PullError>,
    ) -> Result<(), PullError> {
        if to == Position::START {
            return Ok(());
        }
        let filter = EventFilter::all().spaces(space_ids.iter().cloned());
        for line in Self::events(self, filter.into(), Position::START, Some(to)).map_err(unread)? {
            take(line.and_then(|line| line.event()).map_err(unread)?)?;
        }
        Ok(())
    }

    fn open_content(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        Self::open_content(self, hash).map_err(|error| {
            let told = error.problem().and_then(ServerProblem::content_error);
            told.unwrap_or_else(|| ContentError::Source(io::Error::other(error)))
        })
    }
}
