//! Reading payloads of earlier versions as those of today, and setting aside those of later ones.
//!
//! It happens once for a run, when that is unpacked; readers see payloads of today
//! only. The bytes of the run stay as they were recorded.

use bincode::de::{
    Decoder, DecoderImpl,
    read::{Reader, SliceReader},
};

use super::{
    codec,
    columns::Columns,
    payload_bytes::{Unreadable, encode_payload},
    schemas::{OtherVersion, Schemas},
    text::{TextId, TextTable, TextTableBuilder},
};
use crate::{
    corrupt_records::CorruptRecords,
    limits::MAX_EVENT_BYTES,
    payload::{
        Payload,
        layout::{self, Layout},
    },
    value::Object,
    varint::{Malformed, decode_u32},
};

/// The texts of a payload that is upcast, at the most: hex may be twice as long as it was stored.
const MAX_TEXT_BYTES: usize = 2 * MAX_EVENT_BYTES;

/// Puts payloads of today in the place of those at `others`, ascending, or why they cannot be read.
pub(super) fn read_foreign(
    stored_texts: &TextTable,
    columns: Columns,
    others: &[(usize, OtherVersion)],
    schemas: &Schemas,
) -> Result<(TextTable, Columns), CorruptRecords> {
    let mut texts = TextTableBuilder::with_texts_of(stored_texts)?;
    let mut payloads = Vec::with_capacity(columns.payloads.len());
    let mut ends = Vec::with_capacity(columns.numbers.len());
    let mut others = others.iter().peekable();
    for (index, numbers) in columns.numbers.iter().enumerate() {
        let stored = columns.payload(index, numbers);
        let stored = stored.ok_or(CorruptRecords::Malformed("columns that part"))?;
        match others.next_if(|(other, _)| *other == index) {
            None => payloads.extend_from_slice(stored),
            Some((_, other)) => match upcast(stored, *other, stored_texts, schemas) {
                Some(payload) => {
                    encode_payload(&payload, &mut payloads, |text| texts.intern(text).0);
                }
                None => Unreadable::put(*other, &mut payloads),
            },
        }
        let beyond = |_| CorruptRecords::Malformed("payloads beyond 4 GiB");
        ends.push(u32::try_from(payloads.len()).map_err(beyond)?);
    }
    let mut columns = Columns { payloads, ..columns };
    columns.numbers.iter_mut().zip(ends).for_each(|(row, end)| row.payload_end = end);
    Ok((texts.into_texts(), columns))
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
            return Payload::from_object(event_type, event_type.name().to_owned(), object).ok();
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
