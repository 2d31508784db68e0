//! Folding anew from the first event, beside what is persisted, and swapping in one step.

mod divergence;
mod fold;

use std::{num::NonZeroUsize, time::Instant};

use spacefold_event_core::{EventLog, Position, ReadError, StateStore, StorageError};

pub use self::divergence::Divergence;
use crate::{
    Projection, SpaceStates, StateHash,
    checkpoint::{
        BLOB_PREFIX, LastEvent, MARKER_KEY, Marker, blob_key, decode_blob, encode_blob, event_at,
        generation_prefix, parse_blob_key, unused_generation,
    },
    live_states::{fold_log, sweep},
};

/// What a rebuild does with what it folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebuildMode {
    /// Puts it in the place of what is persisted, where the two differ.
    Replace,
    /// Compares, and changes nothing.
    Check,
}

/// How to rebuild.
#[derive(Clone, Copy)]
pub struct RebuildOptions<'a> {
    /// What to do with what was folded.
    pub mode: RebuildMode,
    /// How many threads fold.
    pub threads: NonZeroUsize,
    /// Told now and then how many events have been read, by any of the threads.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// What came of the rebuild of one projection.
#[derive(Clone, Debug, PartialEq)]
pub struct RebuildOutcome {
    /// The name of the projection.
    pub name: &'static str,
    /// The version of its fold.
    pub version: u32,
    /// How many events were read: the durable head.
    pub events: u64,
    /// How long it took, the swap included.
    pub seconds: f64,
    /// How many spaces there are.
    pub spaces: u64,
    /// The hash of what was persisted, folded on to the durable head; `None` when there was none.
    pub old_hash: Option<String>,
    /// The hash of what was folded.
    pub new_hash: String,
    /// How the two compare, and what was done.
    pub verdict: Verdict,
    /// With [`Verdict::Diverged`]: where.
    pub first_divergence: Option<Divergence>,
}

/// How what was folded compares with what was persisted, and what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are the same, or nothing was persisted and nothing was to be changed.
    Identical,
    /// They differed: the new one is persisted now.
    Replaced,
    /// Nothing was persisted: the new one is now.
    Created,
    /// They differ: nothing was changed.
    Diverged,
}

impl Verdict {
    /// The name in the text formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::Replaced => "replaced",
            Self::Created => "created",
            Self::Diverged => "diverged",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Why a rebuild did not end. What was persisted before still counts, whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// There is no projection of that name.
    #[error("there is no projection {name:?}: expected one of {}", known.join(", "))]
    UnknownProjection {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// An event could not be read; the error names its position.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store of persisted states failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The names of all projections, sorted.
const NAMES: [&str; 1] = [SpaceStates::NAME];

/// Folds projections anew from the first event up to the durable head, compares them with what is
/// persisted, and puts the new ones in their place; all of them when `names` is empty.
///
/// The new states are written beside the old ones and come to count with one put, when they are
/// complete: a kill at any moment leaves the old or the new ones. Outcomes are sorted by name.
///
/// # Errors
/// [`RebuildError`]; strict: an event that does not decode ends it.
///
/// # Cost
/// Reads the log once. Memory: the states, persisted and new, and a few pages.
pub fn rebuild(
    log: &dyn EventLog,
    store: &dyn StateStore,
    names: &[String],
    options: &RebuildOptions<'_>,
) -> Result<Vec<RebuildOutcome>, RebuildError> {
    if let Some(name) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(RebuildError::UnknownProjection { name: name.clone(), known: NAMES.to_vec() });
    }
    rebuild_space_states(log, store, options).map(|outcome| vec![outcome])
}

fn rebuild_space_states(
    log: &dyn EventLog,
    store: &dyn StateStore,
    options: &RebuildOptions<'_>,
) -> Result<RebuildOutcome, RebuildError> {
    let started = Instant::now();
    let head = log.durable_head();
    let new = fold::fold_partitioned(log, head, options.threads, options.progress)?;
    let new_hash = new.hash();
    let persisted = persisted(log, store, head)?;
    let old = persisted.as_ref().map(|(states, _)| states);
    let old_hash = old.map(SpaceStates::hash);
    if let (RebuildMode::Replace, Some((_, generation))) = (options.mode, &persisted) {
        // What a rebuild that was cut short left behind.
        sweep(store, *generation);
    }
    let (verdict, first_divergence) = match (options.mode, old) {
        (RebuildMode::Check, Some(old)) if old_hash != Some(new_hash) => {
            (Verdict::Diverged, divergence::find(log, head, old, &new)?)
        }
        (RebuildMode::Check, _) => (Verdict::Identical, None),
        (RebuildMode::Replace, Some(_)) if old_hash == Some(new_hash) => (Verdict::Identical, None),
        (RebuildMode::Replace, old) => {
            replace(log, store, head, &new)?;
            let verdict = match old {
                Some(_) => Verdict::Replaced,
                None => Verdict::Created,
            };
            (verdict, None)
        }
    };
    Ok(RebuildOutcome {
        name: SpaceStates::NAME,
        version: SpaceStates::VERSION,
        events: head.get(),
        seconds: started.elapsed().as_secs_f64(),
        spaces: count(&new),
        old_hash: old_hash.as_ref().map(StateHash::to_string),
        new_hash: new_hash.to_string(),
        verdict,
        first_divergence,
    })
}

fn count(states: &SpaceStates) -> u64 {
    u64::try_from(states.len()).unwrap_or(u64::MAX)
}

/// The persisted states, folded on to `head`, and their generation; `None` when none are persisted
/// for this log.
///
/// What is wrong with them stays wrong, so that it is found: a blob that is damaged or lost is a
/// space without a state, and one that is too old takes in nothing more.
fn persisted(
    log: &dyn EventLog,
    store: &dyn StateStore,
    head: Position,
) -> Result<Option<(SpaceStates, u64)>, RebuildError> {
    let bytes = store.get(MARKER_KEY)?;
    let Some(marker) = bytes.as_deref().and_then(Marker::decode) else {
        return Ok(None);
    };
    if !marker.fits(log)? {
        return Ok(None);
    }
    let mut states = SpaceStates::new();
    for key in store.keys(&generation_prefix(marker.generation))? {
        let Some((_, space_id)) = parse_blob_key(&key) else {
            continue;
        };
        let blob = store.get(&key)?;
        if let Some(state) = blob.and_then(|bytes| decode_blob(&bytes, space_id)) {
            states.insert(state.into());
        }
    }
    fold_log(log, marker.position, head, |event| {
        let known = states.get(event.space_id).map(|state| state.revision());
        if known.unwrap_or_default().next() == event.revision {
            states.apply(event);
        }
        Ok::<(), RebuildError>(())
    })?;
    Ok(Some((states, marker.generation)))
}

/// Persists the states as a generation of its own, makes it count, and removes the others.
fn replace(
    log: &dyn EventLog,
    store: &dyn StateStore,
    head: Position,
    states: &SpaceStates,
) -> Result<(), RebuildError> {
    let marker = store.get(MARKER_KEY)?;
    let marker = marker.as_deref().and_then(Marker::decode);
    let generation = unused_generation(&store.keys(BLOB_PREFIX)?, marker.as_ref());
    for state in states.sorted() {
        store.put(&blob_key(generation, state.space_id()), &encode_blob(state))?;
    }
    let event = match head {
        Position::START => None,
        head => event_at(log, head)?,
    };
    let marker = Marker {
        generation,
        position: head,
        event: event.unwrap_or(LastEvent::NONE),
        spaces: count(states),
    };
    store.put(MARKER_KEY, &marker.encode())?;
    sweep(store, generation);
    Ok(())
}

#[cfg(test)]
mod tests;
