//! The blocks of sled's copy that something can be mended from.

use std::{cell::OnceCell, sync::Arc};

use spacefold_event_core::Position;

use super::other_copy::OtherCopy;
use crate::{
    block::{self, Block, BlockError, BlockHash, EncodedBlock},
    folder::StoreFolder,
    head::Head,
    kin::Kin,
    log_copy::{Duplicate, LogCopy},
};

/// The end of a row of blocks: its last position, and the hash of the last block.
pub(super) type ChainEnd = (Position, BlockHash);

/// Sled's blocks, out of a copy that is made when the first is asked for: opening changes what sled
/// opens, and the outcome may be that nothing can be mended.
pub(super) struct Blocks<'a> {
    /// Another copy of the store, which may have what sled has not.
    other: Option<&'a dyn OtherCopy>,
    folder: StoreFolder,
    store_id: [u8; 16],
    /// The last sealed position that HEAD knows, and the hash there.
    sealed: ChainEnd,
    is_ours: bool,
    opened: OnceCell<Option<OpenedDuplicate>>,
}

/// Dropped in this order.
struct OpenedDuplicate {
    sled: Arc<dyn LogCopy>,
    _duplicate: Duplicate,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(
        folder: &StoreFolder,
        head: &Head,
        kin: Kin,
        other: Option<&'a dyn OtherCopy>,
    ) -> Self {
        Self {
            other,
            folder: folder.clone(),
            store_id: head.store_id,
            sealed: (head.sealed_through, head.sealed_hash),
            is_ours: kin != Kin::OtherStore,
            opened: OnceCell::new(),
        }
    }

    /// The blocks that follow a row of blocks, up to the first that ends at one of some positions;
    /// `None` when they are not all there, or do not fit what comes before, or what HEAD knows.
    pub(super) fn through(&self, after: ChainEnd, ends: &[Position]) -> Option<Vec<EncodedBlock>> {
        let mut blocks = Vec::new();
        let mut end = after;
        let last = ends.iter().max()?;
        while end.0 < *last {
            let (block, its_end) = self.next(end)?;
            end = its_end;
            blocks.push(block);
            if ends.contains(&end.0) {
                return Some(blocks);
            }
        }
        None
    }

    /// The blocks that follow a row of blocks, as far as sled goes.
    pub(super) fn behind(&self, after: ChainEnd) -> Vec<EncodedBlock> {
        let mut blocks = Vec::new();
        let mut end = after;
        while let Some((block, its_end)) = self.next(end) {
            end = its_end;
            blocks.push(block);
        }
        blocks
    }

    /// Whether a block ends here.
    pub(super) fn have(&self, end: ChainEnd) -> bool {
        let stored = self.get().and_then(|sled| sled.block_at_or_before(end.0).ok().flatten());
        stored.is_some_and(|stored| {
            let block = self.decode(&stored.bytes());
            block.is_ok_and(|block| {
                block.verify_hash().is_ok() && (block.records.last_position(), block.hash) == end
            })
        })
    }

    /// The block that follows, and where it ends.
    fn next(&self, after: ChainEnd) -> Option<(EncodedBlock, ChainEnd)> {
        let first = after.0.next();
        let of_sled = || {
            let stored = self.get()?.block_at_or_before(first).ok().flatten()?;
            self.following(after, stored.bytes().into_owned())
        };
        // Beyond what HEAD knows the end of, nothing proves that the other copy did not go on apart.
        let is_proved = |(_, end): &(EncodedBlock, ChainEnd)| end.0 <= self.sealed.0;
        let of_other = || {
            let mut blocks = self.other?.blocks_at(first).into_iter();
            blocks.find_map(|it| self.following(after, it).filter(is_proved))
        };
        of_sled().or_else(of_other)
    }

    /// A block and where it ends, if it follows a row of blocks.
    fn following(&self, after: ChainEnd, bytes: Vec<u8>) -> Option<(EncodedBlock, ChainEnd)> {
        let (position, previous) = after;
        let block = self.decode(&bytes).ok()?;
        block.verify_hash().ok()?;
        let end = (block.records.last_position(), block.hash);
        let (sealed_through, sealed_hash) = self.sealed;
        let fits_head = end.0 != sealed_through || end.1 == sealed_hash;
        let follows =
            block.records.first_position() == position.next() && block.previous == previous;
        (follows && fits_head).then_some((EncodedBlock { bytes, hash: block.hash }, end))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Block, BlockError> {
        block::decode(bytes, self.store_id, self.folder.schemas())
    }

    /// Without sled, frames behind a damaged file header are still there.
    fn get(&self) -> Option<&dyn LogCopy> {
        let open = || {
            let duplicate = Duplicate::of(self.folder.copies()).ok()?;
            let sled = duplicate.open().ok()?;
            Some(OpenedDuplicate { sled, _duplicate: duplicate })
        };
        let opened = self.opened.get_or_init(|| self.is_ours.then(open).flatten());
        opened.as_ref().map(|opened| opened.sled.as_ref())
    }
}
