//! The next page of the log, also in front of an event that cannot be read.

use spacefold_event_core::{Position, ReadError, ReadRequest};

use super::ProjectionSlot;
use crate::{
    effects::Reading,
    projections::{
        error::CatchUpError,
        paused::{PauseKind, Paused},
    },
};

pub(super) enum NextPage {
    Page(Reading),
    /// The event at the position asked for cannot be read.
    Unreadable(Paused),
}

impl ProjectionSlot {
    pub(super) fn next_page(&self, from: Position, to: Position) -> Result<NextPage, CatchUpError> {
        let read = ReadRequest::from(from).to(to);
        let reading = match self.read_page(&read) {
            // What comes before it can be read.
            Err(ReadError::Corrupt { position, .. }) if position > from => {
                self.read_page(&read.to(position.previous()))
            }
            read => read,
        };
        reading.map_or_else(|error| unreadable(from, error), |page| Ok(NextPage::Page(page)))
    }

    fn read_page(&self, read: &ReadRequest) -> Result<Reading, ReadError> {
        let page = self.log.read(read)?;
        page.check_progress(read)?;
        Reading::of(page, (read.from.previous(), read.to), self.effects().map(|source| &**source))
    }
}

fn unreadable(from: Position, error: ReadError) -> Result<NextPage, CatchUpError> {
    match error {
        // One before it, which is skipped, has left the effects of all that come after it unknown.
        ReadError::Corrupt { position, .. } if position >= from => {
            let reason = error.to_string();
            let paused = Paused { position: from, kind: PauseKind::Undecodable, reason };
            Ok(NextPage::Unreadable(paused))
        }
        error => Err(error.into()),
    }
}
