//! The blocks that are in sled and in no segment yet.

use std::collections::BTreeMap;

use spacefold_event_core::{Position, Records};

use crate::{block::EncodedBlock, event_keys::KeyedOrigin};

/// A block that is in no segment.
pub(crate) struct UnfiledBlock {
    first: Position,
    block: EncodedBlock,
    /// The origins of its events: the index of ids takes them without unpacking the block again.
    origins: Vec<KeyedOrigin>,
}

impl UnfiledBlock {
    /// The block of these records.
    pub(crate) fn of(records: &Records, block: EncodedBlock) -> Self {
        let origins = KeyedOrigin::all_of(records).collect();
        Self { first: records.first_position(), block, origins }
    }
}

/// The blocks that go into the next segment.
#[derive(Default)]
pub(crate) struct Unfiled {
    blocks: BTreeMap<Position, UnfiledBlock>,
    bytes: usize,
}

/// Blocks that go into one segment, ascending, and the origins of their events.
#[derive(Default)]
pub(crate) struct UnfiledBlocks {
    pub(crate) blocks: Vec<EncodedBlock>,
    pub(crate) origins: Vec<KeyedOrigin>,
}

impl Unfiled {
    /// Takes in the newest block. Whatever was there from its position on it replaces: sled's copy
    /// was made anew since.
    pub(crate) fn push(&mut self, unfiled: UnfiledBlock) {
        for replaced in self.blocks.split_off(&unfiled.first).values() {
            self.bytes -= replaced.block.bytes.len();
        }
        self.bytes += unfiled.block.bytes.len();
        self.blocks.insert(unfiled.first, unfiled);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hands out all of them.
    pub(crate) fn take(&mut self) -> UnfiledBlocks {
        self.bytes = 0;
        let mut taken = UnfiledBlocks::default();
        for unfiled in std::mem::take(&mut self.blocks).into_values() {
            taken.blocks.push(unfiled.block);
            taken.origins.extend(unfiled.origins);
        }
        taken
    }
}
