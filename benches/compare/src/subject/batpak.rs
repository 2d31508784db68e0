//! batpak: one atomic batch a commit, which it syncs before it shows it, all of one entity.

use std::{ops::Range, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use batpak::{
    coordinate::{Coordinate, Region},
    event::EventKind,
    store::{AppendOptions, BatchAppendItem, CausationRef, Open, Store, StoreConfig, SyncMode},
};
use spacefold_event_core::MAX_APPEND_EVENTS;

use super::{Engine, Reader};
use crate::record::Batch;

/// Its one entity.
const ENTITY: &str = "log";
const KIND: EventKind = EventKind::custom(0xf, 1);
/// Bytes of a batch at the most: as many as it allows.
const MAX_BATCH_BYTES: u32 = 16 << 20;
/// Events that one look at its index collects.
const READ_EVENTS: usize = 4_096;
/// Bytes before those of a payload: the mark of 4 GiB at most in MessagePack, and their number.
const BIN_32: u8 = 0xc6;
const BIN_32_BYTES: usize = 5;

/// A store of one entity.
pub(crate) struct Batpak {
    store: Arc<Store<Open>>,
    entity: Coordinate,
    last: u64,
}

impl Batpak {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let config = StoreConfig::new(folder)
            .with_sync_mode(SyncMode::SyncData)
            .with_batch_max_size(u32::try_from(MAX_APPEND_EVENTS)?)
            .with_batch_max_bytes(MAX_BATCH_BYTES);
        let store = Arc::new(Store::open(config)?);
        let entity = Coordinate::new(ENTITY, "compare")?;
        let last = match (first(&store), store.latest_lane(ENTITY, 0)) {
            // Of one entity alone, events are numbered without a gap.
            (Some(first), Some(newest)) => newest.global_sequence() + 1 - first,
            _ => 0,
        };
        Ok(Self { store, entity, last })
    }
}

/// The number of the first event.
fn first(store: &Store<Open>) -> Option<u64> {
    let found = store.query_entries_after(&Region::entity(ENTITY), None, 1);
    found.first().map(|entry| entry.global_sequence())
}

impl Engine for Batpak {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let mut items = Vec::new();
        for record in batch.records() {
            let mut bytes = Vec::with_capacity(BIN_32_BYTES + record.len());
            bytes.push(BIN_32);
            bytes.extend_from_slice(&u32::try_from(record.len())?.to_be_bytes());
            bytes.extend_from_slice(record);
            let (entity, options) = (self.entity.clone(), AppendOptions::default());
            let cause = CausationRef::None;
            items.push(BatchAppendItem::from_msgpack_bytes(entity, KIND, bytes, options, cause));
        }
        self.last += u64::try_from(self.store.append_batch(items)?.len())?;
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(BatpakReader { store: Arc::clone(&self.store) }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        let store = Arc::into_inner(self.store).context("a reader has the store yet")?;
        store.close()?;
        Ok(())
    }
}

struct BatpakReader {
    store: Arc<Store<Open>>,
}

impl Reader for BatpakReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let region = Region::entity(ENTITY);
        let mut left = range.end.saturating_sub(range.start);
        let Some(first) = first(&self.store) else { return Ok(()) };
        let mut after = (range.start > 1).then(|| first + range.start - 2);
        while left > 0 {
            let most = usize::try_from(left)?.min(READ_EVENTS);
            let page = self.store.query_entries_after(&region, after, most);
            let Some(last) = page.last() else { break };
            after = Some(last.global_sequence());
            left -= u64::try_from(page.len())?;
            for entry in &page {
                let stored = self.store.read_raw(entry.event_id())?;
                let payload = stored.event.payload.get(BIN_32_BYTES..);
                each(payload.context("a payload without its length")?)?;
            }
        }
        Ok(())
    }
}
