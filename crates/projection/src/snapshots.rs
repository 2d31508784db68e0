//! The states of all spaces, one after the other.

use std::{fmt, sync::Arc};

use spacefold_event_core::Position;
use spacefold_state::{Snapshot, SpaceState};

use crate::snapshot_error::SnapshotError;

/// Snapshots of all spaces, sorted by space id. Ends with its first error.
pub struct Snapshots<'a> {
    /// Gives the next one; nothing any more after it has ended.
    next: Option<Box<dyn FnMut() -> Next + Send + 'a>>,
}

type Next = Result<Option<Snapshot>, SnapshotError>;

impl<'a> Snapshots<'a> {
    /// What `next` gives until it gives nothing.
    pub(crate) fn of(next: impl FnMut() -> Next + Send + 'a) -> Self {
        Self { next: Some(Box::new(next)) }
    }
}

impl Iterator for Snapshots<'_> {
    type Item = Result<Snapshot, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next.as_mut()?();
        if !matches!(next, Ok(Some(_))) {
            self.next = None;
        }
        next.transpose()
    }
}

impl fmt::Debug for Snapshots<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots").finish_non_exhaustive()
    }
}

/// States as they are at a position.
pub(crate) fn snapshots_of(
    states: impl IntoIterator<Item = Arc<SpaceState>>,
    position: Position,
) -> Vec<Snapshot> {
    states.into_iter().map(|state| Snapshot::new(state, position)).collect()
}
