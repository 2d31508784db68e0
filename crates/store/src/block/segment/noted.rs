//! What is noted of segments, so that opening does not read them: what each says of itself, beside the
//! [stamp](FileStamp) of its file then. A file with another stamp, or none, is read.

use std::collections::BTreeMap;

use spacefold_disk::FileStamp;
use spacefold_event_core::{Position, bytes::ByteReader};

use super::SegmentEnds;

/// A segment as it was when its file had a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotedSegment {
    pub(crate) ends: SegmentEnds,
    pub(crate) stamp: FileStamp,
}

impl NotedSegment {
    /// All of it but its first position, by which it is found.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { ends, stamp } = self;
        let mut bytes = ends.last_position.get().to_le_bytes().to_vec();
        bytes.extend_from_slice(&ends.previous);
        bytes.extend_from_slice(&ends.last_hash);
        bytes.extend_from_slice(&stamp.number.to_le_bytes());
        bytes.extend_from_slice(&stamp.bytes.to_le_bytes());
        bytes.extend_from_slice(&stamp.changed_at.to_le_bytes());
        bytes
    }

    /// What [`NotedSegment::encode`] wrote; `None` when the bytes are none of its.
    pub(crate) fn decode(first_position: Position, bytes: &[u8]) -> Option<Self> {
        let mut bytes = ByteReader::new(bytes);
        let last_position = Position::new(bytes.u64()?);
        let (previous, last_hash) = (bytes.array()?, bytes.array()?);
        let stamp =
            FileStamp { number: bytes.u64()?, bytes: bytes.u64()?, changed_at: bytes.i64()? };
        let ends = SegmentEnds { first_position, last_position, previous, last_hash };
        bytes.rest().is_empty().then_some(Self { ends, stamp })
    }
}

/// The segments that something is noted of, by their first positions.
pub(crate) type NotedSegments = BTreeMap<Position, NotedSegment>;
