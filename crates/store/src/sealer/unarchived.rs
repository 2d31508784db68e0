//! The blocks that are in sled and in no segment yet.

use std::collections::BTreeMap;

use spacefold_event_core::Position;

use crate::block::EncodedBlock;

/// The blocks that go into the next segment.
#[derive(Default)]
pub(super) struct Unarchived {
    blocks: BTreeMap<Position, EncodedBlock>,
    bytes: usize,
}

impl Unarchived {
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
