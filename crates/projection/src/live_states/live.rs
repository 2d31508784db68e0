//! The fold behind a [`LiveStates`](super::LiveStates).

use std::sync::Arc;

use spacefold_event_core::{
    LogReader, Position, Read, RecordedEventRef, Revision, StateStore, StorageError, bytes::to_u64,
};
use spacefold_state::{SharedMap, SpaceState, SpaceStates};

use super::root::Root;
use crate::{
    checkpoint::{
        BLOB_PREFIX, LastEvent, MARKER_KEY, Marker, blob_key, decode_blob, encode_blob,
        generation_prefix, newest_generation, parse_blob_key, unused_generation,
    },
    ranged_states::{MEMORY_PER_PAGE_BYTE, NEW_STATE_BYTES},
    replay::fold_space,
    snapshot_error::SnapshotError,
};

/// Keys that are listed at a time.
const KEYS_AT_ONCE: usize = 4_096;
/// Ids of spaces that are listed at a time: the log looks at all of its spaces for them.
pub(super) const IDS_AT_ONCE: usize = 65_536;

/// A clone costs nothing that grows: a fold goes on in one, and takes the place of the old when it
/// ends, so that no panic leaves it half done.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) root: Root,
    /// The revision at which the state of each space in memory is persisted, if it is.
    persisted: SharedMap<Revision>,
    /// Which set of blobs is this log's.
    generation: u64,
    /// Whether that set is new: no marker names it yet, and others go at the first save.
    fresh: bool,
    /// Whether any blob of that set may be there.
    has_blobs: bool,
    /// The marker as it was found or saved last.
    marker: Option<Vec<u8>>,
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
    /// Begins at what is persisted, if that is good for this log, otherwise at the first event.
    pub(super) fn load(log: &dyn LogReader, store: &dyn StateStore) -> Result<Self, SnapshotError> {
        let bytes = store.get(MARKER_KEY)?;
        let marker = bytes.as_deref().and_then(Marker::decode);
        if let Some(marker) = &marker
            && marker.fits(log)?
        {
            return Ok(Self {
                root: Root {
                    position: marker.position,
                    event: marker.event,
                    space_count: marker.spaces,
                    ..Root::empty()
                },
                persisted: SharedMap::new(),
                generation: marker.generation,
                fresh: false,
                has_blobs: true,
                marker: bytes,
                measured: 0,
                grown: 0,
                enough: 0,
                seen: SharedMap::new(),
            });
        }
        if bytes.is_some() {
            tracing::warn!("the persisted space states are not this log's, or damaged: refolding");
        }
        Ok(Self::empty(unused_generation(newest_generation(store)?, marker.as_ref()), bytes))
    }

    fn empty(generation: u64, marker: Option<Vec<u8>>) -> Self {
        Self {
            root: Root::empty(),
            persisted: SharedMap::new(),
            generation,
            fresh: true,
            has_blobs: false,
            marker,
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
        store: &dyn StateStore,
        to: Position,
        max_bytes: u64,
    ) -> Result<(), SnapshotError> {
        for page in log.pages(Read::from(self.root.position.next()).to(to)) {
            let page = page?;
            for event in page.events() {
                self.fold(log, store, &event?)?;
            }
            let bytes = to_u64(page.memory_bytes());
            self.grown = self.grown.saturating_add(bytes.saturating_mul(MEMORY_PER_PAGE_BYTE));
            self.make_room(store, max_bytes);
        }
        Ok(())
    }

    fn fold(
        &mut self,
        log: &dyn LogReader,
        store: &dyn StateStore,
        event: &RecordedEventRef<'_>,
    ) -> Result<(), SnapshotError> {
        let is_new = event.revision == Revision::new(1);
        let state = match self.root.spaces.get_mut(event.space_id) {
            Some(state) => state,
            None => {
                let mut state = SpaceState::new(event.space_id);
                self.grown = self.grown.saturating_add(NEW_STATE_BYTES);
                if !is_new {
                    state = self.load_blob(log, store, event.space_id)?.unwrap_or(state);
                    if state.revision().next() < event.revision {
                        fold_space(log, &mut state, self.root.position)?;
                    }
                }
                self.root.spaces.insert(Arc::new(state));
                self.root.spaces.state_mut(event.space_id)
            }
        };
        if state.revision() < event.revision {
            state.apply(event);
        }
        self.root.space_count += u64::from(is_new);
        self.root.position = event.position;
        self.root.event = LastEvent { id: event.event_id, recorded_at: event.recorded_at };
        Ok(())
    }

    /// The state of a space, which is kept in memory from then on; `None` when it has had no event.
    pub(super) fn state(
        &mut self,
        log: &dyn LogReader,
        store: &dyn StateStore,
        space_id: &str,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        if let Some(state) = self.root.spaces.get(space_id) {
            return Ok(Some(Arc::clone(state)));
        }
        let persisted = self.load_blob(log, store, space_id)?;
        let Some(state) = self.folded_on(log, space_id, persisted)? else { return Ok(None) };
        self.root.spaces.insert(Arc::clone(&state));
        Ok(Some(state))
    }

    /// The state of a space, which is kept in memory no longer than it was; `None` when it has had
    /// no event.
    pub(super) fn peek(
        &self,
        log: &dyn LogReader,
        store: &dyn StateStore,
        space_id: &str,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        match self.root.spaces.get(space_id) {
            Some(state) => Ok(Some(Arc::clone(state))),
            None => {
                let persisted = self.blob(log, store, space_id)?;
                self.folded_on(log, space_id, persisted)
            }
        }
    }

    /// Hands the state of every space to `visit`, sorted by id, and keeps none of them in memory that
    /// was not.
    pub(super) fn each_state(
        &self,
        log: &dyn LogReader,
        store: &dyn StateStore,
        mut visit: impl FnMut(&SpaceState),
    ) -> Result<(), SnapshotError> {
        let mut count = 0;
        let mut visit = |state: &SpaceState| {
            count += 1;
            visit(state);
        };
        let mut in_memory = self.root.spaces.sorted().into_iter().peekable();
        if self.has_blobs {
            each_key(store, &generation_prefix(self.generation), |key| {
                let Some((_, space_id)) = parse_blob_key(key) else { return Ok(()) };
                while let Some(state) = in_memory.next_if(|state| state.space_id() < space_id) {
                    visit(state);
                }
                match in_memory.next_if(|state| state.space_id() == space_id) {
                    Some(state) => visit(state),
                    None => {
                        self.peek(log, store, space_id)?.iter().for_each(|state| visit(state));
                    }
                }
                Ok::<(), SnapshotError>(())
            })?;
        }
        in_memory.for_each(|state| visit(state));
        if count == self.root.space_count {
            return Ok(());
        }
        let what = format!("{count} of {} are there", self.root.space_count);
        Err(StorageError::new("reading the persisted states of spaces", what).into())
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
    pub(super) fn make_room(&mut self, store: &dyn StateStore, max_bytes: u64) {
        if self.measured.saturating_add(self.grown) <= self.enough.max(max_bytes) {
            return;
        }
        self.measured = self.root.spaces.memory_bytes();
        self.grown = 0;
        // So that it takes a while until it is looked at again.
        if self.measured <= max_bytes / 4 * 3 {
            return;
        }
        if let Err(error) = self.let_go(store) {
            tracing::warn!(%error, "states of spaces stay in memory: they could not be stored");
        }
        self.measured = self.root.spaces.memory_bytes();
        self.enough = self.measured.max(max_bytes) / 2 * 3;
    }

    /// Lets go of the states that have not changed since they were loaded, persisted or seen here.
    fn let_go(&mut self, store: &dyn StateStore) -> Result<(), StorageError> {
        let known = |map: &SharedMap<Revision>, state: &SpaceState| {
            map.get(state.space_id()) == Some(&state.revision())
        };
        let states = self.root.spaces.sorted().into_iter().map(Arc::clone);
        let (cold, warm): (Vec<_>, Vec<_>) =
            states.partition(|state| known(&self.persisted, state) || known(&self.seen, state));
        let changed = cold.iter().filter(|state| !known(&self.persisted, state));
        // Where a rebuild has replaced what was persisted they are folded from the log.
        if store.get(MARKER_KEY)? == self.marker {
            for state in changed {
                store.put(&blob_key(self.generation, state.space_id()), &encode_blob(state))?;
                self.has_blobs = true;
            }
        }
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
        store: &dyn StateStore,
    ) -> Result<(), SnapshotError> {
        if self.root.is_complete() {
            return Ok(());
        }
        if self.has_blobs {
            each_key(store, &generation_prefix(self.generation), |key| {
                match parse_blob_key(key) {
                    Some((_, space_id)) => self.state(log, store, space_id).map(drop),
                    None => Ok(()),
                }
            })?;
        }
        if self.root.is_complete() {
            return Ok(());
        }
        tracing::warn!("persisted states of spaces are missing: refolding them");
        let mut after: Option<String> = None;
        loop {
            let ids = log.spaces_after(after.as_deref(), IDS_AT_ONCE)?;
            for id in &ids {
                self.state(log, store, id)?;
            }
            match ids.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// The persisted state of a space, which is about to be kept in memory.
    fn load_blob(
        &mut self,
        log: &dyn LogReader,
        store: &dyn StateStore,
        space_id: &str,
    ) -> Result<Option<SpaceState>, SnapshotError> {
        let Some(state) = self.blob(log, store, space_id)? else { return Ok(None) };
        self.persisted.insert(space_id, state.revision());
        self.grown = self.grown.saturating_add(state.memory_bytes());
        Ok(Some(state))
    }

    /// The persisted state of a space, if it is whole and not ahead of the log.
    fn blob(
        &self,
        log: &dyn LogReader,
        store: &dyn StateStore,
        space_id: &str,
    ) -> Result<Option<SpaceState>, SnapshotError> {
        if !self.has_blobs {
            return Ok(None);
        }
        let Some(bytes) = store.get(&blob_key(self.generation, space_id))? else {
            return Ok(None);
        };
        let head = log.revision(space_id)?;
        let state = decode_blob(&bytes, space_id).filter(|state| state.revision() <= head);
        if state.is_none() {
            tracing::warn!(space_id, "the persisted state of a space is damaged: refolding it");
        }
        Ok(state)
    }

    /// Persists what changed, the marker last; `false` when the persisted states are not those
    /// that this went on from: nothing is written then.
    pub(super) fn save(&mut self, store: &dyn StateStore) -> Result<bool, StorageError> {
        let marker = Marker {
            generation: self.generation,
            position: self.root.position,
            event: self.root.event,
            spaces: self.root.space_count,
        };
        let bytes = marker.encode();
        let empty = self.root.position == Position::START;
        let is_marked = empty || self.marker.as_ref() == Some(&bytes);
        if is_marked && self.changed().is_empty() {
            return Ok(true);
        }
        if !self.persist_changed(store)? {
            return Ok(false);
        }
        store.put(MARKER_KEY, &bytes)?;
        self.marker = Some(bytes);
        if self.fresh {
            self.fresh = false;
            sweep(store, self.generation);
        }
        Ok(true)
    }

    /// The states in memory that are not persisted as they are.
    fn changed(&self) -> Vec<&Arc<SpaceState>> {
        let mut states = self.root.spaces.sorted();
        states.retain(|state| self.persisted.get(state.space_id()) != Some(&state.revision()));
        states
    }

    /// Persists the states that have changed; `false` when the marker is not the one that this went
    /// on from: nothing is written then.
    fn persist_changed(&mut self, store: &dyn StateStore) -> Result<bool, StorageError> {
        if store.get(MARKER_KEY)? != self.marker {
            return Ok(false);
        }
        let changed: Vec<_> = self.changed().into_iter().map(Arc::clone).collect();
        for state in changed {
            store.put(&blob_key(self.generation, state.space_id()), &encode_blob(&state))?;
            self.persisted.insert(state.space_id(), state.revision());
        }
        self.has_blobs = true;
        Ok(true)
    }
}

/// Removes the blobs of every generation but one. A blob that stays for a failure is in nobody's
/// way, and goes the next time.
pub(crate) fn sweep(store: &dyn StateStore, generation: u64) {
    let removed = each_key(store, BLOB_PREFIX, |key| {
        match parse_blob_key(key).is_none_or(|(of, _)| of != generation) {
            true => store.remove(key),
            false => Ok(()),
        }
    });
    if let Err(error) = removed {
        tracing::warn!(%error, "old states of spaces could not be removed");
    }
}

/// Hands every key that begins with a prefix to `visit`, ascending. It may be removed.
pub(crate) fn each_key<E: From<StorageError>>(
    store: &dyn StateStore,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let keys = store.keys_after(prefix, after.as_deref(), KEYS_AT_ONCE)?;
        keys.iter().try_for_each(|key| visit(key))?;
        match keys.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}
