//! The blocks that are made in one go, as bytes.

use spacefold_event_core::{CorruptRecords, Position, Records, StorageError};

use crate::{
    block::{
        self, BlockHash, EncodedBlock,
        plan::{BlockPlan, give_way},
    },
    commitment::StateCommitment,
    shared::SharedStore,
};

/// The most blocks that are made in one go: some 90 values of sled's.
const MAX_BLOCKS: usize = 48;

/// Blocks that follow one another, and what each holds.
pub(super) struct SealBatch {
    from: Position,
    previous: BlockHash,
    pub(super) blocks: Vec<(Records, EncodedBlock)>,
}

impl SealBatch {
    /// None yet, from a position on, behind the block with a hash.
    pub(super) const fn behind(from: Position, previous: BlockHash) -> Self {
        Self { from, previous, blocks: Vec::new() }
    }

    /// Goes on with the full blocks of the tail.
    pub(super) fn encode(mut self, shared: &SharedStore) -> Result<Self, StorageError> {
        let (mut next, mut before) = self.end().unwrap_or((self.from, self.previous));
        while self.blocks.len() < MAX_BLOCKS {
            let plan = BlockPlan::next(shared.view().tail.runs_from(next), next);
            let Some(plan) = plan else { break };
            let unsealable =
                |error: CorruptRecords| StorageError::new("making a block", error.to_string());
            let (body, records) = plan.encode(shared.folder.schemas()).map_err(unsealable)?;
            give_way();
            let commitments = shared.commitments.take_through(records.last_position());
            let extension = StateCommitment::encode(&commitments);
            let assignments = records.assignments();
            let encoded = block::encode(shared.store_id, before, assignments, &body, &extension);
            give_way();
            next = records.last_position().next();
            before = encoded.hash;
            self.blocks.push((records, encoded));
        }
        Ok(self)
    }

    /// Whether it has as many blocks as there may be: more are to follow, perhaps.
    pub(super) fn is_longest(&self) -> bool {
        self.blocks.len() == MAX_BLOCKS
    }

    /// Whether it begins at a position, behind the block with a hash.
    pub(super) fn follows(&self, from: Position, previous: BlockHash) -> bool {
        self.from == from && self.previous == previous
    }

    /// The position behind it, and the hash of its last block; `None` when it has none.
    pub(super) fn end(&self) -> Option<(Position, BlockHash)> {
        let (records, block) = self.blocks.last()?;
        Some((records.last_position().next(), block.hash))
    }
}
