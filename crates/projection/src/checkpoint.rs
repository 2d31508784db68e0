//! The persisted form of the space states: one blob per space, and one marker for all.
//!
//! A *generation* is one complete set of blobs. The marker names the generation that counts and the
//! position up to which the log is folded in it; a set beside it under another generation is
//! nothing until the marker names it. A blob may be ahead of the marker: events that it has taken
//! in are skipped when the fold goes on from the marker.
//!
//! Marker, under [`MARKER_KEY`]: version of what is kept (u32), generation, position, number of spaces
//! (u64 each), event id at that position (16 bytes), when that event was recorded (i64), BLAKE3 of
//! all before. Blob, under
//! [`blob_key`]: version of what is kept (u32), revision (u64), the encoded state, BLAKE3 of all
//! before. All numbers are little endian.

use spacefold_event_core::{
    EventId, LogReader, Position, ReadError, Revision, StateStore, StorageError, Timestamp,
    bytes::{ByteReader, put_u64},
};
use spacefold_state::SpaceState;

use crate::wire::{seal, unseal};

/// Where the marker is kept.
pub(crate) const MARKER_KEY: &[u8] = b"space-state";
/// What the key of every blob begins with.
pub(crate) const BLOB_PREFIX: &[u8] = b"space-state/";

/// The version of everything that is kept of states: what is of another one is made anew from the log.
/// Raised with the stored form of a state, and with [`SpaceStates::VERSION`](crate::SpaceStates::VERSION),
/// which says more: that states of other versions have other hashes.
///
/// Version 2 has the positions of contents, of what renders show, and of the synchronisation that runs.
pub(crate) const KEPT_VERSION: u32 = 2;

/// How far a projection has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// The name of the projection.
    pub name: &'static str,
    /// The version of its fold.
    pub version: u32,
    /// The last position that it has folded.
    pub position: Position,
}

/// What the persisted states are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Which set of blobs.
    pub(crate) generation: u64,
    /// The position that they are folded up to.
    pub(crate) position: Position,
    /// The event there, which tells one log from another.
    pub(crate) event: LastEvent,
    /// How many spaces there are at that position.
    pub(crate) spaces: u64,
}

/// An event of a log, and when the log took it: a log that was imported from another has events of
/// the same ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastEvent {
    pub(crate) id: EventId,
    pub(crate) recorded_at: Timestamp,
}

impl LastEvent {
    /// Where no event is folded yet.
    pub(crate) const NONE: Self =
        Self { id: EventId::from_bytes([0; EventId::LEN]), recorded_at: Timestamp::MIN };

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.recorded_at.as_micros().to_le_bytes());
    }

    pub(crate) fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let id = EventId::from_bytes(reader.array()?);
        Some(Self { id, recorded_at: Timestamp::from_micros(reader.i64()?)? })
    }
}

impl Marker {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = KEPT_VERSION.to_le_bytes().to_vec();
        for number in [self.generation, self.position.get(), self.spaces] {
            put_u64(&mut bytes, number);
        }
        self.event.encode(&mut bytes);
        seal(bytes)
    }

    /// The marker from its bytes; `None` when they are damaged or of another version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader::new(unseal(bytes)?);
        if reader.u32()? != KEPT_VERSION {
            return None;
        }
        let generation = reader.u64()?;
        let position = Position::new(reader.u64()?);
        let spaces = reader.u64()?;
        let event = LastEvent::decode(&mut reader)?;
        reader.end(Self { generation, position, event, spaces })
    }

    /// Whether the marker was made for this log: its event stands where it says.
    pub(crate) fn fits(&self, log: &dyn LogReader) -> Result<bool, ReadError> {
        if self.position == Position::START {
            return Ok(true);
        }
        if self.position > log.durable_head() {
            return Ok(false);
        }
        Ok(event_at(log, self.position)? == Some(self.event))
    }
}

/// The event at a position.
pub(crate) fn event_at(
    log: &dyn LogReader,
    position: Position,
) -> Result<Option<LastEvent>, ReadError> {
    let page = log.page_at(position)?;
    let found = page.as_ref().and_then(|page| page.envelopes().next());
    Ok(found.map(|event| LastEvent { id: event.event_id, recorded_at: event.recorded_at }))
}

/// The key of every blob of a generation begins with this.
pub(crate) fn generation_prefix(generation: u64) -> Vec<u8> {
    let mut key = BLOB_PREFIX.to_vec();
    key.extend_from_slice(&generation.to_be_bytes());
    key.push(b'/');
    key
}

/// The key of a space's blob.
pub(crate) fn blob_key(generation: u64, space_id: &str) -> Vec<u8> {
    let mut key = generation_prefix(generation);
    key.extend_from_slice(space_id.as_bytes());
    key
}

/// Generation and space that the key of a blob names; `None` when it is no such key.
pub(crate) fn parse_blob_key(key: &[u8]) -> Option<(u64, &str)> {
    let (generation, rest) = key.strip_prefix(BLOB_PREFIX)?.split_first_chunk()?;
    let space_id = std::str::from_utf8(rest.strip_prefix(b"/")?).ok()?;
    Some((u64::from_be_bytes(*generation), space_id))
}

/// The greatest generation that any blob has.
pub(crate) fn newest_generation(store: &dyn StateStore) -> Result<Option<u64>, StorageError> {
    let last = store.last_key(BLOB_PREFIX)?;
    Ok(last.and_then(|key| {
        let (generation, _) = key.strip_prefix(BLOB_PREFIX)?.split_first_chunk()?;
        Some(u64::from_be_bytes(*generation))
    }))
}

/// A generation that is greater than that of every blob and of the marker.
pub(crate) fn unused_generation(newest: Option<u64>, marker: Option<&Marker>) -> u64 {
    let marked = marker.map(|marker| marker.generation);
    newest.max(marked).unwrap_or(0).saturating_add(1)
}

pub(crate) fn encode_blob(state: &SpaceState) -> Vec<u8> {
    let mut bytes = KEPT_VERSION.to_le_bytes().to_vec();
    put_u64(&mut bytes, state.revision().get());
    bytes.extend_from_slice(&state.encode());
    seal(bytes)
}

/// The state of a space from its blob; `None` when it is damaged, of another version, or of
/// another space: the log has it all.
pub(crate) fn decode_blob(bytes: &[u8], space_id: &str) -> Option<SpaceState> {
    let mut reader = ByteReader::new(unseal(bytes)?);
    if reader.u32()? != KEPT_VERSION {
        return None;
    }
    let revision = Revision::new(reader.u64()?);
    let state = SpaceState::decode(reader.rest()).ok()?;
    (state.space_id() == space_id && state.revision() == revision).then_some(state)
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::MemoryStateStore;

    use super::*;

    #[test]
    fn a_marker_reads_back_and_no_damaged_one_does() {
        let marker = Marker {
            generation: 3,
            position: Position::new(77),
            event: LastEvent {
                id: EventId::from_bytes([7; 16]),
                recorded_at: Timestamp::from_micros(5).unwrap(),
            },
            spaces: 2,
        };
        let bytes = marker.encode();
        assert_eq!(Marker::decode(&bytes), Some(marker));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Marker::decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(Marker::decode(&[]), None);
    }

    #[test]
    fn a_blob_reads_back_for_its_own_space_and_no_damaged_one_does() {
        let state = SpaceState::new("a");
        let bytes = encode_blob(&state);
        assert_eq!(decode_blob(&bytes, "a"), Some(state));
        assert_eq!(decode_blob(&bytes, "b"), None);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_blob(&damaged, "a"), None, "bit {bit}");
        }
    }

    #[test]
    fn a_key_names_its_generation_and_space() {
        let key = blob_key(0x2f2f, "a/b\u{e9}");
        assert_eq!(parse_blob_key(&key), Some((0x2f2f, "a/b\u{e9}")));
        assert_eq!(parse_blob_key(MARKER_KEY), None);
        let marker =
            Marker { generation: 9, position: Position::START, event: LastEvent::NONE, spaces: 0 };
        let store = MemoryStateStore::new();
        assert_eq!(newest_generation(&store).unwrap(), None);
        store.put(&key, b"").unwrap();
        store.put(&blob_key(7, "a"), b"").unwrap();
        store.put(b"space-state0", b"").unwrap();
        assert_eq!(newest_generation(&store).unwrap(), Some(0x2f2f));
        assert_eq!(unused_generation(Some(0x2f2f), Some(&marker)), 0x2f30);
        assert_eq!(unused_generation(None, Some(&marker)), 10);
        assert_eq!(unused_generation(None, None), 1);
    }
}
