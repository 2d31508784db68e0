//! Folding a log live, and answering snapshots of now and of any time.

mod history;
mod live;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use spacefold_event_core::{
    EventLog, Position, ReadError, Revision, StateStore, StorageError, Timestamp,
};

use self::live::Live;
use crate::{
    Change, CheckpointInfo, Snapshot, SpaceState, SpaceStates,
    checkpoint::{MARKER_KEY, Marker},
    diff,
};

pub(crate) use self::{
    history::{corrupt, replay_space, stuck},
    live::sweep,
};

/// The states of all spaces, folded live behind the durable head of a log.
///
/// Nothing is read before the first use. Then the fold goes on from what was persisted last, if
/// that is good for this log, and from the first event otherwise; a space's state is loaded when
/// it is first asked for or has a new event. Safe to share between threads: readers share states
/// that never change under them.
///
/// ```
/// use std::sync::Arc;
/// use spacefold_event_core::{Append, EventLog, MemoryLog, MemoryStateStore, Position, SpaceEvent};
/// use spacefold_projection::LiveStates;
/// let log = Arc::new(MemoryLog::new());
/// let states = LiveStates::new(log.clone(), Arc::new(MemoryStateStore::new()));
/// log.append(&Append::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// log.append(&Append::new(&[SpaceEvent::space_activated("handbook")]))?;
/// assert_eq!(states.snapshot("handbook")?.status().name(), "active");
/// assert_eq!(states.snapshot_at("handbook", Position::new(1))?.status().name(), "created");
/// assert!(states.snapshot("nowhere").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LiveStates {
    log: Arc<dyn EventLog>,
    store: Arc<dyn StateStore>,
    live: Mutex<Option<Live>>,
}

impl LiveStates {
    /// The states of a log, persisted in a store. Reads nothing yet.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, store: Arc<dyn StateStore>) -> Self {
        let live = Mutex::new(None);
        Self { log, store, live }
    }

    /// Folds up to the durable head as it is now, and answers the position folded up to.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Storage`]; what was folded stays folded.
    pub fn catch_up(&self) -> Result<Position, SnapshotError> {
        self.caught_up(|live, _| Ok(live.position))
    }

    /// The state of a space at the durable head. It takes no time beyond catching up: the state is
    /// shared.
    ///
    /// # Errors
    /// [`SnapshotError::UnknownSpace`] when the space has had no event.
    pub fn snapshot(&self, space_id: &str) -> Result<Snapshot, SnapshotError> {
        let (state, position) = self.caught_up(|live, states| {
            let state = live.state(&*states.log, &*states.store, space_id)?;
            Ok((state, live.position))
        })?;
        let state = state.ok_or_else(|| unknown(space_id))?;
        Ok(Snapshot::new(state, position))
    }

    /// The states of all spaces at the durable head, deleted ones too, sorted by space id.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Storage`].
    pub fn snapshot_all(&self) -> Result<Vec<Snapshot>, SnapshotError> {
        self.caught_up(|live, states| {
            let all = live.all(&*states.log, &*states.store)?;
            Ok(snapshots(all, live.position))
        })
    }

    /// The states of some spaces, of all when `space_ids` is `None`, at one position, which is the
    /// durable head; sorted by space id. A space that has had no event is not among them.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Storage`].
    pub fn snapshot_of_spaces(
        &self,
        space_ids: Option<&BTreeSet<String>>,
    ) -> Result<(Position, Vec<Snapshot>), SnapshotError> {
        self.caught_up(|live, states| {
            let (log, store) = (&*states.log, &*states.store);
            let found = match space_ids {
                None => live.all(log, store)?,
                Some(space_ids) => {
                    let mut found = Vec::new();
                    for space_id in space_ids {
                        found.extend(live.state(log, store, space_id)?);
                    }
                    found
                }
            };
            Ok((live.position, snapshots(found, live.position)))
        })
    }

    /// The state of a space as of a position. Cost: the space's history up to there, unless that
    /// is the durable head.
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
        let state = state.ok_or_else(|| unknown(space_id))?;
        Ok(Snapshot::new(state, position))
    }

    /// The states of all spaces that exist as of a position, deleted ones too, sorted by space id.
    /// Cost: the whole history up to there, unless that is the durable head.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`].
    pub fn snapshot_all_at(&self, position: Position) -> Result<Vec<Snapshot>, SnapshotError> {
        let head = self.check_head(position)?;
        if position == head {
            let now = self.snapshot_all()?;
            // Events may have come in the meantime.
            if now.iter().all(|snapshot| snapshot.position() == position) {
                return Ok(now);
            }
        }
        let mut states = SpaceStates::new();
        history::fold_log(&*self.log, Position::START, position, |event| {
            states.apply(event);
            Ok::<(), SnapshotError>(())
        })?;
        Ok(snapshots(states.sorted().into_iter().cloned().collect(), position))
    }

    /// The state of a space as of a time: of the last position recorded at or before it.
    ///
    /// # Errors
    /// [`SnapshotError::UnknownSpace`] when the space had no event then.
    pub fn snapshot_as_of(
        &self,
        space_id: &str,
        time: Timestamp,
    ) -> Result<Snapshot, SnapshotError> {
        self.snapshot_at(space_id, self.position_as_of(time)?)
    }

    /// The state of a space once `position` is durable, at the durable head then: reads what one
    /// has written.
    ///
    /// # Errors
    /// [`SnapshotError::TimedOut`] when `position` is not durable within `timeout`;
    /// [`SnapshotError::UnknownSpace`].
    pub fn snapshot_after(
        &self,
        space_id: &str,
        position: Position,
        timeout: Duration,
    ) -> Result<Snapshot, SnapshotError> {
        let durable_head = self.log.wait_durable(position, timeout)?;
        if durable_head < position {
            return Err(SnapshotError::TimedOut { position, durable_head });
        }
        self.snapshot(space_id)
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
        self.check_head(a.max(b))?;
        if self.log.revision(space_id)? == Revision::NONE {
            return Err(unknown(space_id));
        }
        let before = self.state_at(space_id, a)?;
        let after = self.state_at(space_id, b)?;
        Ok(diff(before.as_deref(), after.as_deref()))
    }

    /// Persists what was folded since the last time, with its position. Does nothing when nothing
    /// was folded, or when a rebuild has replaced what is persisted: the next use loads that then.
    ///
    /// # Errors
    /// [`SnapshotError::Storage`]: what was persisted before still counts.
    pub fn save(&self) -> Result<(), SnapshotError> {
        let mut guard = self.lock();
        let Some(live) = guard.as_mut() else {
            return Ok(());
        };
        if !live.save(&*self.store)? {
            *guard = None;
        }
        Ok(())
    }

    /// Lets go of everything in memory: the next use loads what is persisted. For after a rebuild.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    /// How far the projection has come: in memory, or persisted when nothing was used yet.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Storage`].
    pub fn checkpoints(&self) -> Result<Vec<CheckpointInfo>, SnapshotError> {
        let position = match self.lock().as_ref() {
            Some(live) => live.position,
            None => match self.store.get(MARKER_KEY)?.as_deref().map(Marker::decode) {
                Some(Some(marker)) if marker.fits(&*self.log)? => marker.position,
                _ => Position::START,
            },
        };
        Ok(vec![CheckpointInfo {
            name: SpaceStates::NAME,
            version: SpaceStates::VERSION,
            position,
        }])
    }

    /// Runs `answer` on the states at the durable head.
    fn caught_up<T>(
        &self,
        answer: impl FnOnce(&mut Live, &Self) -> Result<T, SnapshotError>,
    ) -> Result<T, SnapshotError> {
        let mut guard = self.lock();
        let live = match guard.as_mut() {
            Some(live) => live,
            None => guard.insert(Live::load(&*self.log, &*self.store)?),
        };
        live.catch_up(&*self.log, &*self.store)?;
        answer(live, self)
    }

    /// The state of a space as of a position; `None` when it does not exist there.
    fn state_at(
        &self,
        space_id: &str,
        position: Position,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        if position == self.check_head(position)? {
            let (state, at) = self.caught_up(|live, states| {
                let state = live.state(&*states.log, &*states.store, space_id)?;
                Ok((state, live.position))
            })?;
            // Events may have come in the meantime.
            if at == position {
                return Ok(state);
            }
        }
        let mut state = SpaceState::new(space_id);
        history::fold_space(&*self.log, &mut state, position)?;
        Ok((state.revision() > Revision::NONE).then(|| Arc::new(state)))
    }

    fn check_head(&self, asked: Position) -> Result<Position, SnapshotError> {
        let head = self.log.durable_head();
        if asked > head {
            return Err(SnapshotError::BeyondHead { asked, head });
        }
        Ok(head)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(|poisoned| {
            // Whoever panicked may have left an event half folded: load again.
            self.live.clear_poison();
            let mut guard = poisoned.into_inner();
            *guard = None;
            guard
        })
    }
}

impl std::fmt::Debug for LiveStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveStates").finish_non_exhaustive()
    }
}

fn unknown(space_id: &str) -> SnapshotError {
    let space_id = space_id.to_owned();
    SnapshotError::UnknownSpace { space_id }
}

fn snapshots(states: Vec<Arc<SpaceState>>, position: Position) -> Vec<Snapshot> {
    let snapshot = |state| Snapshot::new(state, position);
    states.into_iter().map(snapshot).collect()
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The space has had no event, at the position that was asked for.
    #[error("there is no space {space_id:?}")]
    UnknownSpace {
        /// The id that was asked for.
        space_id: String,
    },
    /// The position lies beyond the durable head.
    #[error("position {asked} lies beyond the head, which is {head}")]
    BeyondHead {
        /// The position that was asked for.
        asked: Position,
        /// The durable head.
        head: Position,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The position did not become durable in time.
    #[error("position {position} is not durable yet: the durable head is {durable_head}")]
    TimedOut {
        /// The position that was waited for.
        position: Position,
        /// The durable head at the end.
        durable_head: Position,
    },
    /// The store of persisted states failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[cfg(test)]
mod tests;
