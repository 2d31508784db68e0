//! Which log a store has, and which course its events have taken: the timeline.
//!
//! A created store draws its timeline at random and begins its log under its own id. One that is
//! restored or forked draws another, says where it parted, and keeps the id under which the log began.

use spacefold_event_core::{
    LogId, LogIdentity, Position, TimelineFork, TimelineId, bytes::ByteReader,
};

/// What the timeline of a store that says nothing of it is derived in.
const DERIVED: &str = "spacefold 2026-11-30 the timeline of a store whose HEAD names none";
const CREATED_BYTES: usize = 32;
/// The most bytes that [`encode`] makes.
pub(crate) const MAX_BYTES: usize = CREATED_BYTES + 24;

/// That of a store whose HEAD says nothing of it: the same whenever it is read.
pub(crate) fn derived(store_id: [u8; 16]) -> LogIdentity {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] =
        blake3::derive_key(DERIVED, &store_id);
    let timeline = TimelineId::from_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]);
    LogIdentity { log_id: LogId::from_bytes(store_id), timeline, fork: None }
}

pub(crate) fn encode(identity: &LogIdentity) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAX_BYTES);
    bytes.extend_from_slice(&identity.timeline.to_bytes());
    bytes.extend_from_slice(&identity.log_id.to_bytes());
    if let Some(TimelineFork { parent, position }) = identity.fork {
        bytes.extend_from_slice(&parent.to_bytes());
        bytes.extend_from_slice(&position.get().to_le_bytes());
    }
    bytes
}

/// Reads what [`encode`] made; `None` when it is none.
pub(crate) fn decode(bytes: &[u8]) -> Option<LogIdentity> {
    let mut cursor = ByteReader::new(bytes);
    let timeline = TimelineId::from_bytes(cursor.array()?);
    let log_id = LogId::from_bytes(cursor.array()?);
    let fork = match bytes.len() {
        CREATED_BYTES => None,
        _ => Some(TimelineFork {
            parent: TimelineId::from_bytes(cursor.array()?),
            position: Position::new(cursor.u64()?),
        }),
    };
    cursor.rest().is_empty().then_some(LogIdentity { log_id, timeline, fork })
}
