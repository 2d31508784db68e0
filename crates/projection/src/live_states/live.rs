//! The fold behind a [`LiveStates`](super::LiveStates).

use std::{collections::BTreeSet, sync::Arc};

use spacefold_event_core::{
    EventLog, Position, RecordedEventRef, Revision, StateStore, StorageError,
};

use super::{
    SnapshotError,
    history::{fold_log, fold_space},
    root::Root,
};
use crate::{
    SpaceState,
    checkpoint::{
        BLOB_PREFIX, LastEvent, MARKER_KEY, Marker, blob_key, decode_blob, encode_blob,
        generation_prefix, parse_blob_key, unused_generation,
    },
    shared_map::SharedMap,
};

/// A clone costs nothing that grows: a fold goes on in one, and takes the place of the old when it
/// ends, so that no panic leaves it half done.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) root: Root,
    /// The revision at which the state of each space in memory is persisted, if it is.
    persisted: SharedMap<Revision>,
    /// Which set of blobs is this log's.
    generation: u64,
    /// Whether that set is new: nothing of it is persisted yet, and others go at the first save.
    fresh: bool,
    /// The marker as it was found or saved last.
    marker: Option<Vec<u8>>,
}

impl Live {
    /// Begins at what is persisted, if that is good for this log, otherwise at the first event.
    pub(super) fn load(log: &dyn EventLog, store: &dyn StateStore) -> Result<Self, SnapshotError> {
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
                marker: bytes,
            });
        }
        if bytes.is_some() {
            tracing::warn!("the persisted space states are not this log's, or damaged: refolding");
        }
        let keys = store.keys(BLOB_PREFIX)?;
        Ok(Self::empty(unused_generation(&keys, marker.as_ref()), bytes))
    }

    fn empty(generation: u64, marker: Option<Vec<u8>>) -> Self {
        let (root, persisted) = (Root::empty(), SharedMap::new());
        Self { root, persisted, generation, fresh: true, marker }
    }

    /// Folds up to a position.
    pub(super) fn fold_to(
        &mut self,
        log: &dyn EventLog,
        store: &dyn StateStore,
        to: Position,
    ) -> Result<(), SnapshotError> {
        fold_log(log, self.root.position, to, |event| self.fold(log, store, event))
    }

    fn fold(
        &mut self,
        log: &dyn EventLog,
        store: &dyn StateStore,
        event: &RecordedEventRef<'_>,
    ) -> Result<(), SnapshotError> {
        let is_new = event.revision == Revision::new(1);
        let state = match self.root.spaces.get_mut(event.space_id) {
            Some(state) => state,
            None => {
                let mut state = SpaceState::new(event.space_id);
                if !is_new {
                    state = self.blob(log, store, event.space_id)?.unwrap_or(state);
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

    /// The state of a space, loaded when it is not in memory; `None` when it has had no event.
    pub(super) fn state(
        &mut self,
        log: &dyn EventLog,
        store: &dyn StateStore,
        space_id: &str,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        if let Some(state) = self.root.spaces.get(space_id) {
            return Ok(Some(Arc::clone(state)));
        }
        let revision = log.revision(space_id)?;
        if revision == Revision::NONE {
            return Ok(None);
        }
        let persisted = self.blob(log, store, space_id)?;
        let mut state = persisted.unwrap_or_else(|| SpaceState::new(space_id));
        if state.revision() < revision {
            fold_space(log, &mut state, self.root.position)?;
        }
        if state.revision() == Revision::NONE {
            return Ok(None);
        }
        let state = Arc::new(state);
        self.root.spaces.insert(Arc::clone(&state));
        Ok(Some(state))
    }

    /// Loads the states of all spaces.
    pub(super) fn load_all(
        &mut self,
        log: &dyn EventLog,
        store: &dyn StateStore,
    ) -> Result<(), SnapshotError> {
        if self.root.is_complete() {
            return Ok(());
        }
        let mut ids = self.ids(store)?;
        if u64::try_from(ids.len()) != Ok(self.root.space_count) {
            tracing::warn!("persisted states of spaces are missing: refolding");
            let keys = store.keys(BLOB_PREFIX)?;
            let generation = unused_generation(&keys, None).max(self.generation.saturating_add(1));
            let position = self.root.position;
            *self = Self::empty(generation, self.marker.take());
            self.fold_to(log, store, position)?;
            ids = self.ids(store)?;
        }
        for id in ids {
            self.state(log, store, &id)?;
        }
        Ok(())
    }

    /// The ids of all spaces, in memory or persisted.
    fn ids(&self, store: &dyn StateStore) -> Result<BTreeSet<String>, StorageError> {
        let in_memory = self.root.spaces.sorted().into_iter();
        let mut ids: BTreeSet<String> =
            in_memory.map(|state| state.space_id().to_owned()).collect();
        if !self.fresh {
            let keys = store.keys(&generation_prefix(self.generation))?;
            let persisted = keys.iter().filter_map(|key| parse_blob_key(key));
            ids.extend(persisted.map(|(_, id)| id.to_owned()));
        }
        Ok(ids)
    }

    /// The persisted state of a space, if it is whole and not ahead of the log.
    fn blob(
        &mut self,
        log: &dyn EventLog,
        store: &dyn StateStore,
        space_id: &str,
    ) -> Result<Option<SpaceState>, SnapshotError> {
        if self.fresh {
            return Ok(None);
        }
        let Some(bytes) = store.get(&blob_key(self.generation, space_id))? else {
            return Ok(None);
        };
        let state = decode_blob(&bytes, space_id);
        let head = log.revision(space_id)?;
        let state = state.filter(|state| state.revision() <= head);
        match &state {
            Some(state) => {
                self.persisted.insert(space_id, state.revision());
            }
            None => {
                tracing::warn!(space_id, "the persisted state of a space is damaged: refolding it");
            }
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
        let changed: Vec<_> = self.root.spaces.sorted();
        let changed: Vec<_> = changed
            .into_iter()
            .filter(|state| self.persisted.get(state.space_id()) != Some(&state.revision()))
            .collect();
        let empty = self.root.position == Position::START;
        if changed.is_empty() && (empty || self.marker.as_ref() == Some(&bytes)) {
            return Ok(true);
        }
        if store.get(MARKER_KEY)? != self.marker {
            return Ok(false);
        }
        for state in changed {
            store.put(&blob_key(self.generation, state.space_id()), &encode_blob(state))?;
            self.persisted.insert(state.space_id(), state.revision());
        }
        store.put(MARKER_KEY, &bytes)?;
        self.marker = Some(bytes);
        if self.fresh {
            self.fresh = false;
            sweep(store, self.generation);
        }
        Ok(true)
    }
}

/// Removes the blobs of every generation but one. A blob that stays for a failure is in nobody's
/// way, and goes the next time.
pub(crate) fn sweep(store: &dyn StateStore, generation: u64) {
    let removed = store.keys(BLOB_PREFIX).and_then(|keys| {
        let of_others =
            keys.iter().filter(|key| parse_blob_key(key).is_none_or(|(of, _)| of != generation));
        of_others.into_iter().try_for_each(|key| store.remove(key))
    });
    if let Err(error) = removed {
        tracing::warn!(%error, "old states of spaces could not be removed");
    }
}
