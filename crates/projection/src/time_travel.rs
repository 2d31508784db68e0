//! What spaces looked like at any position or time, and what led from one state to the next.

use std::sync::Arc;

use spacefold_event_core::{EventFilter, LogReader, Position, ReadRequest, Revision, Timestamp};
use spacefold_state::{Blame, Change, Snapshot, SpaceState, SpaceStates, diff};

use crate::{
    blame::blame,
    history::History,
    history_cache::{HistoryCache, HistoryCacheOptions},
    live_states::LiveStates,
    ranged_states::{RangedStates, STATES_MEMORY_BYTES},
    replay,
    snapshot_error::SnapshotError,
    snapshots::{Snapshots, snapshots_of},
};

/// The folder of the history cache.
const FOLDER: &str = "history-cache";

/// The states of spaces as of any position of a log up to its durable head, and what changed between
/// two.
///
/// States of now come from [`LiveStates`]; those of earlier positions are folded from the nearest one in
/// memory or in the history cache, which [`TimeTravel::gather_history`] fills. Reads nothing before the
/// first use. Safe to share between threads.
///
/// ```
/// use std::sync::Arc;
/// use spacefold::{
///     Position, SpaceEvent, log::{AppendRequest, LogWriter, MemoryLog},
///     state::{DerivedState, LiveStates, TimeTravel},
/// };
/// let log = Arc::new(MemoryLog::new());
/// let live = Arc::new(LiveStates::new(log.clone(), DerivedState::in_memory()));
/// let past = TimeTravel::new(live);
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// log.append(&AppendRequest::new(&[SpaceEvent::space_activated("handbook")]))?;
/// assert_eq!(past.snapshot_at("handbook", Position::new(1))?.status().name(), "created");
/// assert_eq!(past.snapshot_at("handbook", Position::new(2))?.status().name(), "active");
/// assert!(past.snapshot_at("handbook", Position::new(3)).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TimeTravel {
    log: Arc<dyn LogReader>,
    live: Arc<LiveStates>,
    cache: HistoryCache,
}

impl TimeTravel {
    /// Over the log of live states, with its history cache beside them.
    #[must_use]
    pub fn new(live: Arc<LiveStates>) -> Self {
        Self::with_history_cache(live, HistoryCacheOptions::default())
    }

    /// With options of the history cache.
    #[must_use]
    pub fn with_history_cache(live: Arc<LiveStates>, options: HistoryCacheOptions) -> Self {
        let log = Arc::clone(live.log());
        let cache = HistoryCache::new(Arc::clone(&log), live.derived().part(FOLDER), options);
        Self { log, live, cache }
    }

    /// The states of all spaces that exist as of a position, deleted ones too, sorted by space id, one
    /// after the other.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`].
    ///
    /// # Cost
    /// The whole history up to there, once for every [`STATES_MEMORY_BYTES`](crate::STATES_MEMORY_BYTES)
    /// that the states take; no more than that is in memory at a time, about.
    pub fn snapshots_at(&self, position: Position) -> Result<Snapshots<'_>, SnapshotError> {
        SnapshotError::check_head(&*self.log, position)?;
        Ok(self.snapshots_within(position, STATES_MEMORY_BYTES))
    }

    /// Folds, of the spaces that are left, those whose states fit this many bytes, then the next.
    fn snapshots_within(&self, position: Position, bytes: u64) -> Snapshots<'_> {
        let mut ranges = RangedStates::new(bytes);
        let (mut range, mut is_begun) = (Vec::new().into_iter(), false);
        Snapshots::of(move || {
            loop {
                if let Some(state) = range.next() {
                    return Ok(Some(Snapshot::new(state, position)));
                }
                if std::mem::replace(&mut is_begun, true) && !ranges.next_range() {
                    return Ok(None);
                }
                for page in self.log.pages(ReadRequest::from(Position::new(1)).to(position)) {
                    let page = page?;
                    for envelope in page.envelopes() {
                        if ranges.holds(envelope.space_id) {
                            ranges.apply(&envelope.decode()?);
                        }
                    }
                    ranges.has_read(page.memory_bytes());
                }
                let states: Vec<_> = ranges.sorted().into_iter().map(Arc::clone).collect();
                range = states.into_iter();
            }
        })
    }

    /// The state of a space as of a position.
    ///
    /// # Cost
    /// A fold of at most some thousand of the space's events after a state that is in memory or in
    /// the history cache, which [`TimeTravel::gather_history`] fills; more where neither has one.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`]; [`SnapshotError::UnknownSpace`] when the space has had no
    /// event at that position.
    pub fn snapshot_at(
        &self,
        space_id: &str,
        position: Position,
    ) -> Result<Snapshot, SnapshotError> {
        let state = self.state_at(space_id, position)?;
        let state = state.ok_or_else(|| SnapshotError::unknown(space_id))?;
        Ok(Snapshot::new(state, position))
    }

    /// The states of all spaces that exist as of a position, deleted ones too, sorted by space id.
    /// Cost: the whole history up to there, unless that is the durable head.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`].
    pub fn snapshot_all_at(&self, position: Position) -> Result<Vec<Snapshot>, SnapshotError> {
        let head = SnapshotError::check_head(&*self.log, position)?;
        if position == head {
            let now = self.live.snapshot_all_from(position)?;
            // Events may have come in the meantime.
            if now.iter().all(|snapshot| snapshot.position() == position) {
                return Ok(now);
            }
        }
        let mut states = SpaceStates::new();
        replay::fold_log(&*self.log, Position::START, position, |event| {
            states.apply(event);
            Ok::<(), SnapshotError>(())
        })?;
        Ok(snapshots_of(states.sorted().into_iter().cloned(), position))
    }

    /// The last position whose event was recorded at or before `time`.
    ///
    /// # Errors
    /// [`SnapshotError::Read`].
    pub fn position_as_of(&self, time: Timestamp) -> Result<Position, SnapshotError> {
        Ok(self.log.position_as_of(time)?.min(self.log.durable_head()))
    }

    /// What changed in a space between two positions, in either order: the changes lead from its
    /// state at `a` to its state at `b`.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`]; [`SnapshotError::UnknownSpace`] when the space has had no
    /// event at all.
    pub fn diff(
        &self,
        space_id: &str,
        a: Position,
        b: Position,
    ) -> Result<Vec<Change>, SnapshotError> {
        let [before, after] = self.two_states(space_id, a, b)?;
        Ok(diff(before.as_deref(), after.as_deref()))
    }

    /// What changed of one document between two positions, in either order: itself, its
    /// references, its render state, its conflict and whether it is stale.
    ///
    /// # Errors
    /// As [`TimeTravel::diff`].
    pub fn diff_document(
        &self,
        space_id: &str,
        document_id: &str,
        a: Position,
        b: Position,
    ) -> Result<Vec<Change>, SnapshotError> {
        let mut changes = self.diff(space_id, a, b)?;
        changes.retain(|change| change.document_id() == Some(document_id));
        Ok(changes)
    }

    /// The events that pass a filter, page by page: those of a space, of one of its documents, with a
    /// tag, of a source.
    ///
    /// # Errors
    /// [`SnapshotError::UnknownSpace`] when a space of the filter has had no event.
    pub fn history(&self, filter: EventFilter) -> Result<History, SnapshotError> {
        for space_id in filter.space_ids().into_iter().flatten() {
            if self.log.revision(space_id)? == Revision::NONE {
                return Err(SnapshotError::unknown(space_id));
            }
        }
        Ok(History::new(Arc::clone(&self.log), filter))
    }

    /// Which event gave each part of a space the value that it has as of a position.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`]; [`SnapshotError::UnknownSpace`] when the space has had no
    /// event at that position.
    ///
    /// # Cost
    /// All events of the space up to there.
    pub fn blame(&self, space_id: &str, position: Position) -> Result<Blame, SnapshotError> {
        SnapshotError::check_head(&*self.log, position)?;
        blame(&*self.log, space_id, position)?.ok_or_else(|| SnapshotError::unknown(space_id))
    }

    fn two_states(
        &self,
        space_id: &str,
        a: Position,
        b: Position,
    ) -> Result<[Option<Arc<SpaceState>>; 2], SnapshotError> {
        SnapshotError::check_head(&*self.log, a.max(b))?;
        if self.log.revision(space_id)? == Revision::NONE {
            return Err(SnapshotError::unknown(space_id));
        }
        let [earlier, later] = self.cache.states_at(space_id, a.min(b), a.max(b))?;
        Ok(if a <= b { [earlier, later] } else { [later, earlier] })
    }

    /// Gathers more of the log into the history cache, so that states of the past are found fast;
    /// answers whether there is more to gather. For a thread that has nothing better to do: a call takes
    /// some tens of milliseconds.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Storage`]; nothing depends on what is missing.
    pub fn gather_history(&self) -> Result<bool, SnapshotError> {
        self.cache.gather()
    }

    /// Removes the history cache, on disk and in memory. It is derived: states of the past take
    /// longer until it is there again.
    ///
    /// # Errors
    /// [`SnapshotError::Storage`].
    pub fn remove_history_cache(&self) -> Result<(), SnapshotError> {
        self.cache.remove()
    }

    /// Makes the history cache anew from the first event on.
    ///
    /// # Errors
    /// As [`TimeTravel::gather_history`].
    pub fn rebuild_history_cache(&self) -> Result<(), SnapshotError> {
        self.cache.remove()?;
        self.cache.gather_all()
    }

    /// The state of a space as of a position; `None` when it does not exist there.
    fn state_at(
        &self,
        space_id: &str,
        position: Position,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        if position == SnapshotError::check_head(&*self.log, position)? {
            match self.live.snapshot_from(space_id, position) {
                // Events may have come in the meantime.
                Ok(snapshot) if snapshot.position() > position => {}
                Ok(snapshot) => return Ok(Some(Arc::clone(snapshot.state()))),
                Err(SnapshotError::UnknownSpace { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        self.cache.state_at(space_id, position)
    }

    /// Persists what was gathered since the last time.
    ///
    /// # Errors
    /// [`SnapshotError::Storage`]; it is gathered again the next time.
    pub fn save(&self) -> Result<(), SnapshotError> {
        self.cache.finish_gathering()
    }
}

impl std::fmt::Debug for TimeTravel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimeTravel").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
