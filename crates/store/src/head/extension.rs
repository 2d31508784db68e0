//! The extension fields of HEAD and of journal files: what tells the parts of this store from those of another copy.

use spacefold_event_core::Position;

use super::sessions::{MAX_SESSIONS, Session, Sessions};
use crate::wire::{Cursor, to_u32, to_usize};

const WITNESS: u16 = 1;
const SESSIONS: u16 = 2;
const FIELD_HEADER_BYTES: usize = size_of::<u16>() + size_of::<u32>();
const SESSION_BYTES: usize = 2 * size_of::<u64>();

/// The most bytes that [`encode`] makes.
pub(crate) const MAX_BYTES: usize =
    2 * FIELD_HEADER_BYTES + size_of::<u64>() + size_of::<u32>() + MAX_SESSIONS * SESSION_BYTES;

/// A frame that was synced: the journal of another copy of the store has another one there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Witness {
    /// The position of its last event.
    pub(crate) position: Position,
    /// Its checksum, which stands for all frames before it too.
    pub(crate) crc: u32,
}

/// The fields, one after the other; those that say nothing are left out.
pub(crate) fn encode(witness: Option<Witness>, sessions: &Sessions) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAX_BYTES);
    if let Some(Witness { position, crc }) = witness {
        let field = [&position.get().to_le_bytes()[..], &crc.to_le_bytes()].concat();
        put(&mut bytes, WITNESS, &field);
    }
    if !sessions.is_empty() {
        put(&mut bytes, SESSIONS, &encode_sessions(sessions));
    }
    bytes
}

/// Reads the fields. Unknown ones are skipped; `None` when a known one is not what it should be.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Option<Witness>, Sessions)> {
    let (mut witness, mut sessions) = (None, Sessions::default());
    let mut cursor = Cursor::new(bytes);
    while let (Some(kind), Some(len)) = (cursor.u16(), cursor.u32()) {
        let field = cursor.take(to_usize(len))?;
        match kind {
            WITNESS => witness = Some(decode_witness(field)?),
            SESSIONS => sessions = decode_sessions(field)?,
            _ => {}
        }
    }
    Some((witness, sessions))
}

fn put(bytes: &mut Vec<u8>, kind: u16, field: &[u8]) {
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&to_u32(field.len()).to_le_bytes());
    bytes.extend_from_slice(field);
}

fn decode_witness(field: &[u8]) -> Option<Witness> {
    let mut cursor = Cursor::new(field);
    let witness = Witness { position: Position::new(cursor.u64()?), crc: cursor.u32()? };
    cursor.rest().is_empty().then_some(witness)
}

/// A list of sessions as it stands on disk.
pub(crate) fn encode_sessions(sessions: &Sessions) -> Vec<u8> {
    let numbers = sessions.iter().flat_map(|Session { incarnation, after }| {
        [incarnation.to_le_bytes(), after.get().to_le_bytes()]
    });
    numbers.flatten().collect()
}

/// Reads what [`encode_sessions`] made; `None` when it is none.
pub(crate) fn decode_sessions(bytes: &[u8]) -> Option<Sessions> {
    let (sessions, rest) = bytes.as_chunks::<SESSION_BYTES>();
    let session = |bytes: &[u8; SESSION_BYTES]| {
        let mut cursor = Cursor::new(bytes);
        Some(Session { incarnation: cursor.u64()?, after: Position::new(cursor.u64()?) })
    };
    let sessions = Sessions::new(sessions.iter().map(session).collect::<Option<_>>()?);
    sessions.filter(|_| rest.is_empty())
}
