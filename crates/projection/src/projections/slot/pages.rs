//! The next page of the log, also in front of an event that cannot be read.

use spacefold_event_core::{Page, Position, Read, ReadError};

use super::Slot;
use crate::projections::{
    error::CatchUpError,
    paused::{PauseKind, Paused},
};

pub(super) enum NextPage {
    Page(Page),
    /// The event at the position asked for cannot be read.
    Unreadable(Paused),
}

impl Slot {
    pub(super) fn next_page(&self, from: Position, to: Position) -> Result<NextPage, CatchUpError> {
        let read = Read::from(from).to(to);
        match self.log.read(&read) {
            // What stands before it can be read.
            Err(ReadError::Corrupt { position, .. }) if position > from => {
                self.page_of(read.to(position.previous()))
            }
            Err(error) => unreadable(from, error),
            Ok(page) => whole(&read, page),
        }
    }

    fn page_of(&self, read: Read) -> Result<NextPage, CatchUpError> {
        match self.log.read(&read) {
            Err(error) => unreadable(read.from, error),
            Ok(page) => whole(&read, page),
        }
    }
}

fn whole(read: &Read, page: Page) -> Result<NextPage, CatchUpError> {
    page.check_progress(read)?;
    Ok(NextPage::Page(page))
}

fn unreadable(from: Position, error: ReadError) -> Result<NextPage, CatchUpError> {
    match error {
        ReadError::Corrupt { .. } => {
            let reason = error.to_string();
            let paused = Paused { position: from, kind: PauseKind::Undecodable, reason };
            Ok(NextPage::Unreadable(paused))
        }
        error => Err(error.into()),
    }
}
