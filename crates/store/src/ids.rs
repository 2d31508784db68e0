//! The index of the ids of events: each is in a log once, for ever.
//!
//! It is made of the blocks of segments and is kept in sorted runs; what is newer is in memory
//! ([`fresh`]). An id outside of the few bands that those of its version are in is new without a look,
//! as those are that are made of the time. Origins, which an event has once in a log too, are rows beside
//! them (`event_keys.rs`). Ids of a block that are close to each other, as those are too, are
//! one row, a *span*: the block says which they are. All others have a row each, and a filter that says
//! of most new ones that they are not there. Derived from the blocks: one that is lost, damaged or
//! another log's is made anew, and only what looks for ids waits for that (`id_lookup.rs`).

mod extent;
pub(crate) mod fresh;
mod looks;
mod rows;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use spacefold_disk::{Folder as DiskFolder, LazyFolder, MemoryDisk};
use spacefold_event_core::{
    EventId, EventOrigin, Position, ReadError, StorageError,
    bytes::{to_u32, to_u64, to_usize},
    lock::{Lock, SharedLock},
};
use spacefold_runs::{Opened, PageCache, RunSet, RunsError, View};

pub(crate) use self::looks::IdLook;
use self::{
    extent::{IdExtent, IdSpan, NewIds, OVERLAPPING_SPANS, number},
    looks::Looks,
    rows::OPTIONS,
};
use crate::{
    block::{self, segment::SegmentIndex},
    event_keys::{EventKeys, origin_key},
    journal::segments::Segments,
    unfiled::UnfiledBlocks,
};

/// The folder of the index, among what is derived from the log.
const FOLDER: &str = "event-ids";
/// Bytes of pages that are kept for the next lookup, besides the filters.
const CACHE_BYTES: u64 = 8 << 20;
/// Ids after which what is read to make the index is written, where a segment ends.
const MAKING_IDS: usize = 1 << 18;
/// Blocks whose ids are kept for the next lookup, and times at which spans are.
const KEPT_BLOCKS: usize = 32;
const KEPT_SPANS: usize = 8;

const MAKING: &str = "making the index of event ids";

/// The index of ids of an open store.
pub(crate) struct IdIndex {
    store_id: [u8; 16],
    /// Where it is made anew.
    folder: Arc<dyn DiskFolder>,
    cache: Arc<PageCache>,
    /// Held while blocks are read to make it, which may wait for all that reading waits for.
    making: Lock<()>,
    /// Held while it is written.
    set: Lock<RunSet>,
    kept: SharedLock<Arc<KeptIds>>,
    /// Where it ends, for who does not look at it.
    end: AtomicU64,
    /// Where it has to end before anything is looked up in it.
    wanted_end: AtomicU64,
    looks: Looks,
    blocks: Lock<VecDeque<Arc<BlockIds>>>,
    spans: Lock<VecDeque<FoundSpans>>,
}

/// The spans that ids may be in which are near to each other: what comes late, or again, comes in the
/// order of its time.
#[derive(Debug)]
struct FoundSpans {
    /// They were found for this id, in an index that ends there.
    from: u128,
    end: Position,
    spans: [Option<IdSpan>; OVERLAPPING_SPANS],
}

impl FoundSpans {
    fn are_for(&self, id: u128, end: Position) -> bool {
        let [first, ..] = self.spans;
        self.end == end && self.from <= id && first.is_some_and(|first| id <= first.high)
    }
}

/// The index as of one manifest.
#[derive(Debug)]
pub(crate) struct KeptIds {
    extent: IdExtent,
    view: View,
    /// How often it was made anew.
    epoch: u64,
}

/// Reads the ids of the block that holds a position, and where that begins.
pub(crate) type ReadIds<'a> = &'a dyn Fn(Position) -> Result<(Position, Vec<EventId>), ReadError>;

/// The same, of all that the index takes of a block.
pub(crate) type ReadKeys<'a> = &'a dyn Fn(Position) -> Result<(Position, EventKeys), ReadError>;

/// The ids of a block, in order.
#[derive(Debug)]
struct BlockIds {
    first: Position,
    ids: Vec<(u128, u32)>,
}

impl BlockIds {
    fn of(first: Position, ids: &[EventId]) -> Self {
        let mut ids: Vec<(u128, u32)> =
            ids.iter().enumerate().map(|(place, id)| (number(*id), to_u32(place))).collect();
        ids.sort_unstable();
        Self { first, ids }
    }

    fn find(&self, id: u128) -> Option<Position> {
        let after = self.ids.partition_point(|(other, _)| *other <= id);
        let (found, place) = self.ids.get(after.checked_sub(1)?)?;
        (*found == id).then(|| self.first.plus(u64::from(*place)))
    }
}

/// Why an id was not looked up.
pub(crate) enum IdMiss {
    /// The index is damaged: it has to be made anew.
    Damaged(RunsError),
    Failed(ReadError),
}

impl From<RunsError> for IdMiss {
    fn from(error: RunsError) -> Self {
        match error {
            damaged @ RunsError::Damaged { .. } => Self::Damaged(damaged),
            other => Self::Failed(StorageError::from(other).into()),
        }
    }
}

impl From<ReadError> for IdMiss {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

impl IdIndex {
    /// The index in the folder for what is derived, as far as it fits the segments; nothing is changed,
    /// and no id is read. What it lacks is made before the first lookup, in memory where nothing
    /// `may` be written.
    pub(crate) fn open(
        derived: &Arc<dyn DiskFolder>,
        store_id: [u8; 16],
        segments: &Segments,
        may_write: bool,
    ) -> Result<Self, StorageError> {
        let folder = LazyFolder::within(derived, FOLDER);
        let cache = Arc::new(PageCache::new(CACHE_BYTES));
        let found = load(&folder, &cache, segments).unwrap_or_else(|error| {
            tracing::warn!(%error, "the index of event ids cannot be used: it is rebuilt");
            None
        });
        let anew_in = if may_write { folder } else { MemoryDisk::new().root() };
        let (set, extent) = match found {
            Some(found) if may_write || found.1.end >= segments.end() => found,
            _ => nothing(&anew_in, &cache, store_id)?,
        };
        Ok(Self::of(store_id, (anew_in, cache), set, extent, segments.end()))
    }

    /// As [`IdIndex::open`], of a store that another process writes: what the index lacks, as it is now,
    /// is kept in memory, if there is one.
    pub(crate) fn open_to_follow(
        derived: &Arc<dyn DiskFolder>,
        store_id: [u8; 16],
        segments: &Segments,
    ) -> Result<Self, StorageError> {
        let cache = Arc::new(PageCache::new(CACHE_BYTES));
        let found = load(&LazyFolder::within(derived, FOLDER), &cache, segments);
        let anew_in = MemoryDisk::new().root();
        let (set, extent, end) = match found.unwrap_or_default() {
            Some((set, extent)) => {
                let end = extent.end;
                (set, extent, end)
            }
            None => {
                let (set, extent) = nothing(&anew_in, &cache, store_id)?;
                (set, extent, segments.end())
            }
        };
        Ok(Self::of(store_id, (anew_in, cache), set, extent, end))
    }

    /// Goes on from the index as another process has written it since, if it can be used.
    pub(crate) fn follow(&self, derived: &Arc<dyn DiskFolder>, segments: &Segments) {
        let mut set = self.set.lock();
        let found = load(&LazyFolder::within(derived, FOLDER), &self.cache, segments);
        if let Ok(Some((newer, extent))) = found
            && extent.end > self.end()
        {
            *set = newer;
            self.wanted_end.fetch_max(extent.end.get(), Ordering::AcqRel);
            let epoch = self.kept().epoch + 1;
            self.show(&set, extent, epoch);
        }
    }

    fn of(
        store_id: [u8; 16],
        (anew_in, cache): (Arc<dyn DiskFolder>, Arc<PageCache>),
        set: RunSet,
        extent: IdExtent,
        wanted_end: Position,
    ) -> Self {
        let end = AtomicU64::new(extent.end.get());
        let kept = Arc::new(KeptIds { extent, view: set.view().clone(), epoch: 0 });
        Self {
            store_id,
            folder: anew_in,
            cache,
            making: Lock::default(),
            set: Lock::new(set),
            kept: SharedLock::new(kept),
            end,
            wanted_end: AtomicU64::new(wanted_end.get()),
            looks: Looks::default(),
            blocks: Lock::default(),
            spans: Lock::default(),
        }
    }

    /// Sets how many bytes of filters are held in memory; others are read when they are asked for.
    pub(crate) fn hold_filters(&self, bytes: u64) {
        self.cache.hold_filters(bytes);
    }

    /// The position of the last event whose id it has.
    pub(crate) fn end(&self) -> Position {
        Position::new(self.end.load(Ordering::Acquire))
    }

    /// Whether it has the ids of all segments.
    pub(crate) fn is_complete(&self) -> bool {
        self.end.load(Ordering::Acquire) >= self.wanted_end.load(Ordering::Acquire)
    }

    /// Where it ends once it is complete; never moves back.
    fn reach(&self) -> Position {
        self.end().max(Position::new(self.wanted_end.load(Ordering::Acquire)))
    }

    /// Begins a look for ids: up to where it begins in the index, after that in memory.
    pub(crate) fn begin_look(&self) -> IdLook {
        self.looks.begin(|| self.reach())
    }

    /// The position after which ids have to be in memory: some look under way does not look for them
    /// here.
    pub(crate) fn wanted_in_memory_after(&self) -> Position {
        self.looks.lowest(|| self.reach())
    }

    /// Whether blocks are being read to make it: what it lacks by now is made too.
    pub(crate) fn is_being_made(&self) -> bool {
        self.making.try_lock().is_none()
    }

    /// Waits for who writes it: once the store says that it is closed, nobody begins to.
    pub(crate) fn finish(&self) {
        drop(self.set.lock());
    }

    /// The index as it is now.
    pub(crate) fn kept(&self) -> Arc<KeptIds> {
        Arc::clone(&self.kept.read())
    }

    /// Goes on from what was written.
    fn show(&self, set: &RunSet, extent: IdExtent, epoch: u64) {
        let end = extent.end.get();
        *self.kept.write() = Arc::new(KeptIds { extent, view: set.view().clone(), epoch });
        self.end.store(end, Ordering::Release);
    }

    /// Writes new ids as a run, and shows them.
    fn write(
        &self,
        set: &mut RunSet,
        extent: IdExtent,
        mut new: NewIds,
        epoch: u64,
    ) -> Result<(), RunsError> {
        let mut writing = set.writing();
        rows::push_all(&mut new, &mut writing)?;
        let written = writing.finish(&extent.encode())?;
        set.adopt(written);
        self.show(set, extent, epoch);
        Ok(())
    }

    /// The ids of a block that was looked at before.
    fn known_block(&self, first: Position) -> Option<Arc<BlockIds>> {
        let mut blocks = self.blocks.lock();
        let place = blocks.iter().position(|block| block.first == first)?;
        let block = blocks.remove(place)?;
        blocks.push_front(Arc::clone(&block));
        Some(block)
    }

    /// Where an id is in the block that was looked at last.
    fn find_in_newest_block(&self, id: u128) -> Option<Position> {
        let newest = self.blocks.lock().front().cloned()?;
        newest.find(id)
    }
}

/// A set without rows, and how far it goes.
fn nothing(
    folder: &Arc<dyn DiskFolder>,
    cache: &Arc<PageCache>,
    store_id: [u8; 16],
) -> Result<(RunSet, IdExtent), StorageError> {
    let set = RunSet::empty(Arc::clone(folder), OPTIONS, Arc::clone(cache));
    Ok((set.map_err(StorageError::from)?, IdExtent::nothing(block::genesis(store_id))))
}

/// The set of a folder, and how far it goes; `None` when there is none, or not of these segments.
fn load(
    folder: &Arc<dyn DiskFolder>,
    cache: &Arc<PageCache>,
    segments: &Segments,
) -> Result<Option<(RunSet, IdExtent)>, RunsError> {
    let opened = RunSet::open(Arc::clone(folder), OPTIONS, Arc::clone(cache))?;
    let Some(Opened { set, owner, .. }) = opened else { return Ok(None) };
    let is_end = |extent: &IdExtent| segments.hash_at(extent.end) == Some(extent.last_hash);
    Ok(IdExtent::decode(&owner).filter(is_end).map(|extent| (set, extent)))
}

impl KeptIds {
    /// Where it ends, and which of those that were made anew it is.
    pub(crate) fn end(&self) -> Position {
        self.extent.end
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether an id is new for sure; else it takes a look ([`IdIndex::find`]).
    pub(crate) fn is_new(&self, id: EventId) -> bool {
        self.extent.is_new(number(id))
    }

    /// Where the event of an origin is, as far as this goes.
    ///
    /// # Cost
    /// Mostly a look at a filter of each run; nothing where no event has an origin.
    pub(crate) fn find_origin(&self, origin: &EventOrigin) -> Result<Option<Position>, RunsError> {
        if !self.extent.has_origins {
            return Ok(None);
        }
        rows::find_origin(&self.view, origin_key(origin))
    }
}

impl IdIndex {
    /// Where the event of an id is that is not [new](KeptIds::is_new), as far as `kept` goes.
    ///
    /// # Cost
    /// Mostly a look at a filter of each run.
    pub(crate) fn find(
        &self,
        kept: &KeptIds,
        id: EventId,
        ids_of: ReadIds<'_>,
    ) -> Result<Option<Position>, IdMiss> {
        let id = number(id);
        let may_be_in_span = kept.extent.may_be_in_span(id);
        // What comes again comes in the order in which it is stored, mostly.
        if may_be_in_span && let Some(position) = self.find_in_newest_block(id) {
            return Ok(Some(position));
        }
        if kept.extent.may_be_single(id)
            && let Some(position) = rows::find_single(&kept.view, id)?
        {
            return Ok(Some(position));
        }
        if !may_be_in_span {
            return Ok(None);
        }
        for span in self.spans(kept, id)?.into_iter().flatten() {
            if (span.lowest..=span.highest).contains(&id)
                && let Some(position) = self.block(span.block, ids_of)?.find(id)
            {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Takes the ids of some segments in: of those after its end, unless another thread has done it.
    pub(crate) fn make_more(
        &self,
        segments: &Segments,
        check_open: impl Fn() -> Result<(), ReadError>,
        keys_of: ReadKeys<'_>,
    ) -> Result<(), ReadError> {
        let _making = self.making.lock();
        let kept = self.kept();
        if self.is_complete() {
            return Ok(());
        }
        check_open()?;
        let mut extent = kept.extent.clone();
        let (mut new, mut count) = (NewIds::default(), 0);
        for (end, hash) in segments.ends_after(extent.end) {
            while extent.end < end {
                let next = extent.end.next();
                let (first, EventKeys { ids, mut origins }) = keys_of(next)?;
                let ids = ids.get(to_usize(next.since(first))..).unwrap_or_default();
                extent.add_block(next, ids, &mut new);
                origins.retain(|origin| origin.position >= next);
                extent.add_origins(origins, &mut new);
                extent.end = extent.end.plus(to_u64(ids.len()));
                count += ids.len();
            }
            extent.last_hash = hash;
            if count >= MAKING_IDS {
                break;
            }
        }
        if count == 0 {
            // What is wanted is in no segment any more: reading the log says why.
            let what = format!("the segments end at {}", extent.end);
            return Err(StorageError::new(MAKING, what).into());
        }
        let mut set = self.set.lock();
        // What is closed by now is another process's, and what went on meanwhile is looked at anew.
        check_open()?;
        if !Arc::ptr_eq(&kept, &self.kept()) {
            return Ok(());
        }
        if kept.extent.end == Position::START && kept.epoch == 0 {
            // Of another log, or another version: nothing is to name runs that are swept away.
            let removed = RunSet::remove(&self.folder);
            removed.unwrap_or_else(|error| tracing::warn!(%error, "a foreign index stays"));
        }
        let written = self.write(&mut set, extent, new, kept.epoch);
        written.map_err(StorageError::from)?;
        if self.is_complete() {
            let left = set.sweep();
            left.unwrap_or_else(|error| tracing::warn!(%error, "what a kill has left stays"));
        }
        Ok(())
    }

    /// Takes the ids of the blocks of a new segment in; of an index that is being made anew, and is not
    /// there yet, when it is.
    pub(crate) fn keep(
        &self,
        unfiled: &UnfiledBlocks,
        segment: &SegmentIndex,
    ) -> Result<(), IdMiss> {
        let mut set = self.set.lock();
        let kept = self.kept();
        if kept.extent.end.next() != segment.first_position {
            self.wanted_end.fetch_max(segment.last_position.get(), Ordering::AcqRel);
            return Ok(());
        }
        let (mut extent, mut new) = (kept.extent.clone(), NewIds::default());
        for (block, entry) in unfiled.blocks.iter().zip(&segment.blocks) {
            let ids = block
                .event_ids()
                .map_err(|error| StorageError::new("keeping the ids of a block", error));
            extent.add_block(entry.first_position, &ids.map_err(ReadError::from)?, &mut new);
        }
        extent.add_origins(unfiled.origins.clone(), &mut new);
        (extent.end, extent.last_hash) = (segment.last_position, segment.last_hash);
        let written = self.write(&mut set, extent, new, kept.epoch);
        if written.is_err() {
            self.wanted_end.fetch_max(segment.last_position.get(), Ordering::AcqRel);
        }
        Ok(written?)
    }

    /// Goes back to no ids, unless it was made anew since an epoch.
    pub(crate) fn begin_anew(&self, epoch: u64) -> Result<(), StorageError> {
        let mut set = self.set.lock();
        if self.kept().epoch != epoch {
            return Ok(());
        }
        let (empty, extent) = nothing(&self.folder, &self.cache, self.store_id)?;
        self.wanted_end.fetch_max(self.end.load(Ordering::Acquire), Ordering::AcqRel);
        *set = empty;
        self.show(&set, extent, epoch + 1);
        Ok(())
    }

    /// The spans that an id may be in.
    fn spans(
        &self,
        kept: &KeptIds,
        id: u128,
    ) -> Result<[Option<IdSpan>; OVERLAPPING_SPANS], RunsError> {
        let end = kept.extent.end;
        if let Some(found) = self.spans.lock().iter().find(|found| found.are_for(id, end)) {
            return Ok(found.spans);
        }
        let mut found = rows::spans_from(&kept.view, id, OVERLAPPING_SPANS)?.into_iter();
        let spans = [(); OVERLAPPING_SPANS].map(|()| found.next());
        let mut known = self.spans.lock();
        known.truncate(KEPT_SPANS - 1);
        known.push_front(FoundSpans { from: id, end, spans });
        Ok(spans)
    }

    fn block(&self, first: Position, ids_of: ReadIds<'_>) -> Result<Arc<BlockIds>, ReadError> {
        if let Some(block) = self.known_block(first) {
            return Ok(block);
        }
        let (first, ids) = ids_of(first)?;
        let block = Arc::new(BlockIds::of(first, &ids));
        let mut blocks = self.blocks.lock();
        blocks.truncate(KEPT_BLOCKS - 1);
        blocks.push_front(Arc::clone(&block));
        Ok(block)
    }
}

impl fmt::Debug for IdIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdIndex").field("end", &self.end()).finish_non_exhaustive()
    }
}
