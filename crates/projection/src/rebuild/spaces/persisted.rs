//! The states of the spaces as they are persisted, one at a time.

use spacefold_event_core::{Envelope, LogReader, Position, Revision, StateStore, StorageError};
use spacefold_state::{SpaceState, StateHash};

use crate::{
    checkpoint::{MARKER_KEY, Marker, blob_key, decode_blob, generation_prefix, parse_blob_key},
    live_states::each_key,
    rebuild::RebuildError,
    replay::fold_space_while,
};

pub(super) struct Persisted {
    marker: Marker,
    head: Position,
}

/// A persisted state, folded on.
pub(super) struct Old {
    pub(super) state: SpaceState,
    /// Its hash; that of the new state where the two agree as of the revision of the further one.
    pub(super) hash: StateHash,
}

impl Persisted {
    /// What is persisted for this log, if anything is.
    pub(super) fn load(
        log: &dyn LogReader,
        store: &dyn StateStore,
        head: Position,
    ) -> Result<Option<Self>, RebuildError> {
        let bytes = store.get(MARKER_KEY)?;
        match bytes.as_deref().and_then(Marker::decode) {
            Some(marker) if marker.fits(log)? => Ok(Some(Self { marker, head })),
            _ => Ok(None),
        }
    }

    pub(super) const fn generation(&self) -> u64 {
        self.marker.generation
    }

    /// Hands every space that has a blob to `visit`, sorted.
    pub(super) fn each_space(
        &self,
        store: &dyn StateStore,
        mut visit: impl FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        each_key(store, &generation_prefix(self.marker.generation), |key| {
            parse_blob_key(key).map_or(Ok(()), |(_, space_id)| visit(space_id))
        })
    }

    /// The state of a space as its blob has it.
    pub(super) fn blob(
        &self,
        store: &dyn StateStore,
        space_id: &str,
    ) -> Result<Option<SpaceState>, StorageError> {
        let blob = store.get(&blob_key(self.marker.generation, space_id))?;
        Ok(blob.and_then(|bytes| decode_blob(&bytes, space_id)))
    }

    /// The persisted state of a space, folded on to the head as far as it can be.
    ///
    /// What is wrong with it stays wrong, so that it is found: a blob that is damaged or lost is a
    /// space without a state, and one that is too old takes in nothing more. A blob that is ahead
    /// of the head, since the store goes on meanwhile, is compared as of where it is.
    pub(super) fn state(
        &self,
        log: &dyn LogReader,
        store: &dyn StateStore,
        new: &SpaceState,
    ) -> Result<Option<Old>, RebuildError> {
        let blob = self.blob(store, new.space_id())?;
        let mut state = blob.unwrap_or_else(|| SpaceState::new(new.space_id()));
        if state.revision() > new.revision() {
            let mut ahead = new.clone();
            let takes = |event: &Envelope<'_>| event.revision <= state.revision();
            fold_space_while(log, &mut ahead, log.durable_head(), takes, &mut |_, _| {})?;
            let hash = if ahead == state { new.state_hash() } else { state.state_hash() };
            return Ok(Some(Old { state, hash }));
        }
        let (from, head) = (self.marker.position, self.head);
        if state.revision() < new.revision() {
            let takes = |event: &Envelope<'_>| from < event.position;
            fold_space_while(log, &mut state, head, takes, &mut |_, _| {})?;
        }
        let hash = state.state_hash();
        Ok((state.revision() > Revision::NONE).then_some(Old { state, hash }))
    }
}
