//! A stand-in for sled's copies, in memory: tests lose it, make it old, damage it, and have it
//! refuse.

use std::{
    collections::BTreeMap,
    io,

    sync::{Arc, MutexGuard},
};

use spacefold_event_core::{Position, StorageError, lock::Lock};

use super::{LogCopies, LogCopy, SledError, StoredBlock};
use crate::lineage::Lineage;

/// How many earlier states are remembered.
const HISTORY: usize = 8;

/// What is left of the copies after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All of it.
    Whole,
    /// Nothing.
    Nothing,
    /// What was there at some time before, blocks and lineage each of a time of its own.
    Older,
    /// What was there, some of it changed or gone.
    Damaged,
    /// What was there; it cannot be opened, as if sled panicked.
    Broken,
    /// What was there; it cannot be opened where nothing can be written.
    Refused,
}

impl Left {
    pub(crate) const ALL: [Self; 6] =
        [Self::Whole, Self::Nothing, Self::Older, Self::Damaged, Self::Broken, Self::Refused];
}

/// Copies in memory. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryCopies {
    places: Arc<Lock<Places>>,
}

#[derive(Debug, Default)]
struct Places {
    in_use: Option<MemoryCopy>,
    beside: Option<MemoryCopy>,
    /// How opening the one in use ends, if not well.
    fails: Option<Left>,
}

#[derive(Clone, Debug, Default)]
struct MemoryCopy {
    data: Arc<Lock<Data>>,
}

#[derive(Clone, Debug, Default)]
struct Data {
    now: Content,
    /// Earlier states, the oldest first.
    before: Vec<Content>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    lineage: Option<Lineage>,
    blocks: BTreeMap<Position, Arc<[u8]>>,
}

impl MemoryCopies {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock()
    }

    /// What may be left of the copies if the power fails now.
    pub(crate) fn after_power_cut(&self, left: Left, rng: &mut fastrand::Rng) -> Self {
        let places = self.places();
        let content = places.in_use.as_ref().map(|copy| {
            let data = copy.data();
            match left {
                Left::Older => older(&data, rng),
                Left::Damaged => damaged(data.now.clone(), rng),
                _ => data.now.clone(),
            }
        });
        let in_use = content.filter(|_| left != Left::Nothing).map(MemoryCopy::of);
        let fails = matches!(left, Left::Broken | Left::Refused).then_some(left);
        let places = Places { in_use, beside: None, fails };
        Self { places: Arc::new(Lock::new(places)) }
    }
}

fn older(data: &Data, rng: &mut fastrand::Rng) -> Content {
    let mut any = || rng.choice(&data.before).unwrap_or(&data.now);
    let (lineage, blocks) = (any().lineage.clone(), any().blocks.clone());
    Content { lineage, blocks }
}

fn damaged(mut content: Content, rng: &mut fastrand::Rng) -> Content {
    for bytes in content.blocks.values_mut() {
        if rng.u8(..4) == 0 {
            let mut changed = bytes.to_vec();
            if let Some(byte) = rng.choice(changed.iter_mut()) {
                *byte ^= 1 << rng.u8(..8);
            }
            *bytes = changed.into();
        }
    }
    content.blocks.retain(|_, _| rng.u8(..8) > 0);
    // One that is changed is taken for none by sled's copy itself.
    content.lineage = content.lineage.filter(|_| rng.bool());
    content
}

impl LogCopies for MemoryCopies {
    fn is_there(&self) -> bool {
        self.places().in_use.is_some()
    }

    fn lineage(&self) -> Option<Lineage> {
        self.places().in_use.as_ref()?.data().now.lineage.clone()
    }

    fn open(&self) -> Result<Arc<dyn LogCopy>, SledError> {
        let mut places = self.places();
        match places.fails {
            Some(Left::Refused) => {
                let refused = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
                Err(StorageError::new("opening the stand-in", refused).into())
            }
            Some(_) => Err(SledError::Broken("the stand-in is broken".to_owned())),
            None => Ok(Arc::new(places.in_use.get_or_insert_default().clone())),
        }
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
        places.fails = None;
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

impl MemoryCopy {
    fn of(content: Content) -> Self {
        let data = Data { now: content, before: Vec::new() };
        Self { data: Arc::new(Lock::new(data)) }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock()
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        let mut data = self.data();
        let before = data.now.clone();
        data.before.push(before);
        let forgotten = data.before.len().saturating_sub(HISTORY);
        data.before.drain(..forgotten);
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
