//! What tests do to the stand-in: they lose it, make it old, damage it, and have it refuse.

use std::{io, sync::Arc};

use spacefold_event_core::{StorageError, lock::Lock};

use super::{CopyContent, CopySlots, Data, MemoryCopies, MemoryCopy};
use crate::log_copy::SledError;

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

impl MemoryCopies {
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
        let places = CopySlots { in_use, beside: None, fails };
        Self { places: Arc::new(Lock::new(places)) }
    }

    /// Fails as it was told to when the copies were lost.
    pub(super) fn fail_if_told(&self) -> Result<(), SledError> {
        match self.places().fails {
            Some(Left::Refused) => {
                let refused = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
                Err(StorageError::new("opening the stand-in", refused).into())
            }
            Some(_) => Err(SledError::Broken("the stand-in is broken".to_owned())),
            None => Ok(()),
        }
    }
}

impl Data {
    /// Remembers what is there, before it changes.
    pub(super) fn remember(&mut self) {
        self.before.push(self.now.clone());
        let forgotten = self.before.len().saturating_sub(HISTORY);
        self.before.drain(..forgotten);
    }
}

fn older(data: &Data, rng: &mut fastrand::Rng) -> CopyContent {
    let mut any = || rng.choice(&data.before).unwrap_or(&data.now);
    let (lineage, blocks) = (any().lineage.clone(), any().blocks.clone());
    CopyContent { lineage, blocks }
}

fn damaged(mut content: CopyContent, rng: &mut fastrand::Rng) -> CopyContent {
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
