//! Folding a registered projection anew, beside what is read.

use std::{
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};

use spacefold_event_core::{LogReader, Position, ReadRequest};
use spacefold_state::StateHash;

use super::{
    RebuildError, RebuildMode, RebuildOptions,
    divergence::{self, Divergence},
    pace::Pace,
    refold::{Comparison, Refold},
};
use crate::{
    effects::{EffectSource, Reading},
    projections::{Frozen, Generation, ProjectionSlot, Stopped, first_parting},
    table::{OwnedRow, TableError},
};

/// Progress is kept so often, so that a kill costs no more.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// How much may be changed in memory before it is written.
const MAX_RECENT_BYTES: usize = 24 << 20;
/// How many rows that differ are looked at for where they part.
const MAX_WATCHED_ROWS: usize = 1_000;

/// A new state of a projection, on its way from the first event to the head.
pub(super) struct RowsRebuild<'a> {
    slot: &'a ProjectionSlot,
    log: &'a dyn LogReader,
    mode: RebuildMode,
    /// Where what events did comes from, if it goes by that.
    effects: Option<Arc<dyn EffectSource>>,
    new: Generation,
    /// What was persisted and read when the rebuild began.
    old: Option<OldRows>,
    /// The hash of the new rows at the position of the old ones, and how many there were.
    compared: Option<(StateHash, u64)>,
    resumed_from: Option<Position>,
    progress_kept: Instant,
}

struct OldRows {
    state: Frozen,
    hash: StateHash,
}

impl<'a> RowsRebuild<'a> {
    pub(super) fn begin(
        slot: &'a ProjectionSlot,
        log: &'a dyn LogReader,
        head: Position,
        options: &RebuildOptions<'_>,
    ) -> Result<Self, RebuildError> {
        let begun = slot.begin_rebuild(options.left_behind())?;
        let new = begun.new;
        let resumed_from = (new.position() > Position::START).then(|| new.position());
        let old = match begun.old {
            // What was folded live beyond the head is as of another position.
            Some(state) if state.position() <= head => {
                let hash = state.hash()?;
                Some(OldRows { state, hash })
            }
            _ => None,
        };
        let (mode, compared, progress_kept) = (options.mode, None, Instant::now());
        let effects = slot.fold().effects().cloned();
        let mut rebuild =
            Self { slot, log, mode, effects, new, old, compared, resumed_from, progress_kept };
        rebuild.compare_if_there()?;
        Ok(rebuild)
    }

    /// How far the new state is folded.
    pub(super) const fn position(&self) -> Position {
        self.new.position()
    }

    /// Whether it goes by what events did.
    pub(super) const fn goes_by_effects(&self) -> bool {
        self.effects.is_some()
    }

    /// Has what events did come from somewhere else from now on, if it goes by that.
    pub(super) fn set_effects(&mut self, effects: &Arc<dyn EffectSource>) {
        if let Some(source) = &mut self.effects {
            *source = Arc::clone(effects);
        }
    }

    /// Folds the pages as they come, until there are no more; an end before the head keeps what
    /// was folded.
    pub(super) fn fold(&mut self, pages: &Receiver<Reading>) -> Result<(), RebuildError> {
        for page in pages {
            self.fold_page(&page)?;
        }
        Ok(())
    }

    /// Persists how far it is, so that the next rebuild goes on there.
    pub(super) fn keep_progress(&mut self) -> Result<(), RebuildError> {
        self.progress_kept = Instant::now();
        if self.mode == RebuildMode::Replace && self.new.position() > self.new.checkpointed() {
            self.slot.keep_building(&mut self.new)?;
        }
        Ok(())
    }

    fn fold_page(&mut self, reading: &Reading) -> Result<(), RebuildError> {
        for envelope in reading.page.envelopes() {
            if envelope.position <= self.new.position() {
                continue;
            }
            let applied = self.slot.fold().apply(&mut self.new, envelope, reading);
            applied.map_err(|stopped| self.stopped(stopped))?;
            self.compare_if_there()?;
        }
        if self.new.recent_bytes() >= MAX_RECENT_BYTES {
            match self.mode {
                RebuildMode::Replace => self.keep_progress()?,
                RebuildMode::Check => {
                    let checkpointed = self.new.checkpoint(self.log)?;
                    self.new.take_over(checkpointed);
                }
            }
        } else if self.progress_kept.elapsed() >= PROGRESS_EVERY {
            self.keep_progress()?;
        }
        Ok(())
    }

    /// Where the old rows end, the new ones are compared with them.
    fn compare_if_there(&mut self) -> Result<(), RebuildError> {
        if self.is_at_old() {
            self.compared = Some(self.new.hash()?);
        }
        Ok(())
    }

    fn is_at_old(&self) -> bool {
        self.old.as_ref().is_some_and(|old| old.state.position() == self.new.position())
    }

    fn stopped(&self, stopped: Stopped) -> RebuildError {
        match stopped {
            Stopped::Event(cause) => {
                RebuildError::Undecodable { name: self.slot.fold().name(), cause }
            }
            Stopped::Table(error) => error.into(),
        }
    }

    /// Folds once more up to where the old rows end: the least position at which a row that differs
    /// was changed last; [`Position::START`] for a row that no event made.
    fn last_change(&self, old: &OldRows, pace: &Pace<'_>) -> Result<Position, RebuildError> {
        let mut again = self.slot.scratch()?;
        let to = old.state.position();
        // Rows of the new state as of there, and which of them differ.
        fold_alone(self, &mut again, to, pace)?;
        let differing = differing(&old.state, &again)?;
        let mut again = self.slot.scratch()?;
        again.watch(differing.into_iter().map(|key| (key, Position::START)).collect());
        fold_alone(self, &mut again, to, pace)?;
        Ok(again.watched().values().copied().min().unwrap_or(Position::START))
    }
}

impl Refold for RowsRebuild<'_> {
    fn name(&self) -> &'static str {
        self.slot.fold().name()
    }

    fn version(&self) -> u32 {
        self.new.version()
    }

    fn resumed_from(&self) -> Option<Position> {
        self.resumed_from
    }

    fn compare(&mut self) -> Result<Comparison, RebuildError> {
        let compared = self.compared.filter(|_| self.is_at_old());
        let (new_hash, entries) = compared.map_or_else(|| self.new.hash(), Ok)?;
        let old_hash = self.old.as_ref().map(|old| {
            // What was the same where the old one ends is the same where the new one does.
            let was_same = self.compared.is_some_and(|(hash, _)| hash == old.hash);
            if was_same { new_hash } else { old.hash }
        });
        let is_same = old_hash == Some(new_hash);
        Ok(Comparison { old_hash, new_hash, entries, is_same })
    }

    /// The first event after which the rows part: the first that did something else, or else the one
    /// that gave a row that differs its value.
    fn divergence(&self, pace: &Pace<'_>) -> Result<Option<Divergence>, RebuildError> {
        let Some(old) = &self.old else { return Ok(None) };
        let parting = match first_parting(old.state.trail(), self.new.trail()) {
            // A trail that is damaged says nothing.
            Err(TableError::Damaged { .. }) => None,
            found => found?,
        };
        let position = match parting {
            Some(position) => position,
            None => self.last_change(old, pace)?,
        };
        Ok(Some(divergence::at(self.log, position)?))
    }

    fn replace(self, _compared: &Comparison) -> Result<(), RebuildError> {
        // Its runs are not to be swept before it lets go of them.
        drop(self.old);
        Ok(self.slot.replace(self.new)?)
    }

    fn give_up(self) -> Result<(), RebuildError> {
        drop(self.old);
        Ok(self.slot.give_up_building(self.new)?)
    }
}

fn fold_alone(
    rebuild: &RowsRebuild<'_>,
    state: &mut Generation,
    to: Position,
    pace: &Pace<'_>,
) -> Result<(), RebuildError> {
    for page in rebuild.log.pages(ReadRequest::from(state.position().next()).to(to)) {
        pace.check()?;
        let reading = Reading::of(page?, (state.position(), to), rebuild.effects.as_deref())?;
        for envelope in reading.page.envelopes() {
            let applied = rebuild.slot.fold().apply(state, envelope, &reading);
            applied.map_err(|stopped| rebuild.stopped(stopped))?;
        }
        if state.recent_bytes() >= MAX_RECENT_BYTES {
            let checkpointed = state.checkpoint(rebuild.log)?;
            state.take_over(checkpointed);
        }
    }
    Ok(())
}

/// The keys of the first rows that only one of the two has, or with another value.
fn differing(one: &Frozen, other: &Generation) -> Result<Vec<Vec<u8>>, TableError> {
    let (ones, others) = (one.view(), other.view());
    let (mut ones, mut others) = (ones.scan(b"")?, others.scan(b"")?);
    let mut keys = Vec::new();
    let (mut a, mut b) = (ones.next().transpose()?, others.next().transpose()?);
    while keys.len() < MAX_WATCHED_ROWS {
        let least = match (&a, &b) {
            (None, None) => break,
            (Some((a, _)), Some((b, _))) => a.min(b).clone(),
            (Some((key, _)), None) | (None, Some((key, _))) => key.clone(),
        };
        let at = |row: &Option<OwnedRow>| row.as_ref().is_some_and(|(key, _)| *key == least);
        let (in_one, in_other) = (at(&a), at(&b));
        if a != b {
            keys.push(least);
        }
        if in_one {
            a = ones.next().transpose()?;
        }
        if in_other {
            b = others.next().transpose()?;
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
