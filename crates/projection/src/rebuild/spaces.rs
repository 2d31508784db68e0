//! Folding the states of all spaces anew, beside what is persisted.

mod effects;
mod found;
mod old;
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
    LogReader, Position, Revision, StorageError, bytes::to_u64, lock::Lock,
};
use spacefold_state::{Effects, SpaceState, SpaceStates};

use self::{
    effects::NewEffects,
    found::{ComparedSpaces, DivergedSpace},
    old::{OldState, OldStates},
    ranges::{Ranges, place_of},
};
use super::{
    RebuildError, RebuildMode, RebuildOptions,
    divergence::{self, Divergence},
    fold::{Partitions, fold_partitioned},
    pace::Pace,
    reading::{Readers, SharedReading},
    refold::{Comparison, Refold},
};
use crate::{
    checkpoint::Checkpoint,
    generations::LeftBehind,
    kept_states::{KEPT_VERSION, KeptStates, Marker},
    live_states::{LiveStates, persisted::StatesRebuildStart},
    ranged_states::{MEMORY_PER_PAGE_BYTE, NEW_STATE_BYTES},
};

/// How many events are folded before it is looked at how much memory the states take.
const SEGMENT_EVENTS: u64 = 1 << 17;
/// And how many bytes of them.
const SEGMENT_BYTES: u64 = 32 << 20;
/// How many effects may be in memory before they are persisted.
const MAX_RECENT_EFFECTS: usize = 1 << 20;
/// Progress is kept so often, so that a kill costs no more.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// New states of all spaces, on their way from the first event to the head.
pub(super) struct SpacesRebuild<'a> {
    states: &'a LiveStates,
    log: &'a dyn LogReader,
    head: Position,
    mode: RebuildMode,
    threads: NonZeroUsize,
    memory_bytes: u64,
    /// What is persisted of the new states.
    new: KeptStates,
    ranges: Ranges,
    /// What was persisted and read when the rebuild began.
    old: Option<OldStates>,
    /// The effects that were found since what is persisted was.
    effects: Arc<Effects>,
    /// What was found of each space.
    found: ComparedSpaces,
    /// The first event of which the two have another effect, where no space differs.
    effects_part: Option<Position>,
    resumed_from: Option<Position>,
    /// How far it is, as it was persisted last.
    progress: Vec<u8>,
    progress_kept: Instant,
    /// The states of a rebuild that has one range, at the head.
    whole: Option<RangeFold>,
}

/// The states of one range while they are folded.
#[derive(Default)]
struct RangeFold {
    parts: Partitions,
    /// Up to which revision the state of a space is persisted.
    persisted: RapidHashMap<String, Revision>,
    /// Bytes that the states took in memory when they were measured last, and how many there were.
    measured: u64,
    counted: u64,
}

impl<'a> SpacesRebuild<'a> {
    pub(super) fn begin(
        states: &'a LiveStates,
        head: Position,
        options: &RebuildOptions<'_>,
    ) -> Result<Self, RebuildError> {
        let log = &**states.log();
        let StatesRebuildStart { old, new, left } =
            states.begin_rebuild::<RebuildError>(options.left_behind())?;
        let left = left.as_deref().and_then(Ranges::decode);
        let left = match left.filter(|(checkpoint, _)| checkpoint.position() <= head) {
            Some(left) if left.0.fits(log)? => Some(left),
            _ => None,
        };
        let new = match left.is_none() && new.view().has_rows() {
            // What is there is of another log, or of what came to its end.
            true => {
                states.give_up_building::<RebuildError>(new.number())?;
                states.begin_rebuild::<RebuildError>(LeftBehind::Ignore)?.new
            }
            false => new,
        };
        let (checkpoint, ranges) =
            left.unwrap_or_else(|| (Checkpoint::start(KEPT_VERSION), Ranges::new()));
        let first = ranges.ranges.first().map(|range| range.position);
        let progress = ranges.encode(&checkpoint);
        Ok(Self {
            states,
            log,
            head,
            mode: options.mode,
            threads: options.threads,
            memory_bytes: options.memory_bytes,
            new,
            ranges,
            old: old.map(|(marker, view)| OldStates::new(marker, view, head)),
            effects: no_effects(head),
            found: ComparedSpaces::default(),
            effects_part: None,
            resumed_from: first.filter(|first| *first > Position::START),
            progress,
            progress_kept: Instant::now(),
            whole: None,
        })
    }

    /// From where on it reads the log first.
    pub(super) fn position(&self) -> Position {
        self.ranges.ranges.first().map_or(Position::START, |range| range.position)
    }

    /// What the events did, as far as it is folded.
    pub(super) fn effects(&self) -> NewEffects {
        NewEffects::new(self.new.view(), Arc::clone(&self.effects))
    }

    /// Folds every range up to the head. The first reading of the log goes to the other folds too: to
    /// those that go by what events did as long as all spaces are folded in it. Those lack what is
    /// after the position that is answered.
    pub(super) fn fold(
        &mut self,
        pace: &Pace<'_>,
        plain: &Readers,
        by_effects: &Readers,
    ) -> Result<Position, RebuildError> {
        let nobody = Readers::default();
        let mut readers = (plain, by_effects);
        let mut handed_out = self.position();
        let mut index = 0;
        while index < self.ranges.ranges.len() {
            let mut folding = self.fold_range(index, pace, readers, &mut handed_out)?;
            self.compare(index, &folding)?;
            if self.is_whole() {
                self.whole = Some(folding);
            } else if self.mode == RebuildMode::Replace {
                self.keep_progress(index, &mut folding, self.head)?;
            }
            readers = (&nobody, &nobody);
            index += 1;
        }
        Ok(handed_out)
    }

    fn fold_range(
        &mut self,
        index: usize,
        pace: &Pace<'_>,
        (plain, by_effects): (&Readers, &Readers),
        handed_out: &mut Position,
    ) -> Result<RangeFold, RebuildError> {
        let pages = (self.is_whole() && !by_effects.is_empty()).then(Lock::default);
        let mut log = SharedReading { log: self.log, pace, plain, bytes: AtomicU64::new(0), pages };
        let (mut folding, mut position) = self.load_range(index)?;
        while position < self.head {
            let to = self.head.min(position.plus(SEGMENT_EVENTS));
            let wanted = |space_id: &str| self.ranges.holds(index, space_id);
            let parts = std::mem::take(&mut folding.parts);
            let span = (position, to);
            let (parts, effects) = fold_partitioned(&log, span, SEGMENT_BYTES, parts, &wanted)?;
            folding.parts = parts;
            position = effects.to();
            let effects = Arc::new(effects);
            for page in log.take_pages() {
                by_effects.hand_out(&page, Some(&effects));
                *handed_out = position;
            }
            Arc::make_mut(&mut self.effects).merge(Arc::unwrap_or_clone(effects));
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
                    if !self.is_whole() {
                        log.pages = None;
                    }
                }
            }
            if self.progress_kept.elapsed() >= PROGRESS_EVERY {
                self.keep_progress(index, &mut folding, position)?;
            } else if self.effects.len() >= MAX_RECENT_EFFECTS {
                // A check does so too: what it has written is in no use after it.
                self.write([], &self.progress.clone())?;
            }
        }
        Ok(folding)
    }

    /// Whether all spaces are folded together.
    pub(super) fn is_whole(&self) -> bool {
        self.ranges.ranges.len() == 1
    }

    /// The states of a range as they are persisted; none, from the first event on, where not all of
    /// them are.
    fn load_range(&mut self, index: usize) -> Result<(RangeFold, Position), RebuildError> {
        let mut states = SpaceStates::new();
        let insert = |state: SpaceState| {
            states.insert(state.into());
            Ok::<_, StorageError>(())
        };
        if self.ranges.ranges.get(index).is_some_and(|range| range.position > Position::START) {
            let wanted = |space_id: &str| self.ranges.holds(index, space_id);
            self.new.view().each_state(wanted, insert)?;
        }
        let Some(range) = self.ranges.ranges.get_mut(index) else {
            return Ok((RangeFold::of(states, self.threads), self.head));
        };
        if to_u64(states.len()) < range.spaces {
            tracing::warn!("what an earlier rebuild has left is damaged: folding from the start");
            range.position = Position::START;
            states = SpaceStates::new();
        }
        let position = range.position;
        Ok((RangeFold::of(states, self.threads), position))
    }

    /// Persists the states of a range, and lets go of those in its upper half, which is folded later. A
    /// check persists nothing: it folds the upper half from the first event.
    fn divide(
        &mut self,
        index: usize,
        folding: RangeFold,
        position: Position,
    ) -> Result<RangeFold, RebuildError> {
        let mut folding = folding;
        if self.mode == RebuildMode::Replace {
            self.keep_progress(index, &mut folding, position)?;
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
        }
        let mut persisted = folding.persisted;
        persisted.retain(|space_id, _| place_of(space_id) <= middle);
        Ok(RangeFold::measured(Partitions::of(lower, self.threads), persisted))
    }

    /// Persists how far it is, so that the next rebuild goes on there.
    fn keep_progress(
        &mut self,
        index: usize,
        folding: &mut RangeFold,
        position: Position,
    ) -> Result<(), RebuildError> {
        self.progress_kept = Instant::now();
        if self.mode == RebuildMode::Check {
            return Ok(());
        }
        let spaces = folding.count();
        if let Some(range) = self.ranges.ranges.get_mut(index) {
            range.position = position;
            range.spaces = spaces;
        }
        let furthest = self.ranges.ranges.iter().map(|range| range.position).max();
        let furthest = Checkpoint::at(self.log, KEPT_VERSION, furthest.unwrap_or(position))?;
        self.progress = self.ranges.encode(&furthest);
        self.persist(folding, &self.progress.clone())?;
        self.states.keep_building(self.new.number())
    }

    /// Persists the states that were not persisted as they are, and `owner`, in one step.
    fn persist(&mut self, folding: &mut RangeFold, owner: &[u8]) -> Result<(), RebuildError> {
        let RangeFold { parts, persisted, .. } = folding;
        let is_persisted =
            |state: &&Arc<SpaceState>| persisted.get(state.space_id()) == Some(&state.revision());
        let mut changed: Vec<_> = parts.iter().filter(|state| !is_persisted(state)).collect();
        changed.sort_unstable_by(|a, b| a.space_id().cmp(b.space_id()));
        self.write(changed.iter().map(|state| &***state), owner)?;
        let revisions = |state: &Arc<SpaceState>| (state.space_id().to_owned(), state.revision());
        persisted.extend(changed.into_iter().map(revisions).collect::<Vec<_>>());
        Ok(())
    }

    /// Persists states, sorted by id, the effects that are in memory, which take none then, and `owner`.
    fn write<'s>(
        &mut self,
        states: impl IntoIterator<Item = &'s SpaceState>,
        owner: &[u8],
    ) -> Result<(), RebuildError> {
        self.new.write(states, &self.effects, owner).map_err(StorageError::from)?;
        self.effects = no_effects(self.head);
        Ok(())
    }

    /// Compares the states of a range, which are as of the head, with the persisted ones.
    fn compare(&mut self, index: usize, folding: &RangeFold) -> Result<(), RebuildError> {
        let (log, old) = (self.log, self.old.as_ref());
        let compared = folding.parts.each(|states| {
            let mut found = ComparedSpaces::default();
            for new in states.sorted() {
                match old {
                    Some(old) => found.add(new.space_id(), old.state(log, new)?, Some(new)),
                    None => found.add_new(new),
                }
            }
            Ok::<_, RebuildError>(found)
        });
        for found in compared {
            self.found.append(found?);
        }
        let Some(old) = &self.old else { return Ok(()) };
        let is_only_old = |space_id: &str| {
            self.ranges.holds(index, space_id) && folding.parts.get(space_id).is_none()
        };
        let found = &mut self.found;
        old.view().each_state(is_only_old, |state| {
            let (space_id, hash) = (state.space_id().to_owned(), state.state_hash());
            found.add(&space_id, Some(OldState { state, hash }), None);
            Ok::<_, RebuildError>(())
        })
    }
}

/// No effects yet of the events up to the head.
fn no_effects(head: Position) -> Arc<Effects> {
    Arc::new(Effects::new(Position::START, head))
}

impl Refold for SpacesRebuild<'_> {
    fn name(&self) -> &'static str {
        SpaceStates::NAME
    }

    fn version(&self) -> u32 {
        SpaceStates::VERSION
    }

    fn resumed_from(&self) -> Option<Position> {
        self.resumed_from
    }

    fn compare(&mut self) -> Result<Comparison, RebuildError> {
        let (old_hash, new_hash, entries) = self.found.hashes.hashes();
        let old_hash = self.old.is_some().then_some(old_hash);
        // Where the states differ it does not matter what the events did.
        if old_hash == Some(new_hash)
            && let Some(old) = &self.old
        {
            self.effects_part = old.effects_part(&self.effects())?;
        }
        let is_same = old_hash == Some(new_hash) && self.effects_part.is_none();
        Ok(Comparison { old_hash, new_hash, entries, is_same })
    }

    fn divergence(&self, _pace: &Pace<'_>) -> Result<Option<Divergence>, RebuildError> {
        let Some(DivergedSpace { space_id, old, new }) = &self.found.parting else {
            let Some(position) = self.effects_part else { return Ok(None) };
            return Ok(Some(divergence::at(self.log, position)?));
        };
        let (old, new) = (old.as_ref(), new.as_deref());
        Ok(Some(divergence::of_space(self.log, self.head, space_id, old, new)?))
    }

    fn replace(mut self, compared: &Comparison) -> Result<(), RebuildError> {
        let checkpoint = Checkpoint::at(self.log, KEPT_VERSION, self.head)?;
        let marker = Marker { checkpoint, spaces: compared.entries };
        let mut whole = self.whole.take().unwrap_or_default();
        self.persist(&mut whole, &marker.encode())?;
        self.states.replace(self.new, marker)
    }

    fn give_up(self) -> Result<(), RebuildError> {
        self.states.give_up_building(self.new.number())
    }
}

impl RangeFold {
    /// States that are persisted as they are.
    fn of(states: SpaceStates, threads: NonZeroUsize) -> Self {
        let revision = |state: &Arc<SpaceState>| (state.space_id().to_owned(), state.revision());
        let persisted = states.sorted().into_iter().map(revision).collect();
        Self::measured(Partitions::of(states, threads), persisted)
    }

    fn measured(parts: Partitions, persisted: RapidHashMap<String, Revision>) -> Self {
        let mut folding = Self { parts, persisted, measured: 0, counted: 0 };
        folding.measure();
        folding
    }

    /// What the states may take in memory after this many bytes of pages.
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
