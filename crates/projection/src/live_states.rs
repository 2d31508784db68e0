//! Folding a log live, and answering snapshots of now.

mod effects;
mod live;
pub(crate) mod persisted;
mod rebuilding;
mod root;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use spacefold_event_core::{LogReader, Position, ReadError, Revision, StorageError, lock::Lock};
use spacefold_runs::RunsError;
use spacefold_state::{Snapshot, SpaceStates, StateHash};

use self::{
    live::{IDS_AT_ONCE, Live},
    persisted::Persisted,
    root::LiveRoot,
};
use crate::{
    checkpoint::CheckpointInfo,
    derived_state::DerivedState,
    ranged_states::RangedHash,
    snapshot_error::SnapshotError,
    snapshots::{Snapshots, snapshots_of},
};

/// The folder of the generations.
const FOLDER: &str = "space-state";

/// How many events are folded before readers see them, when there are more.
const FOLD_STEP: u64 = 65_536;

/// Bytes that states which are folded live take in memory, about, unless told. Beyond it those that
/// events do not change are persisted, and loaded again when they are needed; what is in memory comes
/// to half as much again before they are looked at.
pub const LIVE_STATES_MEMORY_BYTES: u64 = 96 << 20;

/// The states of all spaces, folded live behind the durable head of a log.
///
/// Nothing is read before the first use. Then the fold goes on from what was persisted last, if
/// that is good for this log, and from the first event otherwise; a space's state is loaded when
/// it is first asked for or has a new event. Safe to share between threads.
///
/// # What a snapshot is of
/// Readers see what the last fold that ended has put in place: one immutable set of states, all at
/// one position. When it lags behind the durable head and no thread is folding, the caller folds
/// first. When another thread is folding, or keeps the states [`followed`](Self::followed), the
/// answer is what is in place, without waiting; [`Snapshot::position`] says of when. It never goes
/// back. [`LiveStates::snapshot_after`] is for those who must not see less than a position.
///
/// ```
/// use std::sync::Arc;
/// use spacefold::{
///     SpaceEvent, log::{AppendRequest, LogWriter, MemoryLog}, state::{DerivedState, LiveStates},
/// };
/// let log = Arc::new(MemoryLog::new());
/// let states = LiveStates::new(log.clone(), DerivedState::in_memory());
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// log.append(&AppendRequest::new(&[SpaceEvent::space_activated("handbook")]))?;
/// assert_eq!(states.snapshot("handbook")?.status().name(), "active");
/// assert!(states.snapshot("nowhere").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LiveStates {
    log: Arc<dyn LogReader>,
    derived: DerivedState,
    /// What readers see; nothing before the first use.
    published: ArcSwapOption<LiveRoot>,
    held: Lock<FoldingState>,
    followers: AtomicUsize,
    memory_bytes: u64,
}

/// What the thread that folds is alone with; nothing before the first use.
#[derive(Default)]
struct FoldingState {
    /// Whole also after a fold that panicked, which does so in a copy.
    live: Option<Live>,
    persisted: Option<Persisted>,
}

/// Says that its thread keeps the states of a [`LiveStates`] folded, for as long as it lives.
#[derive(Debug)]
pub struct Followed<'a> {
    states: &'a LiveStates,
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.states.followers.fetch_sub(1, Ordering::Release);
    }
}

impl LiveStates {
    /// The states of a log, persisted with what else is derived from it: by these alone, as long as
    /// they are there. Reads nothing yet.
    #[must_use]
    pub fn new(log: Arc<dyn LogReader>, derived: DerivedState) -> Self {
        Self {
            log,
            derived,
            published: ArcSwapOption::empty(),
            held: Lock::default(),
            followers: AtomicUsize::new(0),
            memory_bytes: LIVE_STATES_MEMORY_BYTES,
        }
    }

    /// With this many bytes of memory for states, about, in place of [`LIVE_STATES_MEMORY_BYTES`]. What
    /// snapshots hold is not counted.
    #[must_use]
    pub fn with_memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    pub(crate) const fn log(&self) -> &Arc<dyn LogReader> {
        &self.log
    }

    pub(crate) const fn derived(&self) -> &DerivedState {
        &self.derived
    }

    /// Folds up to the durable head as it is now, and answers the position folded up to.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Storage`]; what was folded stays folded.
    pub fn catch_up(&self) -> Result<Position, SnapshotError> {
        self.fold(self.held.lock(), |_, _, _| Ok(())).map(|(root, ())| root.position)
    }

    /// Tells that the caller's thread calls [`LiveStates::catch_up`] whenever the durable head
    /// moves, until it drops the answer: meanwhile snapshots do not fold for themselves.
    #[must_use]
    pub fn followed(&self) -> Followed<'_> {
        self.followers.fetch_add(1, Ordering::Acquire);
        Followed { states: self }
    }

    /// The state of a space, shared: at the durable head, or at an earlier position while another
    /// thread is folding.
    ///
    /// # Errors
    /// [`SnapshotError::UnknownSpace`] when the space has had no event there.
    ///
    /// # Cost
    /// The same whatever the size of the space, and no waiting for writers or for a fold under
    /// way; the first time that a space is asked for, its state is loaded, behind that fold.
    pub fn snapshot(&self, space_id: &str) -> Result<Snapshot, SnapshotError> {
        self.snapshot_from(space_id, Position::START)
    }

    /// The state of a space at `floor`, which is durable, or later.
    ///
    /// # Errors
    /// As [`LiveStates::snapshot`].
    ///
    /// # Cost
    /// That of [`LiveStates::snapshot`] when the states in place are no older than `floor`;
    /// otherwise this folds, or waits for a fold under way and folds then.
    pub fn snapshot_from(
        &self,
        space_id: &str,
        floor: Position,
    ) -> Result<Snapshot, SnapshotError> {
        let root = self.root(floor)?;
        if let Some(state) = root.spaces.get(space_id) {
            return Ok(Snapshot::new(Arc::clone(state), root.position));
        }
        if self.log.revision(space_id)? == Revision::NONE || root.is_complete() {
            return Err(SnapshotError::unknown(space_id));
        }
        let (root, state) = self.fold(self.held.lock(), |live, kept, states| {
            live.state(&*states.log, kept, space_id)
        })?;
        let state = state.ok_or_else(|| SnapshotError::unknown(space_id))?;
        Ok(Snapshot::new(state, root.position))
    }

    /// The states of all spaces at one position, deleted ones too, sorted by space id: at the
    /// durable head, or at an earlier position while another thread is folding.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Storage`].
    pub fn snapshot_all(&self) -> Result<Vec<Snapshot>, SnapshotError> {
        self.snapshot_all_from(Position::START)
    }

    /// The states of all spaces at one position, which is `floor` or later.
    ///
    /// # Errors
    /// As [`LiveStates::snapshot_all`].
    pub fn snapshot_all_from(&self, floor: Position) -> Result<Vec<Snapshot>, SnapshotError> {
        let root = self.root(floor)?;
        if root.is_complete() {
            return Ok(snapshots_of(root.spaces.sorted().into_iter().cloned(), root.position));
        }
        let (position, all) = self.snapshot_of_spaces(None)?;
        debug_assert!(position >= root.position, "it never goes back");
        Ok(all)
    }

    /// The states of all spaces, deleted ones too, sorted by space id, one after the other: each as it
    /// is when it comes, at `floor` or later. What is in memory at a time does not grow with the
    /// spaces; a space that comes to be meanwhile may be missing.
    #[must_use]
    pub fn snapshots_from(&self, floor: Position) -> Snapshots<'_> {
        let (mut ids, mut after) = (Vec::new().into_iter(), None::<String>);
        Snapshots::of(move || {
            loop {
                let Some(id) = ids.next() else {
                    ids = self.log.spaces_after(after.as_deref(), IDS_AT_ONCE)?.into_iter();
                    if ids.len() == 0 {
                        return Ok(None);
                    }
                    continue;
                };
                let snapshot = self.peek(&id, floor)?;
                after = Some(id);
                if snapshot.is_some() {
                    return Ok(snapshot);
                }
            }
        })
    }

    /// The hash of all states, as [`SpaceStates::hash`] makes it, and the position that it is of: the
    /// durable head.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Storage`], also when persisted states are missing.
    ///
    /// # Cost
    /// A pass over the spaces, one at a time. Of those in memory the ones that have changed are
    /// hashed, the others are loaded.
    pub fn hash_of_spaces(&self) -> Result<(Position, StateHash), SnapshotError> {
        let (root, hash) = self.fold(self.held.lock(), |live, kept, states| {
            let mut hash = RangedHash::default();
            live.each_state(&*states.log, kept, |state| hash.push(state))?;
            Ok(hash.hash())
        })?;
        Ok((root.position, hash))
    }

    /// The state of a space, without keeping it in memory; `None` when it has had no event.
    fn peek(&self, space_id: &str, floor: Position) -> Result<Option<Snapshot>, SnapshotError> {
        let root = self.root(floor)?;
        if let Some(state) = root.spaces.get(space_id) {
            return Ok(Some(Snapshot::new(Arc::clone(state), root.position)));
        }
        let (root, state) = self
            .fold(self.held.lock(), |live, kept, states| live.peek(&*states.log, kept, space_id))?;
        Ok(state.map(|state| Snapshot::new(state, root.position)))
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
        let (root, found) = self.fold(self.held.lock(), |live, kept, states| {
            let log = &*states.log;
            let mut found = Vec::new();
            match space_ids {
                None => {
                    live.load_all(log, kept)?;
                    found.extend(live.root.spaces.sorted().into_iter().cloned());
                }
                Some(space_ids) => {
                    for space_id in space_ids {
                        found.extend(live.state(log, kept, space_id)?);
                    }
                }
            }
            Ok(found)
        })?;
        Ok((root.position, snapshots_of(found, root.position)))
    }

    /// Lets go of everything, which is damaged: the next use folds from the first event.
    fn begin_anew(&self, held: &mut FoldingState) -> Result<(), SnapshotError> {
        if let Some(persisted) = &mut held.persisted {
            persisted.begin_anew()?;
        }
        self.published.store(None);
        held.live = None;
        Ok(())
    }

    /// The state of a space at `position` or later, once that is durable: reads what one has
    /// written.
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
        self.snapshot_from(space_id, position)
    }

    /// Persists what was folded since the last time, with its position, in one step. Does nothing
    /// when nothing was folded.
    ///
    /// # Errors
    /// [`SnapshotError::Storage`]: what was persisted before still counts.
    pub fn save(&self) -> Result<(), SnapshotError> {
        let mut held = self.held.lock();
        if let FoldingState { live: Some(live), persisted: Some(persisted) } = &mut *held {
            let mut saved = live.clone();
            persisted.comes_from(&*self.log);
            match saved.save(persisted) {
                Ok(()) => *live = saved,
                Err(RunsError::Damaged { .. }) => self.begin_anew(&mut held)?,
                Err(error) => return Err(StorageError::from(error).into()),
            }
        }
        Ok(())
    }

    /// How far the projection has come: in memory, or persisted when nothing was used yet.
    ///
    /// # Errors
    /// [`SnapshotError::Read`] or [`SnapshotError::Storage`].
    pub fn checkpoints(&self) -> Result<Vec<CheckpointInfo>, SnapshotError> {
        let position = match &*self.published.load() {
            Some(root) => root.position,
            None => self
                .persisted::<SnapshotError>(&mut self.held.lock().persisted)?
                .marker()
                .position(),
        };
        Ok(vec![CheckpointInfo {
            name: SpaceStates::NAME,
            version: SpaceStates::VERSION,
            position,
        }])
    }

    /// What is persisted, opened where it is not yet.
    fn persisted<'h, E: From<ReadError> + From<StorageError>>(
        &self,
        opened: &'h mut Option<Persisted>,
    ) -> Result<&'h mut Persisted, E> {
        match opened {
            Some(persisted) => Ok(persisted),
            empty => {
                Ok(empty.insert(Persisted::load::<E>(&*self.log, &self.derived.part(FOLDER))?))
            }
        }
    }

    /// What readers are to see now, of `floor` or later.
    fn root(&self, floor: Position) -> Result<Arc<LiveRoot>, SnapshotError> {
        let published = self.published.load();
        let in_place = published.as_ref().filter(|root| root.position >= floor);
        if let Some(root) = in_place
            && (self.followers.load(Ordering::Acquire) > 0
                || root.position >= self.log.durable_head())
        {
            return Ok(Arc::clone(root));
        }
        let guard = match (self.held.try_lock(), in_place) {
            (Some(guard), _) => guard,
            (None, Some(root)) => return Ok(Arc::clone(root)),
            (None, None) => self.held.lock(),
        };
        Ok(self.fold(guard, |_, _, _| Ok(()))?.0)
    }

    /// Folds up to the durable head as it is now, runs `answer` on what there is then, and puts it
    /// in place for all. What was folded before an error stays.
    fn fold<T>(
        &self,
        held: MutexGuard<'_, FoldingState>,
        answer: impl FnOnce(&mut Live, &Persisted, &Self) -> Result<T, SnapshotError>,
    ) -> Result<(Arc<LiveRoot>, T), SnapshotError> {
        self.fold_to(self.log.durable_head(), held, answer)
    }

    /// Does what [`LiveStates::fold`] does, up to `head`, or to where it is already.
    fn fold_to<T>(
        &self,
        head: Position,
        mut held: MutexGuard<'_, FoldingState>,
        answer: impl FnOnce(&mut Live, &Persisted, &Self) -> Result<T, SnapshotError>,
    ) -> Result<(Arc<LiveRoot>, T), SnapshotError> {
        let log = &*self.log;
        let FoldingState { live: in_place, persisted } = &mut *held;
        let persisted = self.persisted::<SnapshotError>(persisted)?;
        // Read after the head: no event up to it is of a later session.
        persisted.comes_from(log);
        // In a copy: whatever panics leaves the old one.
        let mut live = in_place.clone().unwrap_or_else(|| Live::of(persisted.marker()));
        let is_first = self.published.load().is_none();
        let mut folded = Ok(());
        while folded.is_ok() && live.root.position < head {
            // Before anybody can see a part of it, nothing is shared: all in one go is faster.
            let step = if is_first { head } else { live.root.position.plus(FOLD_STEP).min(head) };
            folded = live.fold_to(log, persisted, step, self.memory_bytes);
            if !is_first && step < head {
                self.published.store(Some(Arc::new(live.root.clone())));
                *in_place = Some(live.clone());
            }
        }
        let answered = folded.and_then(|()| answer(&mut live, persisted, self));
        live.make_room(persisted, self.memory_bytes);
        let published = self.published.load_full();
        let root = match published {
            Some(root) if root.is(&live.root) => root,
            _ => {
                let root = Arc::new(live.root.clone());
                self.published.store(Some(Arc::clone(&root)));
                root
            }
        };
        *in_place = Some(live);
        answered.map(|answer| (root, answer))
    }
}

impl std::fmt::Debug for LiveStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveStates").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
