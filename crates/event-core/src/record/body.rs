//! The body of a run: its columns as bytes, and unpacked.

use bincode::de::{
    Decoder, DecoderImpl,
    read::{Reader, SliceReader},
};

use super::{
    BincodeConfig, codec,
    columns::{Columns, Numbers},
    payload_bytes::Unreadable,
    rare::RareColumns,
    schemas::{OtherVersion, Schemas},
    stored_columns::{StoredBody, StoredColumns},
    text::{TextId, TextTable},
    upcast::read_foreign,
};
use crate::{
    bytes::to_usize,
    corrupt_records::CorruptRecords,
    event_id::EventId,
    payload::{EventType, Payload},
    timestamp::Timestamp,
    value::{Object, StoredText},
    varint::{Malformed, decode_u32},
};

/// The body of a run, unpacked. It knows nothing of positions.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) texts: TextTable,
    pub(super) columns: Columns,
    /// Whether every payload was stored as this program stores it. Those of earlier versions are of
    /// this program's here, those of later ones are [`Unreadable`].
    pub(super) are_current: bool,
}

/// The bytes that stand for the types and versions of the records.
#[derive(Debug)]
pub(super) struct Codes<'a> {
    pub(super) stored: &'a [u8],
    /// The records whose payloads are of another version than is written now.
    others: Vec<(usize, OtherVersion)>,
}

/// One record of a body.
pub(super) struct RecordRow<'a> {
    pub(super) event_id: EventId,
    pub(super) event_type: EventType,
    pub(super) space: TextId,
    pub(super) timestamp: Timestamp,
    pub(super) source: Option<TextId>,
    pub(super) correlation_id: Option<TextId>,
    pub(super) space_index: u32,
    pub(super) rank: u32,
    pub(super) payload: &'a [u8],
}

impl Body {
    /// Unpacks a body of `count` records, and checks its columns against each other and the text
    /// table. Payloads become those of the versions that `schemas` has.
    pub(super) fn decode(
        stored: StoredBody<'_>,
        count: usize,
        schemas: &Schemas,
    ) -> Result<Self, CorruptRecords> {
        let (body, codes) = Self::unpack(stored, count, schemas)?;
        if codes.others.is_empty() {
            return Ok(body);
        }
        let (texts, columns) = read_foreign(&body.texts, body.columns, &codes.others, schemas)?;
        Ok(Self { texts, columns, are_current: false })
    }

    /// As [`Body::decode`], payloads as they are stored.
    pub(super) fn unpack<'a>(
        stored: StoredBody<'a>,
        count: usize,
        schemas: &Schemas,
    ) -> Result<(Self, Codes<'a>), CorruptRecords> {
        let mut stored = StoredColumns::open(stored, count)?;
        let texts = stored.texts()?;
        let spaces = stored.spaces(texts.len())?;
        let event_ids = stored.event_ids();
        let mut codes = Codes { stored: stored.codes()?, others: Vec::new() };
        let event_types = codes.types(schemas)?;
        let numbers = vec![Numbers::NONE; count];
        let mut columns =
            Columns { spaces, event_ids, event_types, numbers, payloads: Vec::new(), rare: None };
        stored.space_of(&mut columns)?;
        stored.timestamps(&mut columns.numbers)?;
        stored.references(&mut columns.numbers, texts.len())?;
        columns.payloads = stored.payloads(&mut columns.numbers)?.to_vec();
        columns.rare = stored.rare(&columns.event_types, texts.len())?.map(Box::new);
        stored.close()?;
        Ok((Self { texts, columns, are_current: true }, codes))
    }

    /// What few events of a body have, unpacked alone.
    pub(super) fn decode_rare(
        stored: StoredBody<'_>,
        count: usize,
        schemas: &Schemas,
    ) -> Result<Option<RareColumns>, CorruptRecords> {
        let mut stored = StoredColumns::open(stored, count)?;
        let (texts, codes) = stored.skip_to_rare()?;
        let mut codes = Codes { stored: codes, others: Vec::new() };
        stored.rare(&codes.types(schemas)?, texts)
    }

    pub(super) fn row(&self, index: usize) -> Option<RecordRow<'_>> {
        let Columns { spaces, event_ids, event_types, numbers, .. } = &self.columns;
        let numbers = numbers.get(index)?;
        let reference = |text: u32| text.checked_sub(1).map(TextId);
        Some(RecordRow {
            event_id: *event_ids.get(index)?,
            event_type: *event_types.get(index)?,
            space: spaces.get(to_usize(numbers.space))?.id,
            timestamp: numbers.timestamp,
            source: reference(numbers.source),
            correlation_id: reference(numbers.correlation_id),
            space_index: numbers.space,
            rank: numbers.rank,
            payload: self.columns.payload(index, numbers)?,
        })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let Columns { spaces, event_ids, event_types, numbers, payloads, rare } = &self.columns;
        self.texts.memory_bytes()
            + payloads.capacity()
            + size_of_val(spaces.as_slice())
            + size_of_val(event_ids.as_slice())
            + size_of_val(event_types.as_slice())
            + size_of_val(numbers.as_slice())
            + rare.as_ref().map_or(0, |rare| rare.memory_bytes())
    }
}

impl Codes<'_> {
    /// The type of each record; those of another version are noted.
    fn types(&mut self, schemas: &Schemas) -> Result<Vec<EventType>, CorruptRecords> {
        let Self { stored, others } = self;
        let mut other = |index, code| {
            let other = schemas.other(code);
            let other = other.ok_or(CorruptRecords::Malformed("an unknown event type"))?;
            others.push((index, other));
            Ok(other.event_type)
        };
        let event_type = |(index, code): (usize, &u8)| match schemas.current(*code) {
            Some(event_type) => Ok(event_type),
            None => other(index, *code),
        };
        stored.iter().enumerate().map(event_type).collect()
    }
}

impl RecordRow<'_> {
    /// Decodes the payload, with what `text` makes of its texts; `name` is that of a type of an
    /// application's own.
    pub(super) fn payload<S: StoredText>(
        &self,
        name: Option<TextId>,
        text: impl FnMut(TextId) -> Result<S, Malformed>,
    ) -> Result<Payload<S>, CorruptRecords> {
        let Self { event_type, payload, .. } = *self;
        decode_payload(event_type, || name, payload, text, |payload| payload, |cause| cause)
    }
}

/// Decodes a payload, with what `text` makes of its texts. It is large, so `finish` puts it where
/// it is wanted; `fail` makes the error what is wanted, for the same reason.
#[inline]
pub(super) fn decode_payload<S: StoredText, R, E>(
    event_type: EventType,
    name: impl FnOnce() -> Option<TextId>,
    bytes: &[u8],
    mut text: impl FnMut(TextId) -> Result<S, Malformed>,
    finish: impl FnOnce(Payload<S>) -> R,
    fail: impl FnOnce(CorruptRecords) -> E,
) -> Result<R, E> {
    let mut decoder = DecoderImpl::new(SliceReader::new(bytes), codec(), ());
    if event_type == EventType::Application {
        return decode_own(name(), decoder, text).map(finish).map_err(fail);
    }
    let payload = Payload::decode_as(event_type, &mut decoder, &mut |decoder| {
        text(TextId(decode_u32(decoder)?))
    });
    match payload {
        Ok(payload) if decoder.reader().peek_read(1).is_none() => Ok(finish(payload)),
        Ok(_) => Err(fail(CorruptRecords::Malformed("bytes after a payload"))),
        Err(Malformed) => Err(fail(Unreadable::explain(event_type, bytes))),
    }
}

/// Decodes the payload of an event of an application's own, whose name is in a column.
#[cold]
fn decode_own<S: StoredText>(
    name: Option<TextId>,
    mut decoder: DecoderImpl<SliceReader<'_>, BincodeConfig, ()>,
    mut text: impl FnMut(TextId) -> Result<S, Malformed>,
) -> Result<Payload<S>, CorruptRecords> {
    let malformed = |_| CorruptRecords::Malformed("a payload that does not decode");
    let name = text(name.ok_or(CorruptRecords::Malformed("an event without a name"))?);
    let name = name.map_err(malformed)?;
    let extra =
        Object::decode_with(&mut decoder, &mut |decoder| text(TextId(decode_u32(decoder)?)));
    let extra = extra.map_err(malformed)?;
    if decoder.reader().peek_read(1).is_some() {
        return Err(CorruptRecords::Malformed("bytes after a payload"));
    }
    Ok(Payload::Application { name, extra })
}
