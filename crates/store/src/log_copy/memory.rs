//! A stand-in for sled's copies, in memory, for stores in memory.

#[cfg(test)]
pub(crate) mod lost;

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard},
};

use spacefold_event_core::{Position, StorageError, bytes::to_u64, lock::Lock};

use super::{LogCopies, LogCopy, SledError, StoredBlock};
use crate::lineage::Lineage;

/// Copies in memory. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryCopies {
    places: Arc<Lock<CopySlots>>,
}

#[derive(Debug, Default)]
struct CopySlots {
    in_use: Option<MemoryCopy>,
    beside: Option<MemoryCopy>,
    /// How opening the one in use ends, if not well.
    #[cfg(test)]
    fails: Option<lost::Left>,
}

#[derive(Clone, Debug, Default)]
struct MemoryCopy {
    data: Arc<Lock<Data>>,
}

#[derive(Clone, Debug, Default)]
struct Data {
    now: CopyContent,
    /// Earlier states, the oldest first.
    #[cfg(test)]
    before: Vec<CopyContent>,
}

#[derive(Clone, Debug, Default)]
struct CopyContent {
    lineage: Option<Lineage>,
    blocks: BTreeMap<Position, Arc<[u8]>>,
}

impl MemoryCopies {
    fn places(&self) -> MutexGuard<'_, CopySlots> {
        self.places.lock()
    }
}

impl LogCopies for MemoryCopies {
    fn is_there(&self) -> bool {
        self.places().in_use.is_some()
    }

    fn lineage(&self) -> Option<Lineage> {
        self.places().in_use.as_ref()?.data().now.lineage.clone()
    }

    fn open(&self) -> Result<Arc<dyn LogCopy>, SledError> {
        #[cfg(test)]
        self.fail_if_told()?;
        Ok(Arc::new(self.places().in_use.get_or_insert_default().clone()))
    }

    fn open_beside(&self) -> Result<Arc<dyn LogCopy>, SledError> {
        Ok(Arc::new(self.places().beside.get_or_insert_default().clone()))
    }

    fn duplicate(&self) -> Result<(), StorageError> {
        let mut places = self.places();
        let copy = places.in_use.as_ref().map(|copy| copy.data().now.clone());
        places.beside = copy.map(MemoryCopy::of);
        Ok(())
    }

    fn remove_beside(&self) -> Result<(), StorageError> {
        self.places().beside = None;
        Ok(())
    }

    fn put_in_place(&self) -> Result<(), StorageError> {
        let mut places = self.places();
        places.in_use = places.beside.take();
        #[cfg(test)]
        let _ = places.fails.take();
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        let in_use = self.places().in_use.clone();
        let bytes =
            |copy: MemoryCopy| copy.data().now.blocks.values().map(|b| to_u64(b.len())).sum();
        in_use.map_or(0, bytes)
    }
}

impl MemoryCopy {
    fn of(content: CopyContent) -> Self {
        let data = Data {
            now: content,
            #[cfg(test)]
            before: Vec::new(),
        };
        Self { data: Arc::new(Lock::new(data)) }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock()
    }

    fn change(&self, change: impl FnOnce(&mut CopyContent)) {
        let mut data = self.data();
        #[cfg(test)]
        data.remember();
        change(&mut data.now);
    }
}

impl LogCopy for MemoryCopy {
    fn note_lineage(&self, lineage: &Lineage) -> Result<(), SledError> {
        self.change(|content| content.lineage = Some(lineage.clone()));
        Ok(())
    }

    fn keep_places(
        &self,
        _blocks: &mut dyn Iterator<Item = (Position, usize)>,
    ) -> Result<(), SledError> {
        Ok(())
    }

    fn put_block(&self, first: Position, bytes: &[u8]) -> Result<(), SledError> {
        self.change(|content| drop(content.blocks.insert(first, bytes.into())));
        Ok(())
    }

    fn block_at_or_before(&self, position: Position) -> Result<Option<StoredBlock>, SledError> {
        let data = self.data();
        let found = data.now.blocks.range(..=position).next_back();
        Ok(found.map(|(first, bytes)| StoredBlock {
            first: *first,
            head: Box::new(Arc::clone(bytes)),
            rest: Vec::new(),
        }))
    }

    fn first_positions(&self) -> Result<Vec<Position>, SledError> {
        Ok(self.data().now.blocks.keys().copied().collect())
    }

    fn sync(&self) -> Result<(), SledError> {
        Ok(())
    }
}
