//! Folding a registered projection anew, beside what is read.

use std::{
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use spacefold_event_core::{LogReader, Page, Position, Read};
use spacefold_state::StateHash;

use super::{
    RebuildError, RebuildMode, RebuildOutcome, Resume, Verdict, divergence::Divergence, pace::Pace,
};
use crate::{
    projections::{Generation, LeftBehind, Slot, Stopped, first_parting},
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
    slot: &'a Slot,
    log: &'a dyn LogReader,
    mode: RebuildMode,
    head: Position,
    new: Generation,
    /// What was persisted and read when the rebuild began.
    old: Option<Old>,
    /// The hash of the new rows at the position of the old ones.
    compared: Option<StateHash>,
    resumed_from: Option<Position>,
    started: Instant,
    progress_kept: Instant,
}

struct Old {
    state: Generation,
    hash: StateHash,
}

impl<'a> RowsRebuild<'a> {
    pub(super) fn begin(
        slot: &'a Slot,
        log: &'a dyn LogReader,
        head: Position,
        mode: RebuildMode,
        resume: Resume,
    ) -> Result<Self, RebuildError> {
        let started = Instant::now();
        let begun = slot.begin_rebuild(match (mode, resume) {
            (RebuildMode::Check, _) => LeftBehind::Ignore,
            (RebuildMode::Replace, Resume::GoOn) => LeftBehind::GoOn,
            (RebuildMode::Replace, Resume::Restart) => LeftBehind::Discard,
        })?;
        let new = begun.new;
        let resumed_from = (new.position() > Position::START).then(|| new.position());
        let old = match begun.old {
            // What was folded live beyond the head is as of another position.
            Some(state) if state.position() <= head => {
                let hash = state.hash()?;
                Some(Old { state, hash })
            }
            _ => None,
        };
        let (compared, progress_kept) = (None, started);
        let mut rebuild = Self {
            slot,
            log,
            mode,
            head,
            new,
            old,
            compared,
            resumed_from,
            started,
            progress_kept,
        };
        rebuild.compare_if_there()?;
        Ok(rebuild)
    }

    /// How far the new state is folded.
    pub(super) const fn position(&self) -> Position {
        self.new.position()
    }

    /// Folds the pages as they come, until there are no more; an end before the head keeps what
    /// was folded.
    pub(super) fn fold(&mut self, pages: &Receiver<Page>) -> Result<(), RebuildError> {
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

    /// Compares, and puts the new state in the place of the old one where the two differ.
    pub(super) fn finish(mut self, pace: &Pace<'_>) -> Result<RebuildOutcome, RebuildError> {
        let new_hash = self.new.hash()?;
        let entries = self.new.count()?;
        let old_hash = self.old.as_ref().map(|old| {
            // What was the same where the old one ends is the same where the new one does.
            if self.compared == Some(old.hash) { new_hash } else { old.hash }
        });
        let differs = old_hash != Some(new_hash);
        let (verdict, first_divergence) = match (self.mode, &self.old) {
            (RebuildMode::Check, Some(old)) if differs => {
                (Verdict::Diverged, self.divergence(old, pace)?)
            }
            (RebuildMode::Check, Some(_)) => (Verdict::Identical, None),
            (RebuildMode::Check, None) => (Verdict::NothingToCompare, None),
            (RebuildMode::Replace, Some(_)) if !differs => (Verdict::Identical, None),
            (RebuildMode::Replace, Some(_)) => (Verdict::Replaced, None),
            (RebuildMode::Replace, None) => (Verdict::Created, None),
        };
        let outcome = RebuildOutcome {
            name: self.slot.projection().name(),
            version: self.new.version(),
            events: self.head.get(),
            seconds: 0.0,
            entries,
            old_hash: old_hash.as_ref().map(StateHash::to_string),
            new_hash: new_hash.to_string(),
            verdict,
            first_divergence,
            resumed_from: self.resumed_from,
        };
        // Its runs are not to be swept before it lets go of them.
        drop(self.old.take());
        match verdict {
            Verdict::Replaced | Verdict::Created => self.slot.replace(self.new)?,
            Verdict::Identical | Verdict::Diverged | Verdict::NothingToCompare => {
                self.slot.give_up_building(self.new)?
            }
        }
        Ok(RebuildOutcome { seconds: self.started.elapsed().as_secs_f64(), ..outcome })
    }

    fn fold_page(&mut self, page: &Page) -> Result<(), RebuildError> {
        for envelope in page.envelopes() {
            if envelope.position <= self.new.position() {
                continue;
            }
            let applied = self.new.apply(&**self.slot.projection(), envelope);
            applied.map_err(|stopped| self.stopped(stopped))?;
            self.compare_if_there()?;
        }
        if self.new.recent_bytes() >= MAX_RECENT_BYTES {
            match self.mode {
                RebuildMode::Replace => self.keep_progress()?,
                RebuildMode::Check => {
                    let checkpointed = self.new.checkpoint()?;
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
        let position = self.new.position();
        if self.old.as_ref().is_some_and(|old| old.state.position() == position) {
            self.compared = Some(self.new.hash()?);
        }
        Ok(())
    }

    fn stopped(&self, stopped: Stopped) -> RebuildError {
        match stopped {
            Stopped::Event(cause) => {
                RebuildError::Undecodable { name: self.slot.projection().name(), cause }
            }
            Stopped::Table(error) => error.into(),
        }
    }

    /// The first event after which the rows part: the first that did something else, or else the one
    /// that gave a row that differs its value.
    fn divergence(&self, old: &Old, pace: &Pace<'_>) -> Result<Option<Divergence>, RebuildError> {
        let parting = match first_parting(old.state.trail(), self.new.trail()) {
            // A trail that is damaged says nothing.
            Err(TableError::Damaged { .. }) => None,
            found => found?,
        };
        let position = match parting {
            Some(position) => position,
            None => self.last_change(old, pace)?,
        };
        let page = self.log.page_at(position)?;
        let event = page.as_ref().and_then(|page| page.envelopes().next());
        let space_id = event.map(|event| event.space_id.to_owned()).unwrap_or_default();
        Ok(Some(Divergence { space_id, position }))
    }

    /// Folds once more up to where the old rows end: the least position at which a row that differs
    /// was changed last; [`Position::START`] for a row that no event made.
    fn last_change(&self, old: &Old, pace: &Pace<'_>) -> Result<Position, RebuildError> {
        let mut again = self.slot.scratch();
        let to = old.state.position();
        // Rows of the new state as of there, and which of them differ.
        fold_alone(self, &mut again, to, pace)?;
        let differing = differing(&old.state, &again)?;
        let mut again = self.slot.scratch();
        again.watch(differing.into_iter().map(|key| (key, Position::START)).collect());
        fold_alone(self, &mut again, to, pace)?;
        Ok(again.watched().values().copied().min().unwrap_or(Position::START))
    }
}

fn fold_alone(
    rebuild: &RowsRebuild<'_>,
    state: &mut Generation,
    to: Position,
    pace: &Pace<'_>,
) -> Result<(), RebuildError> {
    for page in rebuild.log.pages(Read::from(state.position().next()).to(to)) {
        let page = page?;
        pace.check()?;
        for envelope in page.envelopes() {
            let applied = state.apply(&**rebuild.slot.projection(), envelope);
            applied.map_err(|stopped| rebuild.stopped(stopped))?;
        }
        if state.recent_bytes() >= MAX_RECENT_BYTES {
            let checkpointed = state.checkpoint()?;
            state.take_over(checkpointed);
        }
    }
    Ok(())
}

/// The keys of the first rows that only one of the two has, or with another value.
fn differing(one: &Generation, other: &Generation) -> Result<Vec<Vec<u8>>, TableError> {
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
