//! Folding the states of all spaces anew, beside what is persisted.

mod found;
mod persisted;
mod ranges;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    LogReader, Position, Revision, StateStore, StorageError, bytes::to_u64,
};
use spacefold_state::{SpaceState, SpaceStates, StateHash};

use self::{
    found::Found,
    persisted::Persisted,
    ranges::{Ranges, place_of},
};
use super::{
    RebuildError, RebuildMode, RebuildOptions, RebuildOutcome, Resume, Verdict, divergence,
    fold::{Parts, fold_partitioned},
    pace::Pace,
    reading::{PageSender, Shared},
};
use crate::{
    checkpoint::{
        LastEvent, MARKER_KEY, Marker, blob_key, decode_blob, encode_blob, event_at,
        generation_prefix, newest_generation, parse_blob_key, unused_generation,
    },
    live_states::{each_key, sweep},
    ranged_states::{MEMORY_PER_PAGE_BYTE, NEW_STATE_BYTES},
};

/// How many events are folded before it is looked at how much memory the states take.
const SEGMENT_EVENTS: u64 = 1 << 17;
/// Progress is kept so often, so that a kill costs no more.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// New states of all spaces, on their way from the first event to the head.
pub(super) struct SpacesRebuild<'a> {
    log: &'a dyn LogReader,
    store: &'a dyn StateStore,
    head: Position,
    mode: RebuildMode,
    threads: NonZeroUsize,
    memory_bytes: u64,
    ranges: Ranges,
    persisted: Option<Persisted>,
    /// What was found of each space.
    found: Found,
    /// The first space of which the two differ.
    parting: Option<Parting>,
    resumed_from: Option<Position>,
    started: Instant,
    progress_kept: Instant,
    /// The states of a rebuild that has one range, at the head.
    whole: Option<Folding>,
}

/// Two states of one space that differ.
struct Parting {
    space_id: String,
    old: Option<SpaceState>,
    new: Option<SpaceState>,
}

/// The states of one range while they are folded.
struct Folding {
    parts: Parts,
    /// Up to which revision the blob of a space is persisted.
    persisted: RapidHashMap<String, Revision>,
    /// Bytes that the states took in memory when they were measured last, and how many there were.
    measured: u64,
    counted: u64,
}

impl<'a> SpacesRebuild<'a> {
    pub(super) fn begin(
        log: &'a dyn LogReader,
        store: &'a dyn StateStore,
        head: Position,
        options: &RebuildOptions<'_>,
    ) -> Result<Self, RebuildError> {
        let started = Instant::now();
        let persisted = Persisted::load(log, store, head)?;
        let left = match (options.mode, options.resume) {
            (RebuildMode::Replace, Resume::GoOn) => Ranges::load(log, store)?,
            (RebuildMode::Replace, Resume::Restart) => {
                Ranges::forget(store)?;
                None
            }
            (RebuildMode::Check, _) => None,
        };
        // One that came to its end, and was killed before it could say so, wrote what counts now.
        let counts = persisted.as_ref().map(Persisted::generation);
        let is_usable = |left: &Ranges| {
            Some(left.generation) != counts
                && left.ranges.iter().all(|range| range.position <= head)
        };
        let ranges = match left.filter(is_usable) {
            Some(left) => left,
            None => {
                let marker = store.get(MARKER_KEY)?.as_deref().and_then(Marker::decode);
                Ranges::new(unused_generation(newest_generation(store)?, marker.as_ref()))
            }
        };
        let first = ranges.ranges.first().map(|range| range.position);
        Ok(Self {
            log,
            store,
            head,
            mode: options.mode,
            threads: options.threads,
            memory_bytes: options.memory_bytes,
            ranges,
            persisted,
            found: Found::default(),
            parting: None,
            resumed_from: first.filter(|first| *first > Position::START),
            started,
            progress_kept: started,
            whole: None,
        })
    }

    /// From where on it reads the log first.
    pub(super) fn position(&self) -> Position {
        self.ranges.ranges.first().map_or(Position::START, |range| range.position)
    }

    /// Folds every range up to the head; the first reading of the log goes to the other folds too.
    pub(super) fn fold(
        &mut self,
        pace: &Pace<'_>,
        senders: &[PageSender],
    ) -> Result<(), RebuildError> {
        let mut senders = senders;
        let mut index = 0;
        while index < self.ranges.ranges.len() {
            let folding = self.fold_range(index, pace, senders)?;
            self.compare(index, &folding)?;
            if self.ranges.ranges.len() == 1 {
                self.whole = Some(folding);
            } else if self.mode == RebuildMode::Replace {
                self.persist(index, folding, self.head)?;
                self.ranges.store(self.log, self.store)?;
            }
            senders = &[];
            index += 1;
        }
        Ok(())
    }

    /// Puts the new states in the place of the old ones where the two differ.
    pub(super) fn finish(mut self) -> Result<RebuildOutcome, RebuildError> {
        let (old_hash, new_hash, spaces) = self.found.hashes();
        let old_hash = self.persisted.is_some().then_some(old_hash);
        let (verdict, first_divergence) = match (self.mode, old_hash) {
            (RebuildMode::Check, Some(old_hash)) if old_hash != new_hash => {
                (Verdict::Diverged, self.divergence()?)
            }
            (RebuildMode::Check, Some(_)) => (Verdict::Identical, None),
            (RebuildMode::Check, None) => (Verdict::NothingToCompare, None),
            (RebuildMode::Replace, Some(old_hash)) if old_hash == new_hash => {
                (Verdict::Identical, None)
            }
            (RebuildMode::Replace, Some(_)) => (Verdict::Replaced, None),
            (RebuildMode::Replace, None) => (Verdict::Created, None),
        };
        match verdict {
            Verdict::Replaced | Verdict::Created => self.replace(spaces)?,
            Verdict::Identical | Verdict::Diverged | Verdict::NothingToCompare => self.give_up()?,
        }
        Ok(RebuildOutcome {
            name: SpaceStates::NAME,
            version: SpaceStates::VERSION,
            events: self.head.get(),
            seconds: self.started.elapsed().as_secs_f64(),
            entries: spaces,
            old_hash: old_hash.as_ref().map(StateHash::to_string),
            new_hash: new_hash.to_string(),
            verdict,
            first_divergence,
            resumed_from: self.resumed_from,
        })
    }

    fn fold_range(
        &mut self,
        index: usize,
        pace: &Pace<'_>,
        senders: &[PageSender],
    ) -> Result<Folding, RebuildError> {
        let log = Shared { log: self.log, pace, senders, bytes: AtomicU64::new(0) };
        let (mut folding, mut position) = self.load_range(index)?;
        while position < self.head {
            let to = self.head.min(position.plus(SEGMENT_EVENTS));
            let (begin, end) = (self.ranges.begin(index), self.end(index));
            let wanted = |space_id: &str| {
                (begin, end) == (0, u64::MAX) || (begin..=end).contains(&place_of(space_id))
            };
            folding.parts = fold_partitioned(
                &log,
                (position, to),
                std::mem::take(&mut folding.parts),
                &wanted,
            )?;
            position = to;
            if let Err(cancelled) = pace.check() {
                self.keep_progress(index, &mut folding, position)?;
                return Err(cancelled);
            }
            let read = log.bytes.load(Ordering::Relaxed);
            if folding.may_take(read) > self.memory_bytes {
                log.bytes.store(0, Ordering::Relaxed);
                folding.measure();
                if folding.measured > self.memory_bytes {
                    folding = self.divide(index, folding, position)?;
                }
            }
            if self.progress_kept.elapsed() >= PROGRESS_EVERY {
                self.keep_progress(index, &mut folding, position)?;
            }
        }
        Ok(folding)
    }

    fn end(&self, index: usize) -> u64 {
        self.ranges.ranges.get(index).map_or(u64::MAX, |range| range.to)
    }

    /// The states of a range as they are persisted; none, from the first event on, where not all of
    /// them are.
    fn load_range(&mut self, index: usize) -> Result<(Folding, Position), RebuildError> {
        let (begin, end) = (self.ranges.begin(index), self.end(index));
        let Some(range) = self.ranges.ranges.get_mut(index) else {
            return Ok((Folding::of(SpaceStates::new(), self.threads), self.head));
        };
        let mut states = SpaceStates::new();
        if range.position > Position::START {
            each_key(self.store, &generation_prefix(self.ranges.generation), |key| {
                if let Some((_, space_id)) = parse_blob_key(key)
                    && (begin..=end).contains(&place_of(space_id))
                    && let Some(blob) = self.store.get(key)?
                    && let Some(state) = decode_blob(&blob, space_id)
                {
                    states.insert(state.into());
                }
                Ok::<_, StorageError>(())
            })?;
        }
        if to_u64(states.len()) < range.spaces {
            tracing::warn!("what an earlier rebuild has left is damaged: folding from the start");
            range.position = Position::START;
            states = SpaceStates::new();
        }
        let position = range.position;
        Ok((Folding::of(states, self.threads), position))
    }

    /// Persists the states of a range, and lets go of those in its upper half, which is folded later. A
    /// check persists nothing: it folds the upper half from the first event.
    fn divide(
        &mut self,
        index: usize,
        folding: Folding,
        position: Position,
    ) -> Result<Folding, RebuildError> {
        let mut folding = folding;
        if self.mode == RebuildMode::Replace {
            self.persist_states(&mut folding)?;
            if let Some(range) = self.ranges.ranges.get_mut(index) {
                range.position = position;
            }
        }
        let Some(middle) = self.ranges.divide(index) else {
            // One space alone takes more: there is nothing to be done about it.
            return Ok(folding);
        };
        let mut lower = SpaceStates::new();
        let (mut lower_count, mut upper_count) = (0, 0);
        for state in folding.parts.iter() {
            if place_of(state.space_id()) <= middle {
                lower_count += 1;
                lower.insert(Arc::clone(state));
            } else {
                upper_count += 1;
            }
        }
        if self.mode == RebuildMode::Replace {
            let counts = [lower_count, upper_count];
            for (range, spaces) in self.ranges.ranges.iter_mut().skip(index).zip(counts) {
                range.spaces = spaces;
            }
            self.ranges.store(self.log, self.store)?;
        }
        let mut persisted = folding.persisted;
        persisted.retain(|space_id, _| place_of(space_id) <= middle);
        Ok(Folding::measured(Parts::of(lower, self.threads), persisted))
    }

    /// Persists how far it is, so that the next rebuild goes on there.
    fn keep_progress(
        &mut self,
        index: usize,
        folding: &mut Folding,
        position: Position,
    ) -> Result<(), RebuildError> {
        self.progress_kept = Instant::now();
        if self.mode == RebuildMode::Check {
            return Ok(());
        }
        self.persist_states(folding)?;
        let spaces = folding.count();
        if let Some(range) = self.ranges.ranges.get_mut(index) {
            range.position = position;
            range.spaces = spaces;
        }
        self.ranges.store(self.log, self.store)
    }

    /// Persists the states of a range, which are as of `position`.
    fn persist(
        &mut self,
        index: usize,
        mut folding: Folding,
        position: Position,
    ) -> Result<(), RebuildError> {
        self.persist_states(&mut folding)?;
        let spaces = folding.count();
        if let Some(range) = self.ranges.ranges.get_mut(index) {
            range.position = position;
            range.spaces = spaces;
        }
        Ok(())
    }

    fn persist_states(&self, folding: &mut Folding) -> Result<(), RebuildError> {
        let (store, generation) = (self.store, self.ranges.generation);
        let Folding { parts, persisted, .. } = folding;
        let known = &*persisted;
        let outcomes = parts.each(|states| {
            let mut put = Vec::new();
            for state in states.sorted() {
                if known.get(state.space_id()) != Some(&state.revision()) {
                    store.put(&blob_key(generation, state.space_id()), &encode_blob(state))?;
                    put.push((state.space_id().to_owned(), state.revision()));
                }
            }
            Ok::<_, StorageError>(put)
        });
        for put in outcomes {
            persisted.extend(put?);
        }
        Ok(())
    }

    /// Compares the states of a range, which are as of the head, with the persisted ones.
    fn compare(&mut self, index: usize, folding: &Folding) -> Result<(), RebuildError> {
        let (begin, end) = (self.ranges.begin(index), self.end(index));
        // A state knows its hash once it was asked for it.
        folding.parts.each(|states| {
            for state in states.sorted() {
                let _ = state.state_hash();
            }
        });
        for state in folding.parts.iter() {
            let space_id = state.space_id();
            let new = state.state_hash();
            let old = match &self.persisted {
                Some(persisted) => persisted.state(self.log, self.store, state)?,
                None => None,
            };
            let old_hash = old.as_ref().map(|old| old.hash);
            match self.persisted.is_some() {
                true => {
                    if old_hash != Some(new) {
                        self.parts_in(space_id, old.map(|old| old.state), Some(state));
                    }
                    self.found.add(space_id, old_hash, Some(new));
                }
                false => self.found.add(space_id, Some(new), Some(new)),
            }
        }
        let Some(persisted) = &self.persisted else {
            return Ok(());
        };
        let mut only_old = Vec::new();
        persisted.each_space(self.store, |space_id| {
            let is_there = !(begin..=end).contains(&place_of(space_id))
                || folding.parts.get(space_id).is_some();
            if !is_there && let Some(old) = persisted.blob(self.store, space_id)? {
                only_old.push(old);
            }
            Ok(())
        })?;
        for old in only_old {
            let space_id = old.space_id().to_owned();
            self.found.add(&space_id, Some(old.state_hash()), None);
            self.parts_in(&space_id, Some(old), None);
        }
        Ok(())
    }

    /// Notes that a space differs, if it is the first one.
    fn parts_in(&mut self, space_id: &str, old: Option<SpaceState>, new: Option<&Arc<SpaceState>>) {
        if self.parting.as_ref().is_none_or(|first| space_id < first.space_id.as_str()) {
            let new = new.map(|new| SpaceState::clone(new));
            self.parting = Some(Parting { space_id: space_id.to_owned(), old, new });
        }
    }

    fn divergence(&self) -> Result<Option<divergence::Divergence>, RebuildError> {
        let Some(Parting { space_id, old, new }) = &self.parting else {
            return Ok(None);
        };
        let found =
            divergence::of_space(self.log, self.head, space_id, old.as_ref(), new.as_ref())?;
        Ok(Some(found))
    }

    /// Makes the new states count, and removes the others.
    fn replace(&mut self, spaces: u64) -> Result<(), RebuildError> {
        if let Some(mut whole) = self.whole.take() {
            self.persist_states(&mut whole)?;
        }
        let generation = self.ranges.generation;
        let event = match self.head {
            Position::START => None,
            head => event_at(self.log, head)?,
        };
        let event = event.unwrap_or(LastEvent::NONE);
        let marker = Marker { generation, position: self.head, event, spaces };
        self.store.put(MARKER_KEY, &marker.encode())?;
        sweep(self.store, generation);
        Ranges::forget(self.store)
    }

    /// Removes what it has persisted, and what one that was cut short left behind.
    fn give_up(&self) -> Result<(), RebuildError> {
        match (self.mode, &self.persisted) {
            (RebuildMode::Replace, Some(persisted)) => {
                sweep(self.store, persisted.generation());
                Ranges::forget(self.store)
            }
            _ => {
                let own = generation_prefix(self.ranges.generation);
                Ok(each_key(self.store, &own, |key| self.store.remove(key))?)
            }
        }
    }
}

impl Folding {
    /// States that are persisted as they are.
    fn of(states: SpaceStates, threads: NonZeroUsize) -> Self {
        let revision = |state: &Arc<SpaceState>| (state.space_id().to_owned(), state.revision());
        let persisted = states.sorted().into_iter().map(revision).collect();
        Self::measured(Parts::of(states, threads), persisted)
    }

    fn measured(parts: Parts, persisted: RapidHashMap<String, Revision>) -> Self {
        let mut folding = Self { parts, persisted, measured: 0, counted: 0 };
        folding.measure();
        folding
    }

    /// What the states may take in memory after so many bytes of pages.
    fn may_take(&self, read: u64) -> u64 {
        let new = self.count().saturating_sub(self.counted);
        let grown = read.saturating_mul(MEMORY_PER_PAGE_BYTE);
        let grown = grown.saturating_add(new.saturating_mul(NEW_STATE_BYTES));
        self.measured.saturating_add(grown)
    }

    fn count(&self) -> u64 {
        to_u64(self.parts.len())
    }

    fn measure(&mut self) {
        self.measured = self.parts.each(SpaceStates::memory_bytes).into_iter().sum();
        self.counted = self.count();
    }
}
