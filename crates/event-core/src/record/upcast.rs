//! Reading payloads of earlier versions as those of today, and setting aside those of later ones.
//!
//! It happens once for a run, when that is unpacked; whoever reads events sees payloads of today
//! only. The bytes of the run stay as they were recorded.

use bincode::de::{
    Decoder, DecoderImpl,
    read::{Reader, SliceReader},
};

use super::{
    body::{Body, Columns},
    builder::encode_payload,
    codec,
    corrupt::CorruptRecords,
    schemas::{OtherVersion, SchemaVersion, Schemas},
    text::{TextId, TextTable, TextTableBuilder},
};
use crate::{
    EventType, MAX_EVENT_BYTES, Payload,
    payload::layout::{self, Layout},
    value::Object,
    varint::{Malformed, decode_u32},
};

/// The texts of a payload that is upcast, at the most: hex may be twice as long as it was stored.
const MAX_TEXT_BYTES: usize = 2 * MAX_EVENT_BYTES;

/// Reads payloads of one version of a type as payloads of the next.
///
/// # To change what a type carries
/// 1. Record bytes of a run that has the type, as a fixture.
/// 2. Change the type in the table of payloads.
/// 3. Add an upcaster with the layout that it had. The type is at the next version from then on.
#[derive(Debug)]
pub(super) struct Upcaster {
    /// The type.
    pub(super) event_type: EventType,
    /// The version that it reads.
    pub(super) from: SchemaVersion,
    /// How payloads of that version are laid out.
    pub(super) layout: Layout,
    /// The keys of the next version out of those of this one, extra keys among them. It depends on
    /// nothing else.
    pub(super) upcast: fn(Object) -> Object,
}

/// Stands in the place of a payload that is not read, and says why. It costs nothing where payloads
/// are read: it is looked at once one has not decoded.
pub(super) struct Unreadable;

impl Unreadable {
    /// No payload begins so: not a number, nor a presence, nor a tag.
    const MARK: u8 = u8::MAX;

    fn put(why: OtherVersion, payloads: &mut Vec<u8>) {
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

/// Puts payloads of today in the place of those at `others`, ascending, or why they cannot be read.
pub(super) fn read_foreign(
    body: Body,
    others: &[(usize, OtherVersion)],
    schemas: &Schemas,
) -> Result<Body, CorruptRecords> {
    let mut texts = TextTableBuilder::with_texts_of(&body.texts)?;
    let mut payloads = Vec::with_capacity(body.columns.payloads.len());
    let mut ends = Vec::with_capacity(body.columns.numbers.len());
    let mut others = others.iter().peekable();
    for index in 0..body.columns.numbers.len() {
        let stored = body.row(index).ok_or(CorruptRecords::Malformed("columns that part"))?.payload;
        match others.next_if(|(other, _)| *other == index) {
            None => payloads.extend_from_slice(stored),
            Some((_, other)) => match upcast(stored, *other, &body.texts, schemas) {
                Some(payload) => {
                    encode_payload(&payload, &mut payloads, |text| texts.intern(text).0);
                }
                None => Unreadable::put(*other, &mut payloads),
            },
        }
        let beyond = |_| CorruptRecords::Malformed("payloads beyond 4 GiB");
        ends.push(u32::try_from(payloads.len()).map_err(beyond)?);
    }
    let mut columns = Columns { payloads, ..body.columns };
    columns.numbers.iter_mut().zip(ends).for_each(|(row, end)| row.payload_end = end);
    Ok(Body { texts: texts.into_texts(), columns, are_current: false })
}

/// A payload of today out of the bytes of another version; `None` for those of a later one, and those
/// that are none.
fn upcast(
    bytes: &[u8],
    OtherVersion { event_type, found, known }: OtherVersion,
    texts: &TextTable,
    schemas: &Schemas,
) -> Option<Payload> {
    let mut upcaster = schemas.upcaster(event_type, found)?;
    let mut object = decode(upcaster.layout, bytes, texts).ok()?;
    loop {
        object = (upcaster.upcast)(object);
        let version = upcaster.from.next();
        if version == known {
            return Payload::from_object(event_type, object).ok();
        }
        upcaster = schemas.upcaster(event_type, version)?;
    }
}

fn decode(layout: Layout, bytes: &[u8], texts: &TextTable) -> Result<Object, Malformed> {
    let mut left = MAX_TEXT_BYTES;
    let mut decoder = DecoderImpl::new(SliceReader::new(bytes), codec(), ());
    let object = layout::decode(layout, &mut decoder, &mut |decoder| {
        let text = texts.get(TextId(decode_u32(decoder)?)).ok_or(Malformed)?;
        // A few bytes may name a long text many times.
        left = left.checked_sub(text.len()).ok_or(Malformed)?;
        Ok(text.to_owned())
    })?;
    if decoder.reader().peek_read(1).is_none() { Ok(object) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests;
