//! What a reader of the blocks has come to: which of them count, and what is damage.
//!
//! # Which blocks count
//! - A block follows the one in the place before when it carries that one's hash. One that does not was
//!   made on blocks of its own writer which never landed: it says so itself, by how far the writer had
//!   read, and is *void* for every reader alike. One that had read the place before and carries
//!   another hash is damage: two readers were given different blocks there.
//! - A block that its writer made on blocks which turned out to be void is void too.
//! - A group in several blocks counts once the last is there; whatever else follows one of its blocks
//!   makes those void.
//! - What counts goes on at the next position.

use spacefold_event_core::{LogIdentity, Position, Records};

use crate::{
    error::BlockDamage,
    group_block::{self, GroupBlock, GroupBlockHash, GroupBlockHeader},
};

/// How far the blocks were read.
#[derive(Clone, Debug)]
pub(crate) struct BlockTail {
    /// The place that is read next.
    pub(crate) next: u64,
    /// The hash of the block before it.
    pub(crate) last_hash: GroupBlockHash,
    /// The position of the last event that counts.
    pub(crate) head: Position,
    /// Which log it is, once a block has said so.
    pub(crate) identity: Option<LogIdentity>,
    /// The last place whose block is void; 0 while none is.
    pub(crate) last_void: u64,
    /// Who has written the block before the next.
    pub(crate) last_writer: [u8; 16],
    /// The group that is there in part.
    begun: Option<BegunGroup>,
}

#[derive(Clone, Debug)]
struct BegunGroup {
    header: GroupBlockHeader,
    payload: Vec<u8>,
}

impl BlockTail {
    /// Before the first block.
    pub(crate) const fn start() -> Self {
        Self {
            next: 1,
            last_hash: [0; 32],
            head: Position::START,
            identity: None,
            last_void: 0,
            last_writer: [0; 16],
            begun: None,
        }
    }

    /// Whether a group is there in part.
    pub(crate) const fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Who has begun a group that is not complete.
    pub(crate) fn begun_by(&self) -> Option<[u8; 16]> {
        self.begun.as_ref().map(|begun| begun.header.writer)
    }

    /// Takes the block in the next place: the records of the group that it completes, if it does.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Records>, BlockDamage> {
        let place = self.next;
        let damaged = |cause| BlockDamage::Unreadable { place, cause };
        let GroupBlock { header, payload, hash } = group_block::decode(bytes).map_err(damaged)?;
        if header.place != place {
            return Err(BlockDamage::Misplaced { place, found: header.place });
        }
        let identity = header.identity();
        if self.identity.is_some_and(|own| own != identity) {
            return Err(BlockDamage::OtherLog { place });
        }
        let follows = header.previous == self.last_hash;
        if !follows && header.read_through + 1 >= place {
            return Err(BlockDamage::BrokenChain { place });
        }
        let begun = self.begun.take().filter(|begun| follows && begun.goes_on_with(&header));
        let rests_on_void = header.read_through < self.last_void;
        let counts = follows && !rests_on_void && (header.part == 0 || begun.is_some());
        let expected = self.head.next();
        if counts && header.first_position != expected {
            let found = header.first_position;
            return Err(BlockDamage::WrongPosition { place, expected, found });
        }
        let mut records = Vec::new();
        if counts {
            let mut group = begun.unwrap_or(BegunGroup { header, payload: Vec::new() });
            group.header = header;
            if header.parts == 1 {
                records = group_block::decode_records(&header, payload).map_err(damaged)?;
            } else {
                group.payload.extend_from_slice(payload);
                if header.part + 1 == header.parts {
                    records =
                        group_block::decode_records(&header, &group.payload).map_err(damaged)?;
                } else {
                    self.begun = Some(group);
                }
            }
        }
        if let Some(last) = records.last() {
            self.head = last.last_position();
        }
        if !counts {
            self.last_void = place;
        }
        self.identity = Some(identity);
        self.last_writer = header.writer;
        self.last_hash = hash;
        self.next += 1;
        Ok(records)
    }
}

impl BegunGroup {
    /// Whether a block is the next part of the group.
    fn goes_on_with(&self, next: &GroupBlockHeader) -> bool {
        let own = &self.header;
        next.writer == own.writer
            && next.group == own.group
            && next.parts == own.parts
            && next.count == own.count
            && Some(next.part) == own.part.checked_add(1)
    }
}

#[cfg(test)]
mod tests;
