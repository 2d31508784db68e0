//! Payloads as bytes, and what stands in the place of one that is not read.

use super::{codec, schemas::OtherVersion, text::TextId};
use crate::{
    corrupt_records::CorruptRecords,
    payload::{EventType, Payload},
    schema_version::SchemaVersion,
};

/// Appends the payload, with what `text` makes of its texts, and answers its length.
pub(super) fn encode_payload<'a, S: 'a>(
    payload: &'a Payload<S>,
    out: &mut Vec<u8>,
    mut text: impl FnMut(&'a S) -> TextId,
) -> usize {
    use bincode::{Encode, enc::EncoderImpl};
    let before = out.len();
    let mut encoder = EncoderImpl::new(Appended(out), codec());
    payload
        .encode_with(&mut encoder, &mut |own, encoder| text(own).0.encode(encoder))
        .expect("a payload encodes into memory without an error");
    out.len() - before
}

/// Memory that an encoder appends to.
struct Appended<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Appended<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Stands in the place of a payload that is not read, and says why. It costs nothing where payloads
/// are read: it is looked at once one has not decoded.
pub(super) struct Unreadable;

impl Unreadable {
    /// No payload begins so: not a number, nor a presence, nor a tag.
    const MARK: u8 = u8::MAX;

    pub(super) fn put(why: OtherVersion, payloads: &mut Vec<u8>) {
        payloads.extend_from_slice(&[Self::MARK, why.found.get(), why.known.get()]);
    }

    /// Why bytes are no payload of a type.
    #[cold]
    pub(super) fn explain(event_type: EventType, bytes: &[u8]) -> CorruptRecords {
        let version = SchemaVersion::new;
        match bytes {
            [Self::MARK, found, known] if found > known => CorruptRecords::NewerPayload {
                event_type,
                found: version(*found),
                known: version(*known),
            },
            [Self::MARK, found, known] => CorruptRecords::OldPayload {
                event_type,
                found: version(*found),
                known: version(*known),
            },
            _ => CorruptRecords::Malformed("a payload that does not decode"),
        }
    }
}
