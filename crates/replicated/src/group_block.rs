//! The bytes of a block: a group of appends, or a part of one, chained to the block before.
//!
//! Pure functions over bytes. A block proves on its own that it is whole; whether it counts is for
//! `tail.rs` to say, which knows what is before it. `docs/format.md` has every byte.

use spacefold_event_core::{
    Assignments, CorruptRecords, LogId, LogIdentity, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Position,
    Records, TimelineId, Timestamp,
    bytes::{ByteReader, put_count, put_sized, put_u64, seal, to_u32, to_usize, unseal},
};

const MAGIC: [u8; 4] = *b"SFR1";
const FORMAT_VERSION: u16 = 1;
/// No flag is defined; a set flag is one that a later version needs understood.
const NO_FLAGS: u16 = 0;

/// Bytes of a block before its payload.
const HEADER_BYTES: usize = 4 + 2 + 2 + 3 * 16 + 4 * 8 + 4 + 2 + 2 + HASH_BYTES;
const HASH_BYTES: usize = 32;
/// Bytes of a block beside its payload.
pub(crate) const FIXED_BYTES: usize = HEADER_BYTES + HASH_BYTES;
/// Bytes of a group at the most: those of an append, and what is decided for its events.
const MAX_GROUP_BYTES: usize = MAX_APPEND_BYTES + (2 << 20);

/// The hash of a block, which the next one carries; zeros before the first.
pub(crate) type GroupBlockHash = [u8; HASH_BYTES];

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupBlockHeader {
    pub(crate) log_id: LogId,
    pub(crate) timeline: TimelineId,
    /// One use of the log by one process, drawn at random.
    pub(crate) writer: [u8; 16],
    /// The number of the group among those of its writer.
    pub(crate) group: u64,
    /// Where the block is to be.
    pub(crate) place: u64,
    /// The last place that its writer had read when it made the block: those between were its own, and
    /// not known to have landed.
    pub(crate) read_through: u64,
    /// The position of the first event of the group, or of the next event where it has none.
    pub(crate) first_position: Position,
    /// The events of the group.
    pub(crate) count: u32,
    /// Which part of the group it is, from 0.
    pub(crate) part: u16,
    /// How many parts the group has.
    pub(crate) parts: u16,
    /// The hash of the block in the place before.
    pub(crate) previous: GroupBlockHash,
}

/// Why bytes are no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupBlockError {
    /// They do not begin as one, or are too few.
    #[error("no block begins here")]
    NotABlock,
    /// A later version has written it.
    #[error("the block is of format version {0}, which this program does not know")]
    UnknownVersion(u16),
    /// Their hash is another one.
    #[error("the hash of the block does not match its bytes")]
    WrongHash,
    /// A part of it is what no writer writes.
    #[error("the block has {0}")]
    Malformed(&'static str),
    /// Its records do not decode.
    #[error("the records of the block do not decode: {0}")]
    Records(#[from] CorruptRecords),
}

/// A block whose hash holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupBlock<'a> {
    pub(crate) header: GroupBlockHeader,
    /// The part of the group's records.
    pub(crate) payload: &'a [u8],
    pub(crate) hash: GroupBlockHash,
}

impl GroupBlockHeader {
    pub(crate) const fn identity(&self) -> LogIdentity {
        LogIdentity { log_id: self.log_id, timeline: self.timeline, fork: None }
    }

    /// The block of this header and payload, and its hash.
    pub(crate) fn encode(&self, payload: &[u8]) -> (Vec<u8>, GroupBlockHash) {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&NO_FLAGS.to_le_bytes());
        bytes.extend_from_slice(&self.log_id.to_bytes());
        bytes.extend_from_slice(&self.timeline.to_bytes());
        bytes.extend_from_slice(&self.writer);
        put_u64(&mut bytes, self.group);
        put_u64(&mut bytes, self.place);
        put_u64(&mut bytes, self.read_through);
        put_u64(&mut bytes, self.first_position.get());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.part.to_le_bytes());
        bytes.extend_from_slice(&self.parts.to_le_bytes());
        bytes.extend_from_slice(&self.previous);
        bytes.extend_from_slice(payload);
        let bytes = seal(bytes);
        let hash = bytes.last_chunk().copied().unwrap_or_default();
        (bytes, hash)
    }

    /// The header of the first block of a log, which says which log it is and has no events.
    pub(crate) const fn first(identity: LogIdentity, writer: [u8; 16]) -> Self {
        Self {
            log_id: identity.log_id,
            timeline: identity.timeline,
            writer,
            group: 0,
            place: 1,
            read_through: 0,
            first_position: Position::new(1),
            count: 0,
            part: 0,
            parts: 1,
            previous: [0; HASH_BYTES],
        }
    }

    fn read(reader: &mut ByteReader<'_>) -> Option<Self> {
        Some(Self {
            log_id: LogId::from_bytes(reader.array()?),
            timeline: TimelineId::from_bytes(reader.array()?),
            writer: reader.array()?,
            group: reader.u64()?,
            place: reader.u64()?,
            read_through: reader.u64()?,
            first_position: Position::new(reader.u64()?),
            count: reader.u32()?,
            part: reader.u16()?,
            parts: reader.u16()?,
            previous: reader.array()?,
        })
    }

    fn check(&self) -> Result<(), GroupBlockError> {
        let wrong = |what| Err(GroupBlockError::Malformed(what));
        if self.place == 0 || self.read_through >= self.place {
            return wrong("a place that is none");
        }
        if self.part >= self.parts {
            return wrong("a part that its group does not have");
        }
        if to_usize(self.count) > MAX_APPEND_EVENTS {
            return wrong("more events than an append may have");
        }
        if self.first_position == Position::START
            || self.first_position.get().checked_add(self.count.into()).is_none()
        {
            return wrong("positions that there are not");
        }
        Ok(())
    }
}

/// The block that these bytes are.
pub(crate) fn decode(bytes: &[u8]) -> Result<GroupBlock<'_>, GroupBlockError> {
    let mut reader = ByteReader::new(bytes);
    if reader.array() != Some(MAGIC) {
        return Err(GroupBlockError::NotABlock);
    }
    let version = reader.u16().ok_or(GroupBlockError::NotABlock)?;
    let hash = *bytes.last_chunk().ok_or(GroupBlockError::NotABlock)?;
    let sealed = unseal(bytes).ok_or(GroupBlockError::WrongHash)?;
    if version != FORMAT_VERSION {
        return Err(GroupBlockError::UnknownVersion(version));
    }
    let mut reader = ByteReader::new(sealed.get(4 + 2..).unwrap_or_default());
    if reader.u16() != Some(NO_FLAGS) {
        return Err(GroupBlockError::Malformed("a flag of a later version"));
    }
    let header = GroupBlockHeader::read(&mut reader).ok_or(GroupBlockError::NotABlock)?;
    header.check()?;
    Ok(GroupBlock { header, payload: reader.rest(), hash })
}

/// The records of a group as they are spread over the payloads of its blocks: for each run the time
/// of its first record, its length, its assignments and its body.
pub(crate) fn encode_records<'a>(runs: impl Iterator<Item = (&'a Records, &'a [u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (records, body) in runs {
        bytes.extend_from_slice(&records.first_recorded_at().as_micros().to_le_bytes());
        put_count(&mut bytes, records.len());
        put_sized(&mut bytes, &records.assignments().encode());
        put_sized(&mut bytes, body);
    }
    bytes
}

/// The records of the group that a header begins, from the payloads of all its blocks.
pub(crate) fn decode_records(
    header: &GroupBlockHeader,
    payload: &[u8],
) -> Result<Vec<Records>, GroupBlockError> {
    if payload.len() > MAX_GROUP_BYTES {
        return Err(GroupBlockError::Malformed("more bytes than a group may have"));
    }
    let mut reader = ByteReader::new(payload);
    let (mut runs, mut next) = (Vec::new(), header.first_position);
    let end = next.plus(header.count.into());
    while !reader.rest().is_empty() {
        let (time, count, assignments, body) =
            read_run(&mut reader).ok_or(GroupBlockError::Malformed("a run that is cut off"))?;
        let left = end.since(next);
        if count == 0 || u64::from(count) > left {
            return Err(GroupBlockError::Malformed("another number of events than it says"));
        }
        let time = Timestamp::from_micros(time)
            .ok_or(GroupBlockError::Malformed("a time that there is not"))?;
        let assignments = Assignments::decode(assignments, next, time)?;
        runs.push(Records::decode(body, to_usize(count), assignments)?);
        next = next.plus(count.into());
    }
    if next != end {
        return Err(GroupBlockError::Malformed("another number of events than it says"));
    }
    Ok(runs)
}

fn read_run<'a>(reader: &mut ByteReader<'a>) -> Option<(i64, u32, &'a [u8], &'a [u8])> {
    Some((reader.i64()?, reader.u32()?, reader.sized()?, reader.sized()?))
}

/// The blocks of a group from a place on, each of at most `max_bytes`, and the hash of each. `first`
/// is the header of the first: what the others have of their own is filled in.
pub(crate) fn blocks_of(
    first: &GroupBlockHeader,
    payload: &[u8],
    max_bytes: usize,
) -> Vec<(Vec<u8>, GroupBlockHash)> {
    let room = max_bytes.saturating_sub(FIXED_BYTES).max(1);
    // A group that is too large for 65,535 parts is in fewer, larger ones, which the backend refuses.
    let room = room.max(payload.len().div_ceil(usize::from(u16::MAX)));
    let chunks: Vec<&[u8]> =
        if payload.is_empty() { vec![payload] } else { payload.chunks(room).collect() };
    let parts = u16::try_from(chunks.len()).unwrap_or(u16::MAX);
    let mut header = GroupBlockHeader { part: 0, parts, ..*first };
    let mut blocks = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let (bytes, hash) = header.encode(chunk);
        blocks.push((bytes, hash));
        header.part = header.part.saturating_add(1);
        header.place += 1;
        header.previous = hash;
    }
    blocks
}

/// How many events a group has, for its header.
pub(crate) fn count_of(runs: &[Records]) -> u32 {
    to_u32(runs.iter().map(Records::len).sum())
}

#[cfg(test)]
mod tests;
