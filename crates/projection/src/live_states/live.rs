//! The fold behind a [`LiveStates`](super::LiveStates).

use std::sync::Arc;

use spacefold_event_core::{
    EventMark, LogMark, LogReader, Position, ReadRequest, RecordedEventRef, Revision, StorageError,
    bytes::to_u64,
};
use spacefold_runs::RunsError;
use spacefold_state::{SharedMap, SpaceState, SpaceStates};

use super::{persisted::Persisted, root::LiveRoot};
use crate::{
    checkpoint::Checkpoint,
    kept_states::{KEPT_VERSION, Marker},
    ranged_states::{MEMORY_PER_PAGE_BYTE, NEW_STATE_BYTES},
    replay::fold_space,
    snapshot_error::SnapshotError,
};

/// Ids of spaces that are listed at a time: the log looks at all of its spaces for them.
pub(super) const IDS_AT_ONCE: usize = 65_536;

/// A clone costs nothing that grows: a fold goes on in one, and takes the place of the old when it
/// ends, so that no panic leaves it half done.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) root: LiveRoot,
    /// The revision at which the state of each space in memory is persisted, if it is.
    persisted: SharedMap<Revision>,
    /// About what the states in memory took when they were measured last, and what they may have
    /// grown since.
    measured: u64,
    grown: u64,
    /// When they take more than this it is time to let go of some.
    enough: u64,
    /// The revision at which the state of a space stayed when others were let go of.
    seen: SharedMap<Revision>,
}

impl Live {
    /// Begins at what is persisted.
    pub(super) fn of(marker: &Marker) -> Self {
        Self {
            root: LiveRoot {
                position: marker.position(),
                last: marker.checkpoint.mark.last,
                space_count: marker.spaces,
                spaces: SpaceStates::new(),
            },
            persisted: SharedMap::new(),
            measured: 0,
            grown: 0,
            enough: 0,
            seen: SharedMap::new(),
        }
    }

    /// Folds up to a position, within `max_bytes` of memory.
    pub(super) fn fold_to(
        &mut self,
        log: &dyn LogReader,
        kept: &mut Persisted,
        to: Position,
        max_bytes: u64,
    ) -> Result<(), SnapshotError> {
        for page in log.pages(ReadRequest::from(self.root.position.next()).to(to)) {
            let page = page?;
            for event in page.events() {
                self.fold(log, kept, &event?)?;
            }
            let bytes = to_u64(page.memory_bytes());
            self.grown = self.grown.saturating_add(bytes.saturating_mul(MEMORY_PER_PAGE_BYTE));
            if kept.has_many_effects()
                && let Err(error) = kept.put([])
            {
                tracing::warn!(%error, "effects of events stay in memory: they could not be stored");
            }
            self.make_room(kept, max_bytes);
        }
        Ok(())
    }

    fn fold(
        &mut self,
        log: &dyn LogReader,
        kept: &mut Persisted,
        event: &RecordedEventRef<'_>,
    ) -> Result<(), SnapshotError> {
        let is_new = event.revision == Revision::new(1);
        let state = match self.root.spaces.get_mut(event.space_id) {
            Some(state) => state,
            None => {
                let mut state = SpaceState::new(event.space_id);
                self.grown = self.grown.saturating_add(NEW_STATE_BYTES);
                if !is_new {
                    state = self.load_state(log, kept, event.space_id)?.unwrap_or(state);
                    if state.revision().next() < event.revision {
                        fold_space(log, &mut state, self.root.position)?;
                    }
                }
                self.root.spaces.insert(Arc::new(state));
                self.root.spaces.state_mut(event.space_id)
            }
        };
        if state.revision() < event.revision {
            let effect = state.apply(event);
            kept.note(event.position, effect);
        }
        self.root.space_count += u64::from(is_new);
        self.root.position = event.position;
        let last = EventMark { id: event.event_id, recorded_at: event.recorded_at };
        self.root.last = Some((event.position, last));
        Ok(())
    }

    /// The state of a space, which is kept in memory from then on; `None` when it has had no event.
    pub(super) fn state(
        &mut self,
        log: &dyn LogReader,
        kept: &Persisted,
        space_id: &str,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        if let Some(state) = self.root.spaces.get(space_id) {
            return Ok(Some(Arc::clone(state)));
        }
        let persisted = self.load_state(log, kept, space_id)?;
        let Some(state) = self.folded_on(log, space_id, persisted)? else { return Ok(None) };
        self.root.spaces.insert(Arc::clone(&state));
        Ok(Some(state))
    }

    /// The state of a space, which is kept in memory no longer than it was; `None` when it has had
    /// no event.
    pub(super) fn peek(
        &self,
        log: &dyn LogReader,
        kept: &Persisted,
        space_id: &str,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        match self.root.spaces.get(space_id) {
            Some(state) => Ok(Some(Arc::clone(state))),
            None => {
                let persisted = self.kept_state(log, kept, space_id)?;
                self.folded_on(log, space_id, persisted)
            }
        }
    }

    /// Hands the state of every space to `visit`, sorted by id, and keeps none of them in memory that
    /// was not.
    pub(super) fn each_state(
        &self,
        log: &dyn LogReader,
        kept: &Persisted,
        mut visit: impl FnMut(&SpaceState),
    ) -> Result<(), SnapshotError> {
        let mut count = 0;
        each_space(log, |space_id| {
            // One that has come to be since is not among them.
            if let Some(state) = self.peek(log, kept, space_id)? {
                count += 1;
                visit(&state);
            }
            Ok(())
        })?;
        if count == self.root.space_count {
            return Ok(());
        }
        let what = format!("{count} of {} are there", self.root.space_count);
        Err(StorageError::new("folding the states of all spaces", what).into())
    }

    /// A persisted state, or the one before the first event, folded on to where the others are.
    fn folded_on(
        &self,
        log: &dyn LogReader,
        space_id: &str,
        persisted: Option<SpaceState>,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        let mut state = persisted.unwrap_or_else(|| SpaceState::new(space_id));
        if state.revision() < log.revision(space_id)? {
            fold_space(log, &mut state, self.root.position)?;
        }
        Ok((state.revision() > Revision::NONE).then(|| Arc::new(state)))
    }

    /// When the states in memory take more than `max_bytes`, persists those that no event has changed
    /// since it was looked at last, and lets go of them: they are loaded again when they are needed.
    pub(super) fn make_room(&mut self, kept: &mut Persisted, max_bytes: u64) {
        if self.measured.saturating_add(self.grown) <= self.enough.max(max_bytes) {
            return;
        }
        self.measured = self.root.spaces.memory_bytes();
        self.grown = 0;
        // So that it takes a while until it is looked at again.
        if self.measured <= max_bytes / 4 * 3 {
            return;
        }
        if let Err(error) = self.let_go(kept) {
            tracing::warn!(%error, "states of spaces stay in memory: they could not be stored");
        }
        self.measured = self.root.spaces.memory_bytes();
        self.enough = self.measured.max(max_bytes) / 2 * 3;
    }

    /// Lets go of the states that have not changed since they were loaded, persisted or seen here.
    fn let_go(&mut self, kept: &mut Persisted) -> Result<(), RunsError> {
        let known = |map: &SharedMap<Revision>, state: &SpaceState| {
            map.get(state.space_id()) == Some(&state.revision())
        };
        let states = self.root.spaces.sorted().into_iter().map(Arc::clone);
        let (cold, warm): (Vec<_>, Vec<_>) =
            states.partition(|state| known(&self.persisted, state) || known(&self.seen, state));
        let changed = cold.iter().filter(|state| !known(&self.persisted, state));
        kept.put(changed.map(|state| &**state))?;
        let (mut spaces, mut persisted) = (SpaceStates::new(), SharedMap::new());
        self.seen = SharedMap::new();
        for state in warm {
            self.seen.insert(state.space_id(), state.revision());
            if let Some(revision) = self.persisted.get(state.space_id()) {
                persisted.insert(state.space_id(), *revision);
            }
            spaces.insert(state);
        }
        self.root.spaces = spaces;
        self.persisted = persisted;
        Ok(())
    }

    /// Loads the states of all spaces.
    pub(super) fn load_all(
        &mut self,
        log: &dyn LogReader,
        kept: &Persisted,
    ) -> Result<(), SnapshotError> {
        if self.root.is_complete() {
            return Ok(());
        }
        each_space(log, |space_id| self.state(log, kept, space_id).map(drop))
    }

    /// The persisted state of a space, which is about to be kept in memory.
    fn load_state(
        &mut self,
        log: &dyn LogReader,
        kept: &Persisted,
        space_id: &str,
    ) -> Result<Option<SpaceState>, SnapshotError> {
        let Some(state) = self.kept_state(log, kept, space_id)? else { return Ok(None) };
        self.persisted.insert(space_id, state.revision());
        self.grown = self.grown.saturating_add(state.memory_bytes());
        Ok(Some(state))
    }

    /// The persisted state of a space, if it is whole and not ahead of the log.
    fn kept_state(
        &self,
        log: &dyn LogReader,
        kept: &Persisted,
        space_id: &str,
    ) -> Result<Option<SpaceState>, SnapshotError> {
        let Some(state) = kept.state(space_id)? else { return Ok(None) };
        let head = log.revision(space_id)?;
        Ok(Some(state).filter(|state| state.revision() <= head))
    }

    /// Persists what changed, and how far it is folded.
    pub(super) fn save(&mut self, kept: &mut Persisted) -> Result<(), RunsError> {
        let LiveRoot { position, last, space_count, .. } = self.root;
        if position == Position::START {
            return Ok(());
        }
        let checkpoint =
            Checkpoint { version: KEPT_VERSION, mark: LogMark { position, last, origin: None } };
        let changed: Vec<_> = self.changed().into_iter().map(Arc::clone).collect();
        let marker = Marker { checkpoint, spaces: space_count };
        kept.save(changed.iter().map(|state| &**state), marker)?;
        for state in changed {
            self.persisted.insert(state.space_id(), state.revision());
        }
        Ok(())
    }

    /// The states in memory that are not persisted as they are.
    fn changed(&self) -> Vec<&Arc<SpaceState>> {
        let mut states = self.root.spaces.sorted();
        states.retain(|state| self.persisted.get(state.space_id()) != Some(&state.revision()));
        states
    }
}

/// Hands the id of every space of a log to `visit`, sorted.
fn each_space(
    log: &dyn LogReader,
    mut visit: impl FnMut(&str) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    let mut after: Option<String> = None;
    loop {
        let ids = log.spaces_after(after.as_deref(), IDS_AT_ONCE)?;
        ids.iter().try_for_each(|id| visit(id))?;
        match ids.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}
