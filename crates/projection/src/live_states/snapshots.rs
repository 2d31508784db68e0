//! The states of all spaces, one after the other.

use std::{sync::Arc, vec};

use spacefold_event_core::{Position, Read};
use spacefold_state::{Snapshot, SpaceState};

use super::{LiveStates, live::IDS_AT_ONCE};
use crate::{
    ranged_states::{RangedStates, STATES_MEMORY_BYTES},
    snapshot_error::SnapshotError,
};

/// Snapshots of all spaces, sorted by space id. Ends with its first error.
#[derive(Debug)]
pub struct Snapshots<'a> {
    states: &'a LiveStates,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Now {
        floor: Position,
        ids: vec::IntoIter<String>,
        /// The last id that was listed.
        after: Option<String>,
    },
    At {
        position: Position,
        ranges: Box<RangedStates>,
        is_begun: bool,
        range: vec::IntoIter<Arc<SpaceState>>,
    },
    Ended,
}

impl<'a> Snapshots<'a> {
    pub(super) fn now(states: &'a LiveStates, floor: Position) -> Self {
        Self { states, source: Source::Now { floor, ids: Vec::new().into_iter(), after: None } }
    }

    pub(super) fn at(states: &'a LiveStates, position: Position) -> Self {
        let ranges = Box::new(RangedStates::new(STATES_MEMORY_BYTES));
        let range = Vec::new().into_iter();
        Self { states, source: Source::At { position, ranges, is_begun: false, range } }
    }

    #[cfg(test)]
    pub(super) fn within(mut self, bytes: u64) -> Self {
        if let Source::At { ranges, .. } = &mut self.source {
            **ranges = RangedStates::new(bytes);
        }
        self
    }

    fn advance(&mut self) -> Result<Option<Snapshot>, SnapshotError> {
        let log = &*self.states.log;
        match &mut self.source {
            Source::Now { floor, ids, after } => loop {
                match ids.next() {
                    Some(id) => {
                        let snapshot = self.states.peek(&id, *floor)?;
                        *after = Some(id);
                        if snapshot.is_some() {
                            return Ok(snapshot);
                        }
                    }
                    None => {
                        *ids = log.spaces_after(after.as_deref(), IDS_AT_ONCE)?.into_iter();
                        if ids.len() == 0 {
                            return Ok(None);
                        }
                    }
                }
            },
            Source::At { position, ranges, is_begun, range } => loop {
                if let Some(state) = range.next() {
                    return Ok(Some(Snapshot::new(state, *position)));
                }
                if std::mem::replace(is_begun, true) && !ranges.next_range() {
                    return Ok(None);
                }
                for page in log.pages(Read::from(Position::new(1)).to(*position)) {
                    let page = page?;
                    for envelope in page.envelopes() {
                        if ranges.holds(envelope.space_id) {
                            ranges.apply(&envelope.decode()?);
                        }
                    }
                    ranges.has_read(page.memory_bytes());
                }
                let states: Vec<_> = ranges.sorted().into_iter().map(Arc::clone).collect();
                *range = states.into_iter();
            },
            Source::Ended => Ok(None),
        }
    }
}

impl Iterator for Snapshots<'_> {
    type Item = Result<Snapshot, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if !matches!(next, Ok(Some(_))) {
            self.source = Source::Ended;
        }
        next.transpose()
    }
}
