//! States of any time: from what is kept of a space's past, and the events behind it.
//!
//! A space's events lie scattered in the log, and unpacking a block for each costs far more than
//! folding them. So a space's events are gathered into *stretches*, and now and then its state is
//! kept: in the state store, behind the log, in a form of their own. In memory are versions of
//! states that share what they have in common. None of it is trusted over the log: what does not
//! fit it, is damaged or missing is done without, and the events are read where they stand.

mod directory;
mod stretch;
mod versions;
mod weaver;

use std::sync::Arc;

use spacefold_event_core::{
    EventFilter, LogReader, Position, Read, ReadError, Revision, StateStore,
    bytes::{to_u64, to_usize},
    lock::Lock,
};
use spacefold_state::SpaceState;

use self::{
    directory::{Directory, Entry},
    stretch::{Stretch, StretchKey},
    versions::{Version, Versions},
    weaver::{STRIDE, Weaver},
};
use crate::{
    checkpoint::{LastEvent, event_at},
    snapshot_error::SnapshotError,
};

/// Versions in memory lie so many events of their space apart, at least.
const VERSION_EVENTS: u64 = 512;
/// How many events are read of a space at a time.
const PAGE_EVENTS: usize = 1_024;

/// Whether stretches and states of the past are kept in the state store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PastOnDisk {
    /// They are.
    #[default]
    Kept,
    /// They are not: a state of the past costs reading the events of its space where they stand.
    NotKept,
}

/// How states of the past are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastOptions {
    /// Whether anything is kept in the state store for it.
    pub on_disk: PastOnDisk,
    /// About how many bytes the versions in memory may take; 256 MiB unless told. They are made only
    /// when the past is asked for: some 0.5 KB for each event of the spaces that are. An answer costs
    /// folding up to 512 events while they fit. Of a large space whose versions do not, it costs
    /// folding tens of thousands.
    pub cache_bytes: u64,
}

impl Default for PastOptions {
    fn default() -> Self {
        Self { on_disk: PastOnDisk::Kept, cache_bytes: 256 << 20 }
    }
}

pub(crate) struct Past {
    log: Arc<dyn LogReader>,
    store: Arc<dyn StateStore>,
    on_disk: PastOnDisk,
    versions: Lock<Versions>,
    weaver: Lock<Option<Weaver>>,
}

impl Past {
    pub(crate) fn new(
        log: Arc<dyn LogReader>,
        store: Arc<dyn StateStore>,
        options: PastOptions,
    ) -> Self {
        let versions = Lock::new(Versions::new(options.cache_bytes));
        Self { log, store, on_disk: options.on_disk, versions, weaver: Lock::new(None) }
    }

    /// The state of a space as of a position that is durable; `None` when it does not exist there.
    pub(crate) fn state_at(
        &self,
        space_id: &str,
        position: Position,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        self.state_after(None, space_id, position)
    }

    /// As [`Past::state_at`], where the state as of some position in front is known already.
    fn state_after(
        &self,
        known: Option<&Version>,
        space_id: &str,
        position: Position,
    ) -> Result<Option<Arc<SpaceState>>, SnapshotError> {
        let start = self.start(known, space_id, position)?;
        let directory = self.directory(space_id)?;
        let mut replay = Replay::new(self, start, position);
        if !replay.run(&directory)? {
            // What is kept is not of this log.
            self.versions.lock().forget(space_id);
            self.remove_stretches(space_id)?;
            return self.state_after(None, space_id, position);
        }
        let state = Arc::new(replay.state);
        self.keep(replay.versions);
        if state.revision() == Revision::NONE {
            return Ok(None);
        }
        Ok(Some(state))
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

    fn keep(&self, versions: Vec<Version>) {
        let mut cache = self.versions.lock();
        for version in versions {
            cache.keep(&version, Some(VERSION_EVENTS));
        }
    }

    fn remove_stretches(&self, space_id: &str) -> Result<(), SnapshotError> {
        for key in self.store.keys(&stretch::stretches_prefix(space_id))? {
            self.store.remove(&key)?;
        }
        Ok(())
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
        let directory = self.directory(space_id)?;
        while let Some(entry) = directory.state_at(position) {
            let key = entry.key;
            if let Some(near) = &near {
                let further = key.revision.get().saturating_sub(near.state.revision().get());
                let documents = to_u64(near.state.document_count());
                // Folding that far costs less than reading a state.
                if further <= documents / 2 + 256 {
                    break;
                }
            }
            let blob = self.store.get(&key.encode(space_id))?;
            let read = blob.and_then(|blob| stretch::decode_state(&blob, space_id, &key));
            match read {
                Some((state, last)) if self.fits(entry, key.position, last)? => {
                    let version = Version { state: Arc::new(state), position: key.position };
                    self.versions.lock().keep(&version, None);
                    return Ok(version);
                }
                _ => self.set_wrong(entry, &key.encode(space_id))?,
            }
        }
        let new =
            || Version { state: Arc::new(SpaceState::new(space_id)), position: Position::START };
        Ok(near.unwrap_or_else(new))
    }

    fn stretch(
        &self,
        space_id: &str,
        entry: &Entry<StretchKey>,
    ) -> Result<Option<Stretch>, SnapshotError> {
        let key = entry.key.encode(space_id);
        let blob = self.store.get(&key)?;
        let stretch = blob.and_then(|blob| Stretch::decode(&blob, space_id, &entry.key));
        if stretch.is_none() {
            self.set_wrong(entry, &key)?;
        }
        Ok(stretch)
    }

    /// Whether what is kept was made from this log: it ends with the event that stands there.
    fn fits<K>(
        &self,
        entry: &Entry<K>,
        position: Position,
        last: LastEvent,
    ) -> Result<bool, ReadError> {
        if !entry.fits() {
            if position > self.log.durable_head() || event_at(&*self.log, position)? != Some(last) {
                return Ok(false);
            }
            entry.set_fits();
        }
        Ok(true)
    }

    fn set_wrong<K>(&self, entry: &Entry<K>, key: &[u8]) -> Result<(), SnapshotError> {
        tracing::warn!("a part of what is kept of the past is not what it says: it is removed");
        entry.set_wrong();
        Ok(self.store.remove(key)?)
    }

    fn directory(&self, space_id: &str) -> Result<Arc<Directory>, SnapshotError> {
        if let Some(directory) = self.versions.lock().directory(space_id) {
            return Ok(directory);
        }
        let directory = Arc::new(Directory::read(&*self.store, space_id)?);
        self.versions.lock().keep_directory(space_id, &directory);
        Ok(directory)
    }

    fn forget_directory(&self, space_id: &str) {
        self.versions.lock().forget_directory(space_id);
    }

    /// Gathers the next events of the log, a limited number, when there are enough; answers whether
    /// there are more.
    pub(crate) fn weave(&self) -> Result<bool, SnapshotError> {
        let mut guard = self.weaver.lock();
        let Some(weaver) = self.weaver_of(&mut guard)? else { return Ok(false) };
        let head = self.log.durable_head();
        if head.since(weaver.position()) < STRIDE {
            return Ok(false);
        }
        weaver.weave(self, head)?;
        Ok(head.since(weaver.position()) >= STRIDE)
    }

    /// Keeps what has been gathered and is not kept yet, for the end of a session.
    pub(crate) fn finish_weaving(&self) -> Result<(), SnapshotError> {
        let mut guard = self.weaver.lock();
        match guard.as_mut() {
            Some(weaver) => weaver.finish(self),
            None => Ok(()),
        }
    }

    /// Gathers all events up to the durable head as it is now.
    pub(crate) fn weave_all(&self) -> Result<(), SnapshotError> {
        let mut guard = self.weaver.lock();
        let Some(weaver) = self.weaver_of(&mut guard)? else { return Ok(()) };
        let head = self.log.durable_head();
        while weaver.position() < head {
            weaver.weave(self, head)?;
        }
        weaver.finish(self)
    }

    /// Removes everything that is kept, on disk and in memory.
    pub(crate) fn remove(&self) -> Result<(), SnapshotError> {
        let mut guard = self.weaver.lock();
        *guard = None;
        self.versions.lock().clear();
        weaver::remove_all(&*self.store)
    }

    fn weaver_of<'a>(
        &self,
        guard: &'a mut Option<Weaver>,
    ) -> Result<Option<&'a mut Weaver>, SnapshotError> {
        if self.on_disk == PastOnDisk::NotKept {
            return Ok(None);
        }
        if guard.is_none() {
            *guard = Some(Weaver::load(&*self.log, &*self.store)?);
        }
        Ok(guard.as_mut())
    }
}

/// A fold of one space on to a position.
struct Replay<'a> {
    past: &'a Past,
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
    fn new(past: &'a Past, start: Version, to: Position) -> Self {
        let state = SpaceState::clone(&start.state);
        let kept = state.revision();
        Self { past, state, through: start.position, to, kept, versions: Vec::new() }
    }

    /// Folds on; `false` when what was taken from stretches is not what the log has.
    fn run(&mut self, directory: &Directory) -> Result<bool, SnapshotError> {
        let space_id = self.state.shared_space_id();
        let mut taken = None;
        while self.through < self.to
            && let Some(entry) = directory.stretch_after(self.state.revision())
        {
            let gap_end = entry.key.first.previous();
            if self.state.revision() < gap_end {
                self.read_log(gap_end)?;
                if self.state.revision() < gap_end {
                    break;
                }
            }
            let Some(stretch) = self.past.stretch(&space_id, entry)? else { continue };
            let after = self.state.revision();
            let Self { state, kept, versions, to, .. } = self;
            let replayed = stretch.replay(after, *to, |event| {
                state.apply(event);
                versions.extend(version_due(state, kept, event.position));
            });
            replayed?;
            self.through = entry.key.last_position.min(self.to);
            taken = Some((entry, stretch.last));
        }
        // The last one tells: a log that has its end has what leads there.
        if let Some((entry, last)) = taken
            && !self.past.fits(entry, entry.key.last_position, last)?
        {
            return Ok(false);
        }
        self.read_log(Revision::new(u64::MAX))?;
        Ok(true)
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
        let read = Read::from(self.through.next()).to(self.to).limit(limit);
        for page in self.past.log.pages(read.matching(filter)) {
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
