//! What a [`LiveStates`](super::LiveStates) holds in memory once it is used.

use std::{collections::BTreeSet, sync::Arc};

use rustc_hash::FxHashMap;
use spacefold_event_core::{
    EventLog, Position, RecordedEventRef, Revision, StateStore, StorageError,
};

use super::{
    SnapshotError,
    history::{fold_log, fold_space},
};
use crate::{
    SpaceState,
    checkpoint::{
        BLOB_PREFIX, LastEvent, MARKER_KEY, Marker, blob_key, decode_blob, encode_blob,
        generation_prefix, parse_blob_key, unused_generation,
    },
};

pub(super) struct Live {
    /// The last position that is folded.
    pub(super) position: Position,
    /// The event there.
    event: LastEvent,
    /// How many spaces there are at that position, loaded or not.
    space_count: u64,
    spaces: FxHashMap<String, Loaded>,
    /// Which set of blobs is this log's.
    generation: u64,
    /// Whether that set is new: nothing of it is persisted yet, and others go at the first save.
    fresh: bool,
    /// The marker as it was found or saved last.
    marker: Option<Vec<u8>>,
}

struct Loaded {
    state: Arc<SpaceState>,
    /// Whether it has taken in an event since it was persisted.
    dirty: bool,
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
                position: marker.position,
                event: marker.event,
                space_count: marker.spaces,
                spaces: FxHashMap::default(),
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
        Self {
            position: Position::START,
            event: LastEvent::NONE,
            space_count: 0,
            spaces: FxHashMap::default(),
            generation,
            fresh: true,
            marker,
        }
    }

    /// Folds up to the durable head as it is now.
    pub(super) fn catch_up(
        &mut self,
        log: &dyn EventLog,
        store: &dyn StateStore,
    ) -> Result<(), SnapshotError> {
        let head = log.durable_head();
        let position = self.position;
        fold_log(log, position, head, |event| self.fold(log, store, event))
    }

    fn fold(
        &mut self,
        log: &dyn EventLog,
        store: &dyn StateStore,
        event: &RecordedEventRef<'_>,
    ) -> Result<(), SnapshotError> {
        let is_new = event.revision == Revision::new(1);
        if !self.spaces.contains_key(event.space_id) {
            let mut state = SpaceState::new(event.space_id);
            if !is_new {
                state = self.blob(log, store, event.space_id)?.unwrap_or(state);
                if state.revision().next() < event.revision {
                    fold_space(log, &mut state, self.position)?;
                }
            }
            let state = Arc::new(state);
            let dirty = false;
            self.spaces.insert(event.space_id.to_owned(), Loaded { state, dirty });
        }
        if let Some(loaded) = self.spaces.get_mut(event.space_id)
            && loaded.state.revision() < event.revision
        {
            Arc::make_mut(&mut loaded.state).apply(event);
            loaded.dirty = true;
        }
        self.space_count += u64::from(is_new);
        self.position = event.position;
        self.event = LastEvent { id: event.event_id, recorded_at: event.recorded_at };
        Ok(())
    }

    /// The state of a space; `None` when it has had no event.
    pub(super) fn state(
        &mut self,
        log: &dyn EventLog,
        store: &dyn StateStore,
        space_id: &str,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        if let Some(loaded) = self.spaces.get(space_id) {
            return Ok(Some(Arc::clone(&loaded.state)));
        }
        let revision = log.revision(space_id)?;
        if revision == Revision::NONE {
            return Ok(None);
        }
        let persisted = self.blob(log, store, space_id)?;
        let mut state = persisted.unwrap_or_else(|| SpaceState::new(space_id));
        let known = state.revision();
        if known < revision {
            fold_space(log, &mut state, self.position)?;
        }
        if state.revision() == Revision::NONE {
            return Ok(None);
        }
        let dirty = state.revision() > known;
        let state = Arc::new(state);
        let loaded = Loaded { state: Arc::clone(&state), dirty };
        self.spaces.insert(space_id.to_owned(), loaded);
        Ok(Some(state))
    }

    /// The states of all spaces, sorted by space id.
    pub(super) fn all(
        &mut self,
        log: &dyn EventLog,
        store: &dyn StateStore,
    ) -> Result<Vec<Arc<SpaceState>>, SnapshotError> {
        let mut ids = self.ids(store)?;
        if u64::try_from(ids.len()).unwrap_or(u64::MAX) != self.space_count {
            tracing::warn!("persisted states of spaces are missing: refolding");
            let keys = store.keys(BLOB_PREFIX)?;
            let generation = unused_generation(&keys, None).max(self.generation.saturating_add(1));
            *self = Self::empty(generation, self.marker.take());
            self.catch_up(log, store)?;
            ids = self.ids(store)?;
        }
        let mut states = Vec::with_capacity(ids.len());
        for id in ids {
            states.extend(self.state(log, store, &id)?);
        }
        Ok(states)
    }

    /// The ids of all spaces, loaded or persisted.
    fn ids(&self, store: &dyn StateStore) -> Result<BTreeSet<String>, StorageError> {
        let mut ids: BTreeSet<String> = self.spaces.keys().cloned().collect();
        if !self.fresh {
            let keys = store.keys(&generation_prefix(self.generation))?;
            let persisted = keys.iter().filter_map(|key| parse_blob_key(key));
            ids.extend(persisted.map(|(_, id)| id.to_owned()));
        }
        Ok(ids)
    }

    /// The persisted state of a space, if it is whole and not ahead of the log.
    fn blob(
        &self,
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
            position: self.position,
            event: self.event,
            spaces: self.space_count,
        };
        let bytes = marker.encode();
        let changed = self.spaces.values().any(|loaded| loaded.dirty);
        let empty = self.position == Position::START;
        if !changed && (empty || self.marker.as_ref() == Some(&bytes)) {
            return Ok(true);
        }
        if store.get(MARKER_KEY)? != self.marker {
            return Ok(false);
        }
        for (space_id, loaded) in &mut self.spaces {
            if loaded.dirty {
                store.put(&blob_key(self.generation, space_id), &encode_blob(&loaded.state))?;
                loaded.dirty = false;
            }
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
