//! The blocks that are in sled and in no sealed file yet.

use std::collections::BTreeMap;

use spacefold_event_core::{Position, StorageError};

use crate::{
    block::{self, EncodedBlock},
    log_copy::LogCopy,
    shared::Shared,
};

/// The blocks that go into the next sealed file.
#[derive(Default)]
pub(super) struct Unfiled {
    blocks: BTreeMap<Position, EncodedBlock>,
    bytes: usize,
}

impl Unfiled {
    /// Those of earlier sessions, from sled.
    pub(super) fn read(shared: &Shared, sled: &dyn LogCopy) -> Result<Self, StorageError> {
        let filed_through = {
            let head_file = shared.head_file.lock();
            head_file.head().sealed_through
        };
        let firsts: Vec<Position> = shared.view().index.blocks_from(filed_through.next()).collect();
        let mut unfiled = Self::default();
        for first in firsts {
            let doing = || format!("reading the block at {first} to file it");
            let stored = sled
                .block_at_or_before(first)
                .map_err(|error| StorageError::new(doing(), error))?
                .filter(|stored| stored.first() == first)
                .ok_or_else(|| StorageError::new(doing(), "sled does not have it"))?;
            let bytes = stored.bytes().into_owned();
            let block = block::decode(&bytes, shared.store_id, shared.folder.schemas())
                .map_err(|error| StorageError::new(doing(), error))?;
            block.verify_hash().map_err(|error| StorageError::new(doing(), error))?;
            unfiled.push(first, EncodedBlock { bytes, hash: block.hash });
        }
        Ok(unfiled)
    }

    /// Takes in the newest block. Whatever was there from its position on it replaces: sled's copy
    /// was made anew since.
    pub(super) fn push(&mut self, first: Position, block: EncodedBlock) {
        for replaced in self.blocks.split_off(&first).values() {
            self.bytes -= replaced.bytes.len();
        }
        self.bytes += block.bytes.len();
        self.blocks.insert(first, block);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hands out all of them, ascending.
    pub(super) fn take(&mut self) -> Vec<EncodedBlock> {
        self.bytes = 0;
        std::mem::take(&mut self.blocks).into_values().collect()
    }
}
