//! Folding anew from the first event, beside what is persisted, and swapping in one step.

mod divergence;
mod fold;
mod pace;
mod reading;
mod refold;
mod rows;
mod spaces;

use std::{
    io,
    num::{NonZeroU64, NonZeroUsize},
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Instant,
};

use spacefold_event_core::{LogReader, Position, ReadError, StorageError};
use spacefold_state::SpaceStates;

pub use self::divergence::Divergence;
use self::{
    pace::Pace,
    reading::{Readers, pages, read_all},
    refold::{Refold as _, finish},
    rows::RowsRebuild,
    spaces::SpacesRebuild,
};
use crate::{
    effects::EffectSource,
    generations::LeftBehind,
    projections::{CatchUpError, Paused, ProjectionSlot, Projections},
    ranged_states::STATES_MEMORY_BYTES,
    table::TableError,
};

/// What a rebuild does with what it folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebuildMode {
    /// Puts it in the place of what is persisted, where the two differ.
    Replace,
    /// Compares, and changes nothing.
    Check,
}

/// What a rebuild does with what an earlier one, which was cut short, has folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// Goes on from there.
    #[default]
    GoOn,
    /// Begins at the first event.
    Restart,
}

/// How to rebuild.
#[derive(Clone, Copy)]
pub struct RebuildOptions<'a> {
    /// What to do with what was folded.
    pub mode: RebuildMode,
    /// How many threads fold the states of spaces. Each other projection has one of its own.
    pub threads: NonZeroUsize,
    /// Told now and then how many events have been read, by any of the threads.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Where to begin; a check always begins at the first event.
    pub resume: Resume,
    /// How many events are read in a second at the most, so that a store that is in use stays so.
    pub max_rate: Option<NonZeroU64>,
    /// How many bytes the new states of spaces take in memory, about, before they are persisted and
    /// the rest is folded in another reading of the log.
    pub memory_bytes: u64,
    /// Set from another thread to end the rebuild: what it has folded is kept for the next one.
    pub cancel: Option<&'a AtomicBool>,
}

impl RebuildOptions<'_> {
    /// Options for this mode: as many threads as there are processors, as fast as can be.
    #[must_use]
    pub fn new(mode: RebuildMode) -> Self {
        Self {
            mode,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            progress: &|_| {},
            resume: Resume::GoOn,
            max_rate: None,
            memory_bytes: STATES_MEMORY_BYTES,
            cancel: None,
        }
    }

    /// What is to become of what an earlier rebuild has left.
    const fn left_behind(&self) -> LeftBehind {
        match (self.mode, self.resume) {
            (RebuildMode::Check, _) => LeftBehind::Ignore,
            (RebuildMode::Replace, Resume::GoOn) => LeftBehind::GoOn,
            (RebuildMode::Replace, Resume::Restart) => LeftBehind::Discard,
        }
    }
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
    /// How many spaces there are, or rows.
    pub entries: u64,
    /// The hash of what was persisted, as of the durable head; `None` when there was none. Of rows
    /// that part from the fold it is their hash as of where they end.
    pub old_hash: Option<String>,
    /// The hash of what was folded.
    pub new_hash: String,
    /// How the two compare, and what was done.
    pub verdict: Verdict,
    /// With [`Verdict::Diverged`]: where.
    pub first_divergence: Option<Divergence>,
    /// The position that an earlier rebuild, which was cut short, had come to, if this one went on
    /// from there.
    pub resumed_from: Option<Position>,
}

/// How what was folded compares with what was persisted, and what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are the same.
    Identical,
    /// They differed: the new one is persisted now.
    Replaced,
    /// Nothing was persisted: the new one is now.
    Created,
    /// They differ: nothing was changed.
    Diverged,
    /// Nothing was persisted, and nothing was to be changed.
    NothingToCompare,
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
            Self::NothingToCompare => "nothing to compare",
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
    /// A projection cannot take in an event.
    #[error("projection {name} cannot be rebuilt: position {} ({}): {}", cause.position, cause.kind, cause.reason)]
    Undecodable {
        /// The name of the projection.
        name: &'static str,
        /// The event, and what is wrong.
        cause: Paused,
    },
    /// It was told to end. What was folded is kept: the next rebuild goes on from there.
    #[error("the rebuild was cancelled")]
    Cancelled,
    /// The rows of a projection could not be read or written.
    #[error(transparent)]
    Rows(#[from] TableError),
    /// A projection could not be folded on.
    #[error(transparent)]
    CatchUp(#[from] CatchUpError),
    /// An event could not be read; the error names its position.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store of persisted states failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Folds projections anew from the first event up to the durable head, compares them with what is
/// persisted, and puts the new ones in their place; all that are registered, and the states of the
/// spaces, when `names` is empty.
///
/// One reading of the log serves all of them. New states are written beside the old ones, which are
/// read and folded on meanwhile, and come to count with one put each, when they are complete: a kill
/// at any moment leaves the old or the new ones, and what was folded, so that the next rebuild goes
/// on from there. Outcomes are sorted by name. Rebuilds of one log wait for one another.
///
/// # Errors
/// [`RebuildError`]; strict: an event that does not decode, or that a projection refuses, ends it.
///
/// # Cost
/// Reads the log once, and once more for every [`RebuildOptions::memory_bytes`] that the states of
/// spaces take. Memory: that, some 40 MiB for each other projection, and a few pages.
pub fn rebuild(
    projections: &Projections,
    names: &[String],
    options: &RebuildOptions<'_>,
) -> Result<Vec<RebuildOutcome>, RebuildError> {
    let _alone = projections.rebuild_alone();
    let started = Instant::now();
    let (slots, with_spaces) = selected(projections, names)?;
    let states = projections.states();
    let log = &**states.log();
    let head = log.durable_head();
    let pace = Pace::new(options.max_rate, options.cancel, options.progress);
    let begin = |slot| RowsRebuild::begin(slot, log, head, options);
    let mut rows = slots.iter().map(|slot| begin(slot)).collect::<Result<Vec<_>, _>>()?;
    let spaces = with_spaces.then(|| SpacesRebuild::begin(states, head, options));
    let mut spaces = spaces.transpose()?;

    let sources = (spaces.as_mut(), projections.effects());
    if let Err(error) = fold_all(log, head, &pace, &mut rows, sources) {
        end_early(rows, spaces, options.mode);
        return Err(error);
    }
    if let Some(spaces) = &spaces {
        let effects: Arc<dyn EffectSource> = Arc::new(spaces.effects());
        rows.iter_mut().for_each(|rebuild| rebuild.set_effects(&effects));
    }
    let (mode, at) = (options.mode, (head, started));
    let mut outcomes = Vec::new();
    for rebuild in rows {
        outcomes.push(finish(rebuild, mode, at, &pace)?);
    }
    outcomes.extend(spaces.map(|spaces| finish(spaces, mode, at, &pace)).transpose()?);
    outcomes.sort_unstable_by_key(|outcome| outcome.name);
    Ok(outcomes)
}

/// Ends rebuilds that are not complete. What the next one can go on from stays; of a check nothing does.
/// What ended them is the error to be told, not what fails here.
fn end_early(rows: Vec<RowsRebuild<'_>>, spaces: Option<SpacesRebuild<'_>>, mode: RebuildMode) {
    let mut ended = Vec::new();
    for mut rebuild in rows {
        ended.push(match mode {
            RebuildMode::Replace => rebuild.keep_progress(),
            RebuildMode::Check => rebuild.give_up(),
        });
    }
    if mode == RebuildMode::Check {
        ended.extend(spaces.map(|spaces| spaces.give_up()));
    }
    for error in ended.into_iter().filter_map(Result::err) {
        tracing::warn!(%error, "what a rebuild has folded could not be kept, or removed");
    }
}

/// The registered projections that are named, sorted by name, and whether the states of the spaces
/// are.
fn selected(
    projections: &Projections,
    names: &[String],
) -> Result<(Vec<Arc<ProjectionSlot>>, bool), RebuildError> {
    let mut slots = projections.slots();
    let name_of = |slot: &Arc<ProjectionSlot>| slot.fold().name();
    let mut known: Vec<&'static str> = slots.iter().map(name_of).collect();
    known.push(SpaceStates::NAME);
    known.sort_unstable();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(RebuildError::UnknownProjection { name: name.clone(), known });
    }
    let is_named = |name: &str| names.is_empty() || names.iter().any(|named| named == name);
    slots.retain(|slot| is_named(name_of(slot)));
    Ok((slots, is_named(SpaceStates::NAME)))
}

/// Folds everything up to the head over one reading of the log. Where the states of spaces are folded
/// in several, there is one more for those that go by what events did.
fn fold_all(
    log: &dyn LogReader,
    head: Position,
    pace: &Pace<'_>,
    rows: &mut [RowsRebuild<'_>],
    (spaces, effects): (Option<&mut SpacesRebuild<'_>>, &dyn EffectSource),
) -> Result<(), RebuildError> {
    let slowest = |rows: &[RowsRebuild<'_>], by_effects| {
        let chosen = rows.iter().filter(|rebuild| rebuild.goes_by_effects() == by_effects);
        chosen.map(RowsRebuild::position).min().unwrap_or(head)
    };
    let (plain_after, by_effects_after) = (slowest(rows, false), slowest(rows, true));
    thread::scope(|scope| {
        let mut readers = Readers::default();
        let mut folds = Vec::new();
        for rebuild in rows {
            let (sender, pages) = pages();
            readers.add(sender, rebuild.goes_by_effects());
            let fold = move || rebuild.fold(&pages);
            match thread::Builder::new().spawn_scoped(scope, fold) {
                Ok(fold) => folds.push(fold),
                Err(error) => {
                    // Those that were begun end when nobody hands them pages.
                    drop(readers);
                    return Err(no_thread(error).into());
                }
            }
        }
        let read = match spaces {
            None => {
                let after = plain_after.min(by_effects_after);
                read_all(log, (after, head), pace, (&readers, effects))
            }
            Some(spaces) => {
                let plain = readers.take_plain();
                read_with(
                    spaces,
                    (log, head),
                    pace,
                    (plain, plain_after),
                    (&readers, by_effects_after),
                )
            }
        };
        drop(readers);
        let mut folded = read;
        for fold in folds {
            let outcome = fold.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            folded = folded.and(outcome);
        }
        folded
    })
}

/// Reads the log for the states of spaces, and for the other folds.
fn read_with(
    spaces: &mut SpacesRebuild<'_>,
    (log, head): (&dyn LogReader, Position),
    pace: &Pace<'_>,
    (plain, plain_after): (Readers, Position),
    (by_effects, by_effects_after): (&Readers, Position),
) -> Result<(), RebuildError> {
    // What the others lack comes first, then what all read together.
    let begin = spaces.position();
    read_all(log, (plain_after, begin), pace, (&plain, &spaces.effects()))?;
    let is_whole = spaces.is_whole();
    if is_whole {
        read_all(log, (by_effects_after, begin), pace, (by_effects, &spaces.effects()))?;
    }
    let handed_out = spaces.fold(pace, &plain, by_effects)?;
    drop(plain);
    let after = if is_whole { by_effects_after.max(handed_out) } else { by_effects_after };
    read_all(log, (after, head), pace, (by_effects, &spaces.effects()))
}

/// There is no thread to be had for a fold.
pub(crate) fn no_thread(error: io::Error) -> ReadError {
    StorageError::new("starting a thread that folds", error).into()
}

#[cfg(test)]
mod tests;
