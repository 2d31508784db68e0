//! How events of an open store are read: from the tail in memory, from segments, from the copy that
//! sled has. A copy that turns out to be wrong on the way is made anew, and one that cannot be used any
//! more is gone on without.

use std::{fmt, sync::Arc};

use spacefold_event_core::{
    EventFilter, EventId, Page, Position, RUN_EVENTS, ReadError, ReadRequest, RecordedEvent,
    Records, Revision, StorageError, Timestamp,
    bytes::{to_u64, to_usize},
};

use crate::{
    block::{self, BlockError, index::Candidates},
    event_keys::{EventKeys, KeyedOrigin},
    head::format_version::FormatVersion,
    log_copy::{LogCopy, SledError, StoredBlock},
    reading, recovery,
    shared::SharedStore,
    view::Located,
};

/// Blocks and appends that one page of a read touches at the most.
const MAX_PAGE_RUNS: usize = 256;

/// Why a block could not be read from sled's copy.
enum BlockMiss {
    /// The copy is wrong: it has to be rebuilt.
    Wrong(String),
    /// It cannot be used, since nothing can be written.
    Unusable(StorageError),
    Failed(ReadError),
}

impl SharedStore {
    /// The run that holds the event at a position, from the block or the tail; `None` beyond the
    /// durable head. A block stays in the cache.
    pub(crate) fn records_at(&self, position: Position) -> Result<Option<Records>, ReadError> {
        let records = self.passing_records_at(position, false)?;
        Ok(records.inspect(|records| self.keep(records)))
    }

    /// As [`SharedStore::records_at`], for whoever is done with them then: the cache is left as it is.
    /// Sled's copy is rebuilt when it turns out to be wrong.
    fn passing_records_at(
        &self,
        position: Position,
        is_in_order: bool,
    ) -> Result<Option<Records>, ReadError> {
        let mut rebuilt = false;
        loop {
            let located = self.view().locate(position);
            let first = match located {
                Located::Beyond => return Ok(None),
                Located::Tail(records) => return Ok(Some(records)),
                Located::Block(first) => first,
                Located::Kept => match self.kept_block_of(position)? {
                    Some(first) => first,
                    None => continue,
                },
            };
            let Some(sled) = self.copy.usable()? else {
                let records = self.sealed_block(first, is_in_order)?;
                if records.is_none() && self.copy.is_unopened() {
                    self.sled()?;
                }
                // It may have been opened since it was asked for.
                if records.is_none() && self.copy.is_usable() {
                    continue;
                }
                return Ok(records.filter(|records| records.last_position() >= position));
            };
            match self.block(sled.as_ref(), first, is_in_order) {
                Ok(records) if records.last_position() >= position => return Ok(Some(records)),
                Ok(_) if !rebuilt => self.rebuild_copy(&sled, "a block that is too short")?,
                Err(BlockMiss::Wrong(what)) if !rebuilt => self.rebuild_copy(&sled, &what)?,
                Err(BlockMiss::Unusable(why)) if !rebuilt => {
                    reading::go_on_without_copy(self, &why)?;
                }
                Err(BlockMiss::Unusable(why)) => return Err(why.into()),
                Err(BlockMiss::Failed(error)) => return Err(error),
                Ok(_) | Err(BlockMiss::Wrong(_)) => {
                    let doing = format!("reading the block at position {first}");
                    return Err(StorageError::new(doing, "it stays wrong after a rebuild").into());
                }
            }
            rebuilt = true;
        }
    }

    /// The ids of the events of the run that holds a position, and the position of the first;
    /// `None` beyond the durable head. Cheaper than the run, and leaves the cache as it is.
    pub(crate) fn event_ids_at(
        &self,
        position: Position,
    ) -> Result<Option<(Position, Vec<EventId>)>, ReadError> {
        let keys = self.keys_at(position, false)?;
        Ok(keys.map(|(first, keys)| (first, keys.ids)))
    }

    /// The same with the origins of the events, which a store that no format version says may have any
    /// of is not read for.
    pub(crate) fn event_keys_at(
        &self,
        position: Position,
    ) -> Result<Option<(Position, EventKeys)>, ReadError> {
        let may_have_origins = self.lock_head_file().head().format_version >= FormatVersion::Second;
        self.keys_at(position, may_have_origins)
    }

    fn keys_at(
        &self,
        position: Position,
        with_origins: bool,
    ) -> Result<Option<(Position, EventKeys)>, ReadError> {
        let located = self.view().locate(position);
        let first = match located {
            Located::Block(first) => Some(first),
            Located::Kept => self.kept_block_of(position)?,
            Located::Tail(_) | Located::Beyond => None,
        };
        if let Some(first) = first {
            let schemas = with_origins.then(|| self.folder.schemas());
            let keys = |bytes: &[u8]| {
                let keys = block::event_keys(bytes, self.store_id, schemas).ok()?;
                let count = to_u64(keys.ids.len());
                (position.since(first) < count).then_some(keys)
            };
            if let Some(keys) = self.sealed.with_block(first, false, keys).flatten() {
                return Ok(Some((first, keys)));
            }
            if let Some(sled) = self.copy.usable()?
                && let Ok(stored) = stored_block(sled.as_ref(), first)
                && let Some(keys) = keys(&stored.bytes())
            {
                return Ok(Some((first, keys)));
            }
        }
        // In the tail, or wrong: then this makes it right.
        let Some(records) = self.records_at(position)? else { return Ok(None) };
        let ids = records.event_ids().to_vec();
        let origins = KeyedOrigin::all_of(&records).collect();
        Ok(Some((records.first_position(), EventKeys { ids, origins })))
    }

    /// A block out of a segment as far as these go and can be read, else out of sled's copy.
    fn block(
        &self,
        sled: &dyn LogCopy,
        first: Position,
        is_in_order: bool,
    ) -> Result<Records, BlockMiss> {
        if let Some(records) = self.cache.get(&first) {
            return Ok(records);
        }
        if let Some(records) = self.decoded_segment(first, is_in_order) {
            match records {
                Ok(records) if records.first_position() == first => return Ok(records),
                _ => tracing::warn!(%first, "a sealed block is damaged: sled's copy of it is read"),
            }
        }
        let stored = stored_block(sled, first)?;
        let records = block::records(&stored.bytes(), self.store_id, self.folder.schemas())
            .map_err(|error| BlockMiss::Wrong(error.to_string()))?;
        if records.first_position() != first {
            return Err(BlockMiss::Wrong(format!("another block at position {first}")));
        }
        Ok(records)
    }

    /// The block that a segment has at a position.
    fn decoded_segment(
        &self,
        first: Position,
        is_in_order: bool,
    ) -> Option<Result<Records, BlockError>> {
        let decode = |bytes: &[u8]| block::records(bytes, self.store_id, self.folder.schemas());
        self.sealed.with_block(first, is_in_order, decode)
    }

    /// A block out of the segments alone; `None` where they do not have it, and sled's copy may.
    fn sealed_block(
        &self,
        first: Position,
        is_in_order: bool,
    ) -> Result<Option<Records>, ReadError> {
        if let Some(records) = self.cache.get(&first) {
            return Ok(Some(records));
        }
        let Some(records) = self.decoded_segment(first, is_in_order) else {
            return if self.copy.is_unopened() {
                Ok(None)
            } else {
                self.copy.opened().map(|_| None)
            };
        };
        if records.is_err() && self.copy.is_unopened() {
            return Ok(None);
        }
        let doing = || format!("reading the sealed block at position {first}");
        records.map(Some).map_err(|error| StorageError::new(doing(), error).into())
    }

    /// Keeps a block for the next read. Runs of the tail are in memory anyway.
    fn keep(&self, records: &Records) {
        let first = records.first_position();
        if records.last_position() <= self.view().index.end() && self.cache.peek(&first).is_none() {
            self.cache.insert(first, records.clone());
        }
    }

    /// Makes sled's copy anew, unless another thread has done so since `wrong` was found to be so.
    pub(crate) fn rebuild_copy(
        &self,
        wrong: &Arc<dyn LogCopy>,
        what: impl fmt::Display,
    ) -> Result<(), ReadError> {
        tracing::warn!(%what, "sled's copy of the log is wrong: rebuilding it");
        match recovery::rebuild_copy(self, wrong) {
            Err(ReadError::Storage(why)) if why.kind().forbids_writing_only() => {
                reading::go_on_without_copy(self, &why)
            }
            rebuilt => rebuilt,
        }
    }

    pub(crate) fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        let mut page = Page::empty(read.from.max(Position::new(1)));
        let filters = read.query.filters();
        let mut candidates: Vec<Candidates> = filters.iter().map(|_| Candidates::none()).collect();
        // Whoever wants more than a block has reads on in order, most likely.
        let is_in_order = read.query.is_all() && read.limit >= RUN_EVENTS;
        // A block is read and gone over while it is in the processor's own cache, and its memory is
        // that of the next one.
        let enough = if is_in_order { RUN_EVENTS } else { read.limit };
        let mut looked_at = 0;
        for _ in 0..MAX_PAGE_RUNS {
            let durable_head = self.view().durable_head();
            let next = self.next_candidate(page.next(), filters, &mut candidates)?;
            page.advance(next.min(read.to.next()).min(durable_head.next()));
            if next > read.to.min(durable_head) || page.len() >= enough || looked_at >= read.look {
                break;
            }
            let Some(records) = self.passing_records_at(next, is_in_order)? else {
                break;
            };
            looked_at = looked_at.saturating_add(records.len());
            let left = read.limit - page.len();
            let first = records.first_position();
            let rest = records.last_position().next().since(next);
            if !is_in_order || to_u64(left) < rest {
                self.keep(&records);
            } else if next > first {
                // The page before has left it for this one: it is done with now.
                self.cache.remove(&first);
            }
            page.add(records, next, read.to, &read.query, left)?;
        }
        Ok(page)
    }

    /// The first position from `from` on that may hold what passes any of the filters; past every
    /// event where there are none.
    fn next_candidate(
        &self,
        from: Position,
        filters: &[EventFilter],
        candidates: &mut [Candidates],
    ) -> Result<Position, ReadError> {
        let mut first = Position::new(u64::MAX);
        for (filter, candidates) in filters.iter().zip(candidates) {
            if first > from {
                first = first.min(self.next_candidate_of(from, filter, candidates)?);
            }
        }
        Ok(first)
    }

    /// The first position from `from` on that may hold what passes `filter`, out of the candidates
    /// as far as they reach; beyond the durable head that is every position.
    fn next_candidate_of(
        &self,
        mut from: Position,
        filter: &EventFilter,
        candidates: &mut Candidates,
    ) -> Result<Position, ReadError> {
        loop {
            if let Some(next) = candidates.next(from) {
                return Ok(next);
            }
            from = from.max(candidates.through().next());
            match self.candidates(from, filter)? {
                Some(found) => *candidates = found,
                None => return Ok(from),
            }
        }
    }

    /// Where the event at this revision of a space stands, up to the durable head.
    pub(crate) fn position_of(
        &self,
        space_id: &str,
        revision: Revision,
    ) -> Result<Option<Position>, ReadError> {
        let Some(mut near) = self.near_revision(space_id, revision)? else { return Ok(None) };
        // An append may be sealed meanwhile, into several blocks: the event may be in a later one.
        while let Some(records) = self.records_at(near)? {
            let mut envelopes = records.envelopes();
            let found = envelopes.find(|e| e.space_id == space_id && e.revision == revision);
            if let Some(event) = found {
                return Ok(Some(event.position));
            }
            near = records.last_position().next();
        }
        Ok(None)
    }

    pub(crate) fn read_space(
        &self,
        space_id: &str,
        from: Revision,
        limit: usize,
    ) -> Result<Page, ReadError> {
        match self.position_of(space_id, from.max(Revision::new(1)))? {
            None => Ok(Page::empty(self.progress.durable_head().next())),
            Some(position) => {
                let filter = EventFilter::all().spaces([space_id]);
                self.read(&ReadRequest::from(position).matching(filter).limit(limit))
            }
        }
    }

    pub(crate) fn event(&self, position: Position) -> Result<Option<RecordedEvent>, ReadError> {
        if position == Position::START {
            return Ok(None);
        }
        let records = self.records_at(position)?;
        records.map_or(Ok(None), |records| recorded_event(&records, position))
    }

    pub(crate) fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        let durable_head = self.view().durable_head();
        let (block, index_end) = self.block_as_of(time)?;
        // Times never decrease: the last event at or before `time` is in that block, or in the
        // tail when the block is the last and ends before `time`.
        let mut last = Position::START;
        let mut next = match block {
            Some(first) => first,
            None if index_end == Position::START => Position::new(1),
            None => return Ok(Position::START),
        };
        while next <= durable_head {
            let Some(records) = self.records_at(next)? else {
                return Err(ReadError::NothingGiven { position: next, to: durable_head });
            };
            if records.first_recorded_at() > time {
                break;
            }
            let mut envelopes = records.envelopes();
            if let Some(later) = envelopes.find(|event| event.recorded_at > time) {
                return Ok(later.position.previous());
            }
            last = records.last_position();
            next = last.next();
        }
        Ok(last.min(durable_head))
    }
}

fn stored_block(sled: &dyn LogCopy, first: Position) -> Result<StoredBlock, BlockMiss> {
    let stored = sled.block_at_or_before(first).map_err(|error| match error {
        SledError::Broken(what) => BlockMiss::Wrong(what),
        SledError::Storage(error) if error.kind().forbids_writing_only() => {
            BlockMiss::Unusable(error)
        }
        SledError::Storage(error) => BlockMiss::Failed(error.into()),
        SledError::ProcessRestartRequired => {
            let doing = format!("reading the block at position {first}");
            let cause = "an I/O thread of the storage engine has panicked: restart the process";
            BlockMiss::Failed(StorageError::new(doing, cause).into())
        }
    })?;
    let stored = stored.filter(|stored| stored.first() == first);
    stored.ok_or_else(|| BlockMiss::Wrong(format!("no block at position {first}")))
}

/// The event at a position of a run, owned.
pub(crate) fn recorded_event(
    records: &Records,
    position: Position,
) -> Result<Option<RecordedEvent>, ReadError> {
    let place = position.since(records.first_position());
    let envelope = records.envelope(to_usize(place));
    let Some(envelope) = envelope else {
        return Ok(None);
    };
    Ok(Some(envelope.decode()?.to_owned_event()))
}
