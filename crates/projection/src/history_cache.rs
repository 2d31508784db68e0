//! States of any time: from what is kept of a space's history, and the events after it.
//!
//! A space's events lie scattered in the log, and unpacking a block for each costs far more than
//! folding them. So a space's events are gathered into *stretches*, and now and then its state is
//! kept: in sorted runs in a folder of their own, which are the *history cache*. In memory are versions
//! of states that share what they have in common.
//!
//! None of it is trusted over the log. What is kept has a checkpoint, replaced with it in one step: the
//! last event that it comes from. A cache whose checkpoint does not fit the log, of another version, or with
//! any damage is done without, removed, and made anew; the events are read in the log meanwhile.

mod gatherer;
mod kept;
mod stretch;
mod versions;

use std::sync::Arc;

use arc_swap::ArcSwap;
use spacefold_event_core::{
    EventFilter, LogReader, Position, ReadRequest, Revision,
    bytes::{to_u64, to_usize},
    lock::Lock,
};
use spacefold_runs::{RunSet, RunsError};
use spacefold_state::SpaceState;

use self::{
    gatherer::{Gatherer, STRIDE},
    kept::{CacheView, StateAt},
    versions::{Version, Versions},
};
use crate::{derived_state::DerivedState, snapshot_error::SnapshotError};

/// Versions in memory lie this many events of their space apart, at least.
const VERSION_EVENTS: u64 = 512;
/// How many events are read of a space at a time.
const PAGE_EVENTS: usize = 1_024;

/// Whether a history cache is kept on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryCacheOnDisk {
    /// It is.
    #[default]
    Kept,
    /// It is not: a state of the past costs reading the events of its space where they are.
    NotKept,
}

/// What is kept so that states of the past are answered fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryCacheOptions {
    /// Whether a history cache is kept on disk.
    pub on_disk: HistoryCacheOnDisk,
    /// About how many bytes the versions in memory may take; 256 MiB unless told. They are made only
    /// when the past is asked for: some 0.5 KB for each event of the spaces asked for. An answer costs
    /// folding up to 512 events while they fit. Of a large space whose versions do not, it costs
    /// folding tens of thousands.
    pub cache_bytes: u64,
}

impl Default for HistoryCacheOptions {
    fn default() -> Self {
        Self { on_disk: HistoryCacheOnDisk::Kept, cache_bytes: 256 << 20 }
    }
}

pub(crate) struct HistoryCache {
    log: Arc<dyn LogReader>,
    place: DerivedState,
    on_disk: HistoryCacheOnDisk,
    versions: Lock<Versions>,
    known: ArcSwap<CacheState>,
    /// Of what is kept as it is known, except where that is not opened.
    gatherer: Lock<Option<Gatherer>>,
}

/// What is known of what is kept.
enum CacheState {
    /// Nothing yet.
    NotOpened,
    Open(CacheView),
    /// That it is damaged: it is done without, and removed before anything else is kept.
    Damaged,
}

impl HistoryCache {
    /// The cache of a log, in a folder of its own. Reads nothing yet.
    pub(crate) fn new(
        log: Arc<dyn LogReader>,
        place: DerivedState,
        options: HistoryCacheOptions,
    ) -> Self {
        Self {
            log,
            place,
            on_disk: options.on_disk,
            versions: Lock::new(Versions::new(options.cache_bytes)),
            known: ArcSwap::from_pointee(CacheState::NotOpened),
            gatherer: Lock::new(None),
        }
    }

    /// The state of a space as of a position that is durable; `None` when it does not exist there.
    pub(crate) fn state_at(
        &self,
        space_id: &str,
        position: Position,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        self.state_after(None, space_id, position)
    }

    /// As [`HistoryCache::state_at`], where the state as of some position before is known already.
    fn state_after(
        &self,
        known: Option<&Version>,
        space_id: &str,
        position: Position,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        let start = self.start(known, space_id, position)?;
        let mut replay = Replay::new(self, start, position);
        replay.run()?;
        let state = Arc::new(replay.state);
        let mut versions = self.versions.lock();
        replay.versions.iter().for_each(|version| versions.keep(version, Some(VERSION_EVENTS)));
        Ok((state.revision() > Revision::NONE).then_some(state))
    }

    /// The states of a space as of two positions that are durable, the earlier one first: as far as
    /// the fold leads from one to the other, they share what did not change.
    pub(crate) fn states_at(
        &self,
        space_id: &str,
        earlier: Position,
        later: Position,
    ) -> Result<[Option<Arc<SpaceState>>; 2], SnapshotError> {
        let before = self.state_at(space_id, earlier)?;
        let known =
            before.as_ref().map(|state| Version { state: Arc::clone(state), position: earlier });
        Ok([before, self.state_after(known.as_ref(), space_id, later)?])
    }

    /// Where the fold up to a position begins.
    fn start(
        &self,
        known: Option<&Version>,
        space_id: &str,
        position: Position,
    ) -> Result<Version, SnapshotError> {
        let near = self.versions.lock().nearest(space_id, position);
        let near = near.into_iter().chain(known.cloned()).max_by_key(|version| version.position);
        if let Some(near) = &near
            && position.since(near.position) <= cheap_events(near)
        {
            return Ok(near.clone());
        }
        let is_far = |near: &Version, at: StateAt| {
            at.revision.get().saturating_sub(near.state.revision().get()) > cheap_events(near)
        };
        if let Some(at) = self.read(|kept| kept.state_before(space_id, position))?
            && near.as_ref().is_none_or(|near| is_far(near, at))
            && let Some(state) = self.read(|kept| kept.state(space_id, at).map(Some))?
        {
            let version = Version { state: Arc::new(state), position: at.position };
            self.versions.lock().keep(&version, None);
            return Ok(version);
        }
        let new =
            || Version { state: Arc::new(SpaceState::new(space_id)), position: Position::START };
        Ok(near.unwrap_or_else(new))
    }

    /// Reads what is kept; `None` where nothing is, or it is damaged or being made anew.
    fn read<T>(
        &self,
        read: impl FnOnce(&CacheView) -> Result<Option<T>, RunsError>,
    ) -> Result<Option<T>, SnapshotError> {
        // Nobody waits for a gathering that has begun to make it anew.
        if matches!(**self.known.load(), CacheState::NotOpened)
            && let Some(mut gatherer) = self.gatherer.try_lock()
        {
            self.open(&mut gatherer)?;
        }
        let known = self.known.load();
        let CacheState::Open(kept) = &**known else { return Ok(None) };
        match read(kept) {
            Ok(found) => Ok(found),
            Err(RunsError::Storage(error)) => Err(error.into()),
            Err(damaged) => {
                self.give_up(&damaged);
                Ok(None)
            }
        }
    }

    /// Does without what is kept from now on.
    fn give_up(&self, damaged: &RunsError) {
        tracing::warn!(%damaged, "the history cache is damaged: it is rebuilt");
        self.known.store(Arc::new(CacheState::Damaged));
    }

    /// Has readers see what is kept now, unless it is to be done without.
    fn show(&self, kept: CacheView) {
        if !matches!(**self.known.load(), CacheState::Damaged) {
            self.known.store(Arc::new(CacheState::Open(kept)));
        }
    }

    /// What is kept, and where gathering goes on: opened if it is not, and empty if it is damaged.
    fn open<'a>(
        &self,
        gatherer: &'a mut Option<Gatherer>,
    ) -> Result<&'a mut Gatherer, SnapshotError> {
        if matches!(**self.known.load(), CacheState::Damaged) {
            self.clear(gatherer)?;
        }
        Ok(match gatherer {
            Some(gatherer) => gatherer,
            None => {
                let loaded = Gatherer::load(&*self.log, &self.place)?;
                self.known.store(Arc::new(CacheState::Open(loaded.kept(&self.place))));
                gatherer.insert(loaded)
            }
        })
    }

    fn clear(&self, gatherer: &mut Option<Gatherer>) -> Result<(), SnapshotError> {
        *gatherer = None;
        RunSet::remove(self.place.folder())?;
        self.known.store(Arc::new(CacheState::NotOpened));
        Ok(())
    }

    /// Gathers the next events of the log, a limited number, when there are enough; answers whether
    /// there are more.
    pub(crate) fn gather(&self) -> Result<bool, SnapshotError> {
        if self.on_disk == HistoryCacheOnDisk::NotKept {
            return Ok(false);
        }
        let mut guard = self.gatherer.lock();
        let gatherer = self.open(&mut guard)?;
        let head = self.log.durable_head();
        if head.since(gatherer.position()) < STRIDE {
            return Ok(false);
        }
        gatherer.gather(self, head)?;
        Ok(head.since(gatherer.position()) >= STRIDE)
    }

    /// Keeps what has been gathered and is not kept yet, for the end of a session.
    pub(crate) fn finish_gathering(&self) -> Result<(), SnapshotError> {
        let mut guard = self.gatherer.lock();
        match guard.as_mut() {
            Some(_) if matches!(**self.known.load(), CacheState::Damaged) => self.clear(&mut guard),
            Some(gatherer) => gatherer.finish(self),
            None => Ok(()),
        }
    }

    /// Gathers all events up to the durable head as it is now.
    pub(crate) fn gather_all(&self) -> Result<(), SnapshotError> {
        if self.on_disk == HistoryCacheOnDisk::NotKept {
            return Ok(());
        }
        let mut guard = self.gatherer.lock();
        let gatherer = self.open(&mut guard)?;
        let head = self.log.durable_head();
        while gatherer.position() < head {
            gatherer.gather(self, head)?;
        }
        gatherer.finish(self)
    }

    /// Removes everything that is kept, on disk and in memory.
    pub(crate) fn remove(&self) -> Result<(), SnapshotError> {
        let mut guard = self.gatherer.lock();
        self.versions.lock().clear();
        self.clear(&mut guard)
    }
}

/// Folding this many events on from a version costs less than reading a state.
fn cheap_events(near: &Version) -> u64 {
    to_u64(near.state.document_count()) / 2 + 256
}

/// A fold of one space on to a position.
struct Replay<'a> {
    cache: &'a HistoryCache,
    state: SpaceState,
    /// The state has all events up to here.
    through: Position,
    to: Position,
    /// The revision of the last version on the way.
    kept: Revision,
    /// What is to be kept, once it is known to be right.
    versions: Vec<Version>,
}

impl<'a> Replay<'a> {
    fn new(cache: &'a HistoryCache, start: Version, to: Position) -> Self {
        let state = SpaceState::clone(&start.state);
        let kept = state.revision();
        Self { cache, state, through: start.position, to, kept, versions: Vec::new() }
    }

    /// Folds on: through stretches, and through the log where there are none.
    fn run(&mut self) -> Result<(), SnapshotError> {
        let space_id = self.state.shared_space_id();
        while self.through < self.to {
            let after = self.state.revision();
            let Some(stretch) = self.cache.read(|kept| kept.stretch_after(&space_id, after))?
            else {
                break;
            };
            self.read_log(stretch.first.previous())?;
            let after = self.state.revision();
            let Self { state, kept, versions, to, .. } = self;
            stretch.replay(after, *to, |event| {
                state.apply(event);
                versions.extend(version_due(state, kept, event.position));
            })?;
            self.through = stretch.last_position.min(self.to);
        }
        self.read_log(Revision::new(u64::MAX))
    }

    /// Reads on in the log, up to a revision at the most.
    fn read_log(&mut self, to: Revision) -> Result<(), SnapshotError> {
        let space_id = self.state.shared_space_id();
        let filter = EventFilter::all().spaces([&*space_id]);
        let left = to.get().saturating_sub(self.state.revision().get());
        if left == 0 {
            return Ok(());
        }
        let limit = to_usize(left).min(PAGE_EVENTS);
        let read = ReadRequest::from(self.through.next()).to(self.to).limit(limit);
        for page in self.cache.log.pages(read.matching(filter)) {
            let page = page?;
            for envelope in page.envelopes() {
                let position = envelope.position;
                if self.state.revision() >= to {
                    self.through = position.previous();
                    return Ok(());
                }
                self.state.apply(&envelope.decode()?);
                self.versions.extend(version_due(&self.state, &mut self.kept, position));
            }
            self.through = page.next().previous().min(self.to);
            if self.state.revision() >= to {
                break;
            }
        }
        Ok(())
    }
}

/// A version of the state as it is, when the last one lies far enough behind.
fn version_due(state: &SpaceState, kept: &mut Revision, position: Position) -> Option<Version> {
    if state.revision().get() - kept.get() < VERSION_EVENTS {
        return None;
    }
    *kept = state.revision();
    Some(Version { state: Arc::new(state.clone()), position })
}

#[cfg(test)]
mod tests;
