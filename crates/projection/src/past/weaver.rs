//! Gathering each space's events out of the log, so that its past is found in few places.

use std::mem;

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    LogReader, Position, RecordedEventRef, StateStore,
    bytes::{ByteReader, put_u64, to_u64},
};

use super::{
    Past,
    stretch::{Gathered, MARKER_KEY, PREFIX, StateKey, encode_state},
};
use crate::{
    checkpoint::{LastEvent, event_at},
    replay::fold_log,
    snapshot_error::SnapshotError,
    wire::{seal, unseal},
};

/// Events that are gathered in one go.
pub(super) const STRIDE: u64 = 16_384;
/// A stretch has at least so many events: as many blocks may have to be read in its place.
const MIN_EVENTS: usize = 32;
/// At the end of a session so many are enough.
const MIN_EVENTS_AT_END: usize = 8;
/// When a space has so many events in a block, its stretches are in the log already.
const DENSE_EVENTS: u64 = 64;
/// Events of a block, about.
const BLOCK_EVENTS: u64 = 512;
/// Events that are held while their stretches are too short; beyond them they stay in the log only.
const MAX_HELD_EVENTS: usize = 131_072;
/// As many spaces: of more of them than this, most have too few events for a stretch.
const MAX_HELD_SPACES: usize = MAX_HELD_EVENTS / 4;
/// A state is kept after so many events of its space, at least.
const STATE_EVENTS: u64 = 1_024;
/// And after so many for each of its documents, so that states take less room than events do.
const STATE_EVENTS_PER_DOCUMENT: u64 = 2;

/// How far the past is gathered, and what of it is not written yet.
pub(super) struct Weaver {
    position: Position,
    held: RapidHashMap<String, Gathered>,
    held_events: usize,
}

impl Weaver {
    /// Goes on from what is kept, if that is of this log; else nothing is kept yet.
    pub(super) fn load(log: &dyn LogReader, store: &dyn StateStore) -> Result<Self, SnapshotError> {
        let mut position = Position::START;
        if let Some(bytes) = store.get(MARKER_KEY)? {
            match decode_marker(&bytes) {
                Some((at, event))
                    if at <= log.durable_head() && event_at(log, at)? == Some(event) =>
                {
                    position = at;
                }
                _ => {
                    tracing::warn!("what is kept of the past is not this log's, or damaged");
                    remove_all(store)?;
                }
            }
        }
        Ok(Self { position, held: RapidHashMap::default(), held_events: 0 })
    }

    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// Gathers the next events up to a position, at most [`STRIDE`], and keeps what is long enough.
    pub(super) fn weave(&mut self, past: &Past, to: Position) -> Result<(), SnapshotError> {
        let to = self.position.plus(STRIDE).min(to);
        if to <= self.position {
            return Ok(());
        }
        let after = self.position;
        // A part that fails is not gathered again: what is not kept is read in the log.
        self.position = to;
        fold_log(&*past.log, after, to, |event| {
            self.gather(event);
            Ok::<(), SnapshotError>(())
        })?;
        self.keep(past, MIN_EVENTS)?;
        if self.held_events > MAX_HELD_EVENTS || self.held.len() > MAX_HELD_SPACES {
            self.keep(past, MIN_EVENTS_AT_END)?;
            self.held.clear();
            self.held_events = 0;
        }
        self.mark(past)
    }

    /// Keeps what has been gathered, for the end of a session.
    pub(super) fn finish(&mut self, past: &Past) -> Result<(), SnapshotError> {
        self.keep(past, MIN_EVENTS_AT_END)?;
        self.held.clear();
        self.held_events = 0;
        self.mark(past)
    }

    fn gather(&mut self, event: &RecordedEventRef<'_>) {
        self.held_events += 1;
        match self.held.get_mut(event.space_id) {
            Some(gathered) => gathered.push(event),
            None => {
                let mut gathered = Gathered::default();
                gathered.push(event);
                self.held.insert(event.space_id.to_owned(), gathered);
            }
        }
    }

    fn keep(&mut self, past: &Past, min_events: usize) -> Result<(), SnapshotError> {
        let long = |gathered: &Gathered| gathered.count() >= min_events;
        let (kept, held) = mem::take(&mut self.held).into_iter().partition(|(_, g)| long(g));
        let kept: RapidHashMap<String, Gathered> = kept;
        self.held = held;
        for (space_id, gathered) in kept {
            self.held_events -= gathered.count();
            let Some((first, last)) = gathered.span() else { continue };
            let blocks = last.since(first) / BLOCK_EVENTS + 1;
            let events = to_u64(gathered.count());
            let (revision, is_dense) = (gathered.last_revision(), events / blocks >= DENSE_EVENTS);
            if !is_dense && let Some((key, blob)) = gathered.finish(&space_id) {
                past.store.put(&key.encode(&space_id), &blob)?;
                past.forget_directory(&space_id);
            }
            keep_state(past, &space_id, StateKey { revision, position: last })?;
        }
        Ok(())
    }

    fn mark(&self, past: &Past) -> Result<(), SnapshotError> {
        if let Some(event) = event_at(&*past.log, self.position)? {
            past.store.put(MARKER_KEY, &encode_marker(self.position, event))?;
        }
        Ok(())
    }
}

/// Keeps the state of a space as of its event at this key, when the last one lies far behind.
fn keep_state(past: &Past, space_id: &str, key: StateKey) -> Result<(), SnapshotError> {
    let newest = past.directory(space_id)?.newest_state();
    // A state that lies ahead is of a session whose marker is gone.
    let newest = newest.map_or(0, |newest| newest.revision.get());
    let behind = key.revision.get().saturating_sub(newest);
    if behind < STATE_EVENTS {
        return Ok(());
    }
    let Some(state) = past.state_at(space_id, key.position)? else { return Ok(()) };
    let documents = to_u64(state.document_count());
    if behind < documents.saturating_mul(STATE_EVENTS_PER_DOCUMENT)
        || state.revision() != key.revision
    {
        return Ok(());
    }
    if let Some(event) = event_at(&*past.log, key.position)? {
        past.store.put(&key.encode(space_id), &encode_state(&state, key.position, event))?;
        past.forget_directory(space_id);
    }
    Ok(())
}

/// Removes everything that is kept of the past.
pub(super) fn remove_all(store: &dyn StateStore) -> Result<(), SnapshotError> {
    store.remove(MARKER_KEY)?;
    for key in store.keys(PREFIX)? {
        store.remove(&key)?;
    }
    Ok(())
}

fn encode_marker(position: Position, event: LastEvent) -> Vec<u8> {
    let mut bytes = super::stretch::VERSION.to_le_bytes().to_vec();
    put_u64(&mut bytes, position.get());
    event.encode(&mut bytes);
    seal(bytes)
}

fn decode_marker(bytes: &[u8]) -> Option<(Position, LastEvent)> {
    let mut reader = ByteReader::new(unseal(bytes)?);
    if reader.u64()? != super::stretch::VERSION {
        return None;
    }
    let position = Position::new(reader.u64()?);
    let event = LastEvent::decode(&mut reader)?;
    reader.end((position, event))
}
