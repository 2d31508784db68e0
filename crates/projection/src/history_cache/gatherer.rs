//! Gathering each space's events out of the log, so that its past is found in few places.
//!
//! What the manifest keeps with the runs is the checkpoint: how far the log is gathered, which everything
//! that is kept comes from.

use std::{mem, sync::Arc};

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    LogReader, Position, RecordedEventRef,
    bytes::{ByteReader, to_u64},
};
use spacefold_runs::{RunSet, RunsError};

use super::{
    HistoryCache,
    kept::{CacheRows, CacheView, RUNS, StateAt},
    stretch::StretchBuilder,
};
use crate::{
    checkpoint::Checkpoint, derived_state::DerivedState, kept_states::KEPT_VERSION,
    replay::fold_log, snapshot_error::SnapshotError,
};

/// Events that are gathered in one go.
pub(super) const STRIDE: u64 = 16_384;
/// A stretch has at least this many events: as many blocks may have to be read in its place.
const MIN_EVENTS: usize = 32;
/// At the end of a session this many are enough.
const MIN_EVENTS_AT_END: usize = 8;
/// When a space has this many events in a block, its stretches are in the log already.
const DENSE_EVENTS: u64 = 64;
/// Events of a block, about.
const BLOCK_EVENTS: u64 = 512;
/// Events that are held while their stretches are too short; beyond them they stay in the log only.
const MAX_HELD_EVENTS: usize = 131_072;
/// As many spaces: of more of them than this, most have too few events for a stretch.
const MAX_HELD_SPACES: usize = MAX_HELD_EVENTS / 4;
/// A state is kept after this many events of its space, at least.
const STATE_EVENTS: u64 = 1_024;
/// And after this many for each of its documents, so that states take less room than events do.
const STATE_EVENTS_PER_DOCUMENT: u64 = 2;
/// Bytes of rows that are held before they are written.
const MAX_ROW_BYTES: u64 = 16 << 20;

/// How far the log is gathered, and what of it is not written yet.
pub(super) struct Gatherer {
    runs: RunSet,
    position: Position,
    /// Where the checkpoint is that was written last.
    written: Position,
    held: RapidHashMap<String, StretchBuilder>,
    held_events: usize,
    /// What is to be written: states wait here for the next stretches, so that they share a run.
    rows: CacheRows,
}

impl Gatherer {
    /// Goes on from what is kept, if that is of this log; else nothing is kept yet.
    pub(super) fn load(log: &dyn LogReader, place: &DerivedState) -> Result<Self, SnapshotError> {
        let opened = place.open_runs(RUNS)?;
        let kept = opened.and_then(|opened| {
            let mut owner = ByteReader::new(&opened.owner);
            let checkpoint = Checkpoint::decode(&mut owner)?;
            owner.end((opened.set, checkpoint))
        });
        let (runs, position) = match kept {
            Some((runs, checkpoint))
                if checkpoint.version == KEPT_VERSION && checkpoint.fits(log)? =>
            {
                (runs, checkpoint.position())
            }
            other => {
                if other.is_some() {
                    tracing::warn!("the history cache is not this log's: it is rebuilt");
                }
                // What stays for a failure is found wrong again.
                if let Err(error) = RunSet::remove(place.folder()) {
                    tracing::warn!(%error, "the history cache could not be removed");
                }
                (place.empty_runs(RUNS)?, Position::START)
            }
        };
        if let Err(error) = runs.sweep() {
            tracing::warn!(%error, "old runs of the history cache could not be removed");
        }
        let held = RapidHashMap::default();
        Ok(Self {
            runs,
            position,
            written: position,
            held,
            held_events: 0,
            rows: CacheRows::default(),
        })
    }

    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// What is kept now.
    pub(super) fn kept(&self, place: &DerivedState) -> CacheView {
        CacheView { view: self.runs.view().clone(), folder: Arc::clone(place.folder()) }
    }

    /// Gathers the next events up to a position, at most [`STRIDE`], and keeps what is long enough.
    pub(super) fn gather(
        &mut self,
        cache: &HistoryCache,
        to: Position,
    ) -> Result<(), SnapshotError> {
        let to = self.position.plus(STRIDE).min(to);
        if to <= self.position {
            return Ok(());
        }
        let after = self.position;
        // A part that fails is not gathered again: what is not kept is read in the log.
        self.position = to;
        let taken = fold_log(&*cache.log, after, to, |event| {
            self.take(event);
            Ok::<(), SnapshotError>(())
        });
        if taken.is_err() {
            // What is held would go on behind a gap, at revisions that it only counts.
            self.held.clear();
            self.held_events = 0;
        }
        taken?;
        self.keep(cache, MIN_EVENTS)?;
        if self.held_events > MAX_HELD_EVENTS || self.held.len() > MAX_HELD_SPACES {
            self.keep_rest(cache)?;
        }
        Ok(())
    }

    /// Keeps what has been gathered, for the end of a session.
    pub(super) fn finish(&mut self, cache: &HistoryCache) -> Result<(), SnapshotError> {
        self.keep_rest(cache)?;
        if self.position > self.written || !self.rows.rows.is_empty() {
            self.write(cache)?;
        }
        Ok(())
    }

    fn take(&mut self, event: &RecordedEventRef<'_>) {
        self.held_events += 1;
        match self.held.get_mut(event.space_id) {
            Some(gathered) => gathered.push(event),
            None => {
                let mut gathered = StretchBuilder::default();
                gathered.push(event);
                self.held.insert(event.space_id.to_owned(), gathered);
            }
        }
    }

    fn keep_rest(&mut self, cache: &HistoryCache) -> Result<(), SnapshotError> {
        self.keep(cache, MIN_EVENTS_AT_END)?;
        self.held.clear();
        self.held_events = 0;
        Ok(())
    }

    fn keep(&mut self, cache: &HistoryCache, min_events: usize) -> Result<(), SnapshotError> {
        let long = |gathered: &StretchBuilder| gathered.count() >= min_events;
        let (kept, held) = mem::take(&mut self.held).into_iter().partition(|(_, g)| long(g));
        let kept: RapidHashMap<String, StretchBuilder> = kept;
        self.held = held;
        let mut ends = Vec::new();
        for (space_id, gathered) in kept {
            self.held_events -= gathered.count();
            let Some((first, last)) = gathered.span() else { continue };
            let blocks = last.since(first) / BLOCK_EVENTS + 1;
            let end = StateAt { revision: gathered.last_revision(), position: last };
            if to_u64(gathered.count()) / blocks < DENSE_EVENTS {
                self.rows.add_stretch(&space_id, end.revision, gathered.finish());
                self.write_if_many(cache)?;
            }
            ends.push((space_id, end));
        }
        if !self.rows.rows.is_empty() {
            self.write(cache)?;
        }
        self.keep_states(cache, &ends)
    }

    /// Keeps the states of spaces as of these events, where the last one that is kept is long ago.
    fn keep_states(
        &mut self,
        cache: &HistoryCache,
        ends: &[(String, StateAt)],
    ) -> Result<(), SnapshotError> {
        for (space_id, end) in ends {
            let newest = cache.read(|kept| kept.state_before(space_id, end.position))?;
            let since = newest.map_or(0, |newest| newest.revision.get());
            let events = end.revision.get().saturating_sub(since);
            if events < STATE_EVENTS {
                continue;
            }
            let Some(state) = cache.state_at(space_id, end.position)? else { continue };
            let documents = to_u64(state.document_count());
            if events >= documents.saturating_mul(STATE_EVENTS_PER_DOCUMENT) {
                self.rows.add_state(&state, end.position);
                self.write_if_many(cache)?;
            }
        }
        Ok(())
    }

    fn write_if_many(&mut self, cache: &HistoryCache) -> Result<(), SnapshotError> {
        if self.rows.bytes < MAX_ROW_BYTES { Ok(()) } else { self.write(cache) }
    }

    /// Writes the rows and how far the log is gathered, in one step.
    fn write(&mut self, cache: &HistoryCache) -> Result<(), SnapshotError> {
        let rows = mem::take(&mut self.rows).rows;
        let mut owner = Vec::new();
        Checkpoint::at(&*cache.log, KEPT_VERSION, self.position)?.encode(&mut owner);
        let rows = rows.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())));
        match self.runs.write(rows, &owner) {
            Ok(written) => self.runs.adopt(written),
            Err(RunsError::Storage(error)) => return Err(error.into()),
            Err(damaged) => {
                cache.give_up(&damaged);
                return Ok(());
            }
        }
        self.written = self.position;
        cache.show(self.kept(&cache.place));
        Ok(())
    }
}
