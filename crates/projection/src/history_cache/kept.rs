//! What is kept of the past of spaces, as rows of sorted runs.
//!
//! Key of a row: kind (u8), length of the space id (u16), space id, number (u64, big endian, as is the
//! length). Kinds: `e`, under the inverted revision of its last event, a stretch of events; `s`, under a
//! position, that a state is kept as of the event there, and that event's revision (u64, little
//! endian); `v`, under the same number, that state, packed with LZ4 behind its length (u32).
//!
//! What says where states are is small and apart from them, so that it is found without reading one.
//! Revisions are inverted because the nearest row before a key is what is found fast.

use std::{collections::BTreeMap, sync::Arc};

use spacefold_disk::Folder;
use spacefold_event_core::{Position, Revision, bytes::to_u64};
use spacefold_runs::{RunSetOptions, RunsError, View};
use spacefold_state::SpaceState;

use super::stretch::SpaceStretch;

const STRETCH: u8 = b'e';
const STATE_AT: u8 = b's';
const STATE: u8 = b'v';

const NUMBER_BYTES: usize = size_of::<u64>();

/// How it is kept.
pub(super) const RUNS: RunSetOptions = RunSetOptions {
    kind: *b"history\x01",
    // The rows of one kind of one space.
    filter_key: |key| key.split_last_chunk::<NUMBER_BYTES>().map_or(key, |(group, _)| group),
    inline_bytes: 0,
    join: None,
    is_ascending: false,
};

/// What is kept, as of one time.
#[derive(Debug)]
pub(super) struct CacheView {
    pub(super) view: View,
    pub(super) folder: Arc<dyn Folder>,
}

/// That a state of a space is kept: as of which of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateAt {
    pub(super) revision: Revision,
    pub(super) position: Position,
}

impl CacheView {
    /// Of the stretches of a space with events after a revision, the first.
    pub(super) fn stretch_after(
        &self,
        space_id: &str,
        revision: Revision,
    ) -> Result<Option<SpaceStretch>, RunsError> {
        let sought = key(STRETCH, space_id, !revision.next().get());
        let Some((found, value)) = self.view.floor(&sought)? else { return Ok(None) };
        let stretch = SpaceStretch::decode(&value, Revision::new(!number_of(&found)));
        stretch.map(Some).ok_or_else(|| self.damaged("a stretch of events does not decode"))
    }

    /// The newest state of a space that is kept as of a position or before it.
    pub(super) fn state_before(
        &self,
        space_id: &str,
        position: Position,
    ) -> Result<Option<StateAt>, RunsError> {
        let Some((found, value)) = self.view.floor(&key(STATE_AT, space_id, position.get()))?
        else {
            return Ok(None);
        };
        let revision = <[u8; NUMBER_BYTES]>::try_from(&*value).map(u64::from_le_bytes);
        let revision = revision.map_err(|_| self.damaged("a revision does not decode"))?;
        let (revision, position) = (Revision::new(revision), Position::new(number_of(&found)));
        Ok(Some(StateAt { revision, position }))
    }

    /// A state that is kept.
    pub(super) fn state(&self, space_id: &str, at: StateAt) -> Result<SpaceState, RunsError> {
        let value = self.view.get(&key(STATE, space_id, at.position.get()))?.value();
        let unpacked = value.and_then(|value| lz4_flex::decompress_size_prepended(&value).ok());
        let state = unpacked.and_then(|bytes| SpaceState::decode(bytes).ok());
        state
            .filter(|state| (state.space_id(), state.revision()) == (space_id, at.revision))
            .ok_or_else(|| self.damaged("a state does not decode"))
    }

    fn damaged(&self, what: &str) -> RunsError {
        RunsError::Damaged { path: self.folder.path().to_owned(), offset: 0, what: what.to_owned() }
    }
}

/// Rows that are to be kept.
#[derive(Debug, Default)]
pub(super) struct CacheRows {
    pub(super) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of their values.
    pub(super) bytes: u64,
}

impl CacheRows {
    /// A stretch of events, up to a revision.
    pub(super) fn add_stretch(&mut self, space_id: &str, last: Revision, stretch: Vec<u8>) {
        self.add(key(STRETCH, space_id, !last.get()), stretch);
    }

    /// A state as of the event at a position.
    pub(super) fn add_state(&mut self, state: &SpaceState, position: Position) {
        let key = |kind| key(kind, state.space_id(), position.get());
        self.add(key(STATE), lz4_flex::compress_prepend_size(&state.encode()));
        self.add(key(STATE_AT), state.revision().get().to_le_bytes().to_vec());
    }

    fn add(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += to_u64(value.len());
        self.rows.insert(key, value);
    }
}

fn key(kind: u8, space_id: &str, number: u64) -> Vec<u8> {
    let length = u16::try_from(space_id.len()).unwrap_or(u16::MAX);
    let parts: [&[u8]; 4] =
        [&[kind], &length.to_be_bytes(), space_id.as_bytes(), &number.to_be_bytes()];
    parts.concat()
}

fn number_of(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |number| u64::from_be_bytes(*number))
}
