//! What is known of the blocks without reading them: where each begins, what it holds, and which
//! blocks each space is in. Derived from the blocks, and kept only to open faster.

use bincode::{Decode, Encode};
use rustc_hash::FxHashMap;
use spacefold_event_core::{EventFilter, EventTypes, Position, Records, Revision, Timestamp};

use crate::block::BlockHash;

/// The blob of sled's copy that the index is kept in.
pub(crate) const INDEX_KEY: &[u8] = b"store/block-index";

/// The directory of the blocks and the posting lists of the spaces.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BlockIndex {
    blocks: Vec<BlockEntry>,
    spaces: FxHashMap<Box<str>, SpacePostings>,
    /// The position of the last event in a block.
    end: Position,
    /// The chain hash of the last block, or of the store when there is none.
    last_hash: BlockHash,
}

/// A block, by what decides whether it has to be read.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
struct BlockEntry {
    first: u64,
    types: u32,
    first_recorded_at: i64,
}

/// The blocks a space is in, and its revision after the last of them.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
struct SpacePostings {
    revision: u64,
    postings: Vec<Posting>,
}

/// A block that a space is in, and the revision of the space before it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
struct Posting {
    block: u32,
    base_revision: u64,
}

/// The index as it is kept between runs.
#[derive(Encode, Decode)]
struct StoredIndex {
    version: u32,
    end: u64,
    last_hash: BlockHash,
    blocks: Vec<BlockEntry>,
    spaces: Vec<(String, SpacePostings)>,
}

const STORED_VERSION: u32 = 1;

impl BlockIndex {
    /// The index of a store without blocks.
    pub(crate) fn new(genesis: BlockHash) -> Self {
        Self {
            blocks: Vec::new(),
            spaces: FxHashMap::default(),
            end: Position::START,
            last_hash: genesis,
        }
    }

    /// Takes in the next block.
    pub(crate) fn add(&mut self, records: &Records, hash: BlockHash) {
        let block = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let types: EventTypes = records.event_types().iter().copied().collect();
        self.blocks.push(BlockEntry {
            first: records.first_position().get(),
            types: types.bits(),
            first_recorded_at: records.first_recorded_at().as_micros(),
        });
        for (space_id, before, after) in records.spaces() {
            let postings = match self.spaces.get_mut(space_id) {
                Some(postings) => postings,
                None => self.spaces.entry(space_id.into()).or_default(),
            };
            postings.postings.push(Posting { block, base_revision: before.get() });
            postings.revision = after.get();
        }
        self.end = records.last_position();
        self.last_hash = hash;
    }

    /// The position of the last event in a block.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    pub(crate) fn last_hash(&self) -> BlockHash {
        self.last_hash
    }

    pub(crate) fn block_count(&self) -> u64 {
        u64::try_from(self.blocks.len()).unwrap_or(u64::MAX)
    }

    /// The first position of each block from the one that holds `from` on; none when none does.
    pub(crate) fn blocks_from(&self, from: Position) -> impl Iterator<Item = Position> {
        let place = if from > self.end { self.blocks.len() } else { self.place_of(from) };
        self.blocks.iter().skip(place).map(|block| Position::new(block.first))
    }

    /// The first position of the block that holds `position`.
    pub(crate) fn block_of(&self, position: Position) -> Option<Position> {
        if position > self.end {
            return None;
        }
        self.blocks.get(self.place_of(position)).map(|block| Position::new(block.first))
    }

    /// The first position of the first block at or behind the one that holds `from` which may
    /// hold events that pass `filter`.
    pub(crate) fn next_candidate(&self, from: Position, filter: &EventFilter) -> Option<Position> {
        if from > self.end {
            return None;
        }
        let mut place = self.place_of(from);
        loop {
            place = self.next_with_spaces(place, filter)?;
            let block = self.blocks.get(place)?;
            if filter.event_types().intersects(EventTypes::from_bits(block.types)) {
                return Some(Position::new(block.first));
            }
            place += 1;
        }
    }

    /// The revision of a space after the last block.
    pub(crate) fn revision(&self, space_id: &str) -> Revision {
        self.spaces.get(space_id).map_or(Revision::NONE, |space| Revision::new(space.revision))
    }

    /// The first position of the block that holds this revision of a space.
    pub(crate) fn block_of_revision(&self, space_id: &str, revision: Revision) -> Option<Position> {
        let space = self.spaces.get(space_id)?;
        if revision == Revision::NONE || revision.get() > space.revision {
            return None;
        }
        let behind = space.postings.partition_point(|p| p.base_revision < revision.get());
        let posting = space.postings.get(behind.checked_sub(1)?)?;
        let block = self.blocks.get(usize::try_from(posting.block).ok()?)?;
        Some(Position::new(block.first))
    }

    /// The first position of the last block whose first event was recorded at or before `time`.
    pub(crate) fn block_as_of(&self, time: Timestamp) -> Option<Position> {
        let behind = self.blocks.partition_point(|b| b.first_recorded_at <= time.as_micros());
        self.blocks.get(behind.checked_sub(1)?).map(|block| Position::new(block.first))
    }

    /// The spaces with their revisions after the last block, in no order.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = (&str, Revision)> {
        self.spaces.iter().map(|(id, space)| (id.as_ref(), Revision::new(space.revision)))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut spaces: Vec<(String, SpacePostings)> =
            self.spaces.iter().map(|(id, space)| (id.to_string(), space.clone())).collect();
        spaces.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let stored = StoredIndex {
            version: STORED_VERSION,
            end: self.end.get(),
            last_hash: self.last_hash,
            blocks: self.blocks.clone(),
            spaces,
        };
        bincode::encode_to_vec(stored, bincode::config::standard())
            .expect("an index encodes into memory without an error")
    }

    /// The index that was stored, if its bytes are one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        // The blob store has checked the bytes against their hash: the limit only bounds memory.
        let config = bincode::config::standard().with_limit::<{ 1 << 32 }>();
        let (stored, used): (StoredIndex, usize) =
            bincode::decode_from_slice(bytes, config).ok()?;
        if used != bytes.len() || stored.version != STORED_VERSION {
            return None;
        }
        let spaces = stored.spaces.into_iter().map(|(id, space)| (id.into_boxed_str(), space));
        Some(Self {
            blocks: stored.blocks,
            spaces: spaces.collect(),
            end: Position::new(stored.end),
            last_hash: stored.last_hash,
        })
    }

    /// The place of the block that holds a position, or of the last one.
    fn place_of(&self, position: Position) -> usize {
        self.blocks.partition_point(|block| block.first <= position.get()).saturating_sub(1)
    }

    fn next_with_spaces(&self, place: usize, filter: &EventFilter) -> Option<usize> {
        let Some(space_ids) = filter.space_ids() else {
            return Some(place);
        };
        let next = |space_id: &String| {
            let postings = &self.spaces.get(space_id.as_str())?.postings;
            let at = postings.partition_point(|p| usize::try_from(p.block).unwrap_or(0) < place);
            postings.get(at).and_then(|posting| usize::try_from(posting.block).ok())
        };
        space_ids.iter().filter_map(next).min()
    }
}
