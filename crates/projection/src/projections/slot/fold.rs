//! A projection and what it is folded from: the pages of the log, also in front of an event that cannot be
//! read, and what it may ask for beside them.

use std::sync::Arc;

use spacefold_event_core::{Envelope, LogReader, Position, ReadError, ReadRequest};

use crate::{
    apply_context::Around,
    effects::{EffectSource, Reading},
    projection::Projection,
    projections::{
        Sources,
        error::CatchUpError,
        generation::{Generation, Stopped},
        paused::{PauseKind, Paused},
    },
};

pub(crate) struct ProjectionFold {
    pub(in crate::projections) projection: Arc<dyn Projection>,
    pub(in crate::projections) sources: Sources,
    pub(in crate::projections) log: Arc<dyn LogReader>,
}

pub(super) enum NextPage {
    Page(Reading),
    /// The event at the position asked for cannot be read.
    Unreadable(Paused),
}

impl ProjectionFold {
    pub(crate) fn name(&self) -> &'static str {
        self.projection.name()
    }

    /// Where the effects of events come from, if it goes by them.
    pub(crate) fn effects(&self) -> Option<&Arc<dyn EffectSource>> {
        self.projection.uses_effects().then_some(&self.sources.effects)
    }

    /// Has a state take in the next event of a reading, whole or not at all.
    pub(crate) fn apply(
        &self,
        state: &mut Generation,
        envelope: Envelope<'_>,
        reading: &Reading,
    ) -> Result<(), Stopped> {
        let (effects, content) = (reading.effects.as_deref(), self.sources.content.as_deref());
        state.apply(&*self.projection, envelope, Around { effects, content })
    }

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
