//! The extension fields of HEAD and of journal files: what tells the parts of this store from those of another copy.

use spacefold_event_core::{
    LogIdentity, Position,
    bytes::{ByteReader, to_u32, to_usize},
};

use super::{
    sessions::{MAX_SESSIONS, Sessions, StoreSession},
    timeline,
};

const WITNESS: u16 = 1;
const SESSIONS: u16 = 2;
const TIMELINE: u16 = 3;
const FIELD_HEADER_BYTES: usize = size_of::<u16>() + size_of::<u32>();
const SESSION_BYTES: usize = 2 * size_of::<u64>();

/// The most bytes that [`encode`] makes.
pub(crate) const MAX_BYTES: usize = 3 * FIELD_HEADER_BYTES
    + size_of::<u64>()
    + size_of::<u32>()
    + MAX_SESSIONS * SESSION_BYTES
    + timeline::MAX_BYTES;

/// What the fields say; nothing of what they leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtensionFields {
    pub(crate) witness: Option<Witness>,
    pub(crate) sessions: Sessions,
    /// In HEAD alone.
    pub(crate) identity: Option<LogIdentity>,
}

/// A frame that was synced: the journal of another copy of the store has another one there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Witness {
    /// The position of its last event.
    pub(crate) position: Position,
    /// Its checksum, which stands for all frames before it too.
    pub(crate) crc: u32,
}

/// The fields, one after the other; those that say nothing are left out.
pub(crate) fn encode(fields: &ExtensionFields) -> Vec<u8> {
    let ExtensionFields { witness, sessions, identity } = fields;
    let mut bytes = Vec::with_capacity(MAX_BYTES);
    if let Some(Witness { position, crc }) = witness {
        let field = [&position.get().to_le_bytes()[..], &crc.to_le_bytes()].concat();
        put(&mut bytes, WITNESS, &field);
    }
    if !sessions.is_empty() {
        put(&mut bytes, SESSIONS, &encode_sessions(sessions));
    }
    if let Some(identity) = identity {
        put(&mut bytes, TIMELINE, &timeline::encode(identity));
    }
    bytes
}

/// Reads the fields. Unknown ones are skipped; `None` when a known one is not what it should be.
pub(crate) fn decode(bytes: &[u8]) -> Option<ExtensionFields> {
    let mut fields = ExtensionFields::default();
    let mut cursor = ByteReader::new(bytes);
    while let (Some(kind), Some(len)) = (cursor.u16(), cursor.u32()) {
        let field = cursor.take(to_usize(len))?;
        match kind {
            WITNESS => fields.witness = Some(decode_witness(field)?),
            SESSIONS => fields.sessions = decode_sessions(field)?,
            TIMELINE => fields.identity = Some(timeline::decode(field)?),
            _ => {}
        }
    }
    Some(fields)
}

fn put(bytes: &mut Vec<u8>, kind: u16, field: &[u8]) {
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&to_u32(field.len()).to_le_bytes());
    bytes.extend_from_slice(field);
}

fn decode_witness(field: &[u8]) -> Option<Witness> {
    let mut cursor = ByteReader::new(field);
    let witness = Witness { position: Position::new(cursor.u64()?), crc: cursor.u32()? };
    cursor.rest().is_empty().then_some(witness)
}

/// A list of sessions as it stands on disk.
pub(crate) fn encode_sessions(sessions: &Sessions) -> Vec<u8> {
    let numbers = sessions.iter().flat_map(|StoreSession { incarnation, after }| {
        [incarnation.to_le_bytes(), after.get().to_le_bytes()]
    });
    numbers.flatten().collect()
}

/// Reads what [`encode_sessions`] made; `None` when it is none.
pub(crate) fn decode_sessions(bytes: &[u8]) -> Option<Sessions> {
    let (sessions, rest) = bytes.as_chunks::<SESSION_BYTES>();
    if sessions.len() > MAX_SESSIONS || !rest.is_empty() {
        return None;
    }
    let session = |bytes: &[u8; SESSION_BYTES]| {
        let mut cursor = ByteReader::new(bytes);
        Some(StoreSession { incarnation: cursor.u64()?, after: Position::new(cursor.u64()?) })
    };
    Sessions::new(sessions.iter().map(session).collect::<Option<_>>()?)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use spacefold_event_core::{LogId, TimelineFork, TimelineId};

    use super::*;
    use crate::wire::is_extension;

    /// Sessions, ascending, as many as are kept at the most.
    fn sessions(most: usize) -> impl Strategy<Value = Vec<StoreSession>> {
        let steps = vec((1..=u64::from(u32::MAX), any::<u64>()), 0..=most);
        steps.prop_map(|steps| {
            let mut incarnation = 0;
            let session = |(step, after)| {
                incarnation += step;
                StoreSession { incarnation, after: Position::new(after) }
            };
            steps.into_iter().map(session).collect()
        })
    }

    fn identity() -> impl Strategy<Value = LogIdentity> {
        let fork = any::<Option<([u8; 16], u64)>>();
        (any::<[u8; 16]>(), any::<[u8; 16]>(), fork).prop_map(|(log_id, timeline, fork)| {
            let fork = fork.map(|(parent, position)| TimelineFork {
                parent: TimelineId::from_bytes(parent),
                position: Position::new(position),
            });
            let timeline = TimelineId::from_bytes(timeline);
            LogIdentity { log_id: LogId::from_bytes(log_id), timeline, fork }
        })
    }

    /// A field of one of the known types, or of another, of some bytes.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        (0..5_u16, vec(any::<u8>(), 0..300)).prop_map(|(kind, bytes)| {
            let mut field = Vec::new();
            put(&mut field, kind, &bytes);
            field
        })
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..600)) {
            let _ = decode(&bytes);
            let _ = decode_witness(&bytes);
            let read = decode_sessions(&bytes);
            prop_assert!(read.is_none_or(|sessions| encode_sessions(&sessions) == bytes));
        }

        #[test]
        fn no_fields_panic(fields in vec(field(), 0..4), cut: prop::sample::Index) {
            let mut bytes = fields.concat();
            if let Some(read) = decode(&bytes) {
                let written = encode(&read);
                prop_assert!(written.len() <= MAX_BYTES && is_extension(&written));
                prop_assert_eq!(decode(&written), Some(read));
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let _ = decode(&bytes);
        }

        #[test]
        fn what_was_written_is_read_and_no_other_order_or_length(
            list in sessions(MAX_SESSIONS),
            witness in any::<Option<(u64, u32)>>(),
            identity in prop::option::of(identity()),
        ) {
            let witness =
                witness.map(|(position, crc)| Witness { position: Position::new(position), crc });
            let sessions = Sessions::new(list.clone()).unwrap();
            let fields = ExtensionFields { witness, sessions: sessions.clone(), identity };
            let bytes = encode(&fields);
            prop_assert!(bytes.len() <= MAX_BYTES);
            prop_assert_eq!(decode(&bytes), Some(fields));
            let bytes = encode_sessions(&sessions);
            prop_assert_eq!(decode_sessions(&bytes), Some(sessions));
            prop_assert_eq!(decode_sessions(&[&bytes[..], &[0]].concat()), None);
            if list.len() > 1 {
                let (first, rest) = bytes.split_at(SESSION_BYTES);
                prop_assert_eq!(decode_sessions(&[rest, first].concat()), None);
            }
        }

        #[test]
        fn a_timeline_reads_back_in_its_own_length_alone(
            identity in identity(),
            len in 0..100_usize,
        ) {
            let bytes = timeline::encode(&identity);
            prop_assert_eq!(timeline::decode(&bytes), Some(identity));
            let mut other = bytes.clone();
            other.resize(len, 0);
            prop_assert_eq!(timeline::decode(&other).is_some(), matches!(len, 32 | 56), "{}", len);
        }

        #[test]
        fn lists_that_are_too_long_are_none(list in sessions(3 * MAX_SESSIONS)) {
            let numbers = list.iter().flat_map(|session| {
                [session.incarnation.to_le_bytes(), session.after.get().to_le_bytes()]
            });
            let bytes: Vec<u8> = numbers.flatten().collect();
            prop_assert_eq!(decode_sessions(&bytes).is_some(), list.len() <= MAX_SESSIONS);
        }
    }
}
