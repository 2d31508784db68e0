//! How far this process has read the blocks, so that it need not read them all when it is opened again.
//!
//! A bookmark is a hint. One that is lost, or is beyond what the log of this process holds, costs reading
//! all blocks and comparing them with that log.

use std::sync::Arc;

use spacefold_disk::{Access, Folder, NewFile};
use spacefold_event_core::{
    LogId, LogIdentity, Position, StorageError, TimelineId,
    bytes::{ByteReader, put_u64, seal, unseal},
};

use crate::tail::BlockTail;

const NAME: &str = "replica";
const MAGIC: [u8; 4] = *b"SFRB";
/// More than a bookmark ever has.
const MOST_BYTES: usize = 4_096;

/// Reads the bookmark of a folder, if it has one that is whole.
pub(crate) fn read(folder: &Arc<dyn Folder>) -> Result<Option<BlockTail>, StorageError> {
    let Some(file) = folder.find(NAME, Access::Read)? else { return Ok(None) };
    let bytes = file.read_begin(MOST_BYTES)?;
    Ok(unseal(&bytes).and_then(decode))
}

/// Notes how far the blocks were read. In the middle of a group there is nothing to note.
pub(crate) fn write(folder: &Arc<dyn Folder>, tail: &BlockTail) -> Result<(), StorageError> {
    let Some(identity) = tail.identity.filter(|_| !tail.has_begun()) else { return Ok(()) };
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&identity.log_id.to_bytes());
    bytes.extend_from_slice(&identity.timeline.to_bytes());
    put_u64(&mut bytes, tail.next);
    put_u64(&mut bytes, tail.head.get());
    put_u64(&mut bytes, tail.last_void);
    bytes.extend_from_slice(&tail.last_hash);
    Ok(NewFile::replace(folder, NAME, &seal(bytes))?)
}

fn decode(bytes: &[u8]) -> Option<BlockTail> {
    let mut reader = ByteReader::new(bytes);
    if reader.array()? != MAGIC {
        return None;
    }
    let log_id = LogId::from_bytes(reader.array()?);
    let timeline = TimelineId::from_bytes(reader.array()?);
    let mut tail = BlockTail::start();
    tail.identity = Some(LogIdentity { log_id, timeline, fork: None });
    tail.next = reader.u64()?.max(1);
    tail.head = Position::new(reader.u64()?);
    tail.last_void = reader.u64()?;
    tail.last_hash = reader.array()?;
    reader.end(tail)
}
