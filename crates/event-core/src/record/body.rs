//! The body of a run: its columns as bytes, and unpacked.

use bincode::de::{
    Decoder, DecoderImpl,
    read::{Reader, SliceReader},
};

use super::{
    codec,
    corrupt::CorruptRecords,
    schemas::{OtherVersion, Schemas},
    stored_columns::{StoredBody, StoredColumns},
    text::{TextId, TextTable, TextTableBuilder},
    upcast::{Unreadable, read_foreign},
};
use crate::{
    EventId, EventType, Payload, Timestamp,
    varint::{Malformed, decode_u32, put_bytes, put_i64s, put_len, put_u32s},
};

/// What a record takes at the most in the columns of numbers: space, timestamp, source,
/// correlation id, length of the payload.
const MAX_NUMBERS_BYTES: usize = 5 + 9 + 5 + 5 + 5;

/// The body of a run, unpacked. It knows nothing of positions.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) texts: TextTable,
    pub(super) columns: Columns,
    /// Whether every payload was stored as this program stores it. Those of earlier versions are of
    /// this program's here, those of later ones are [`Unreadable`].
    pub(super) are_current: bool,
}

/// All of a body but its texts.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// The distinct spaces in order of appearance.
    pub(super) spaces: Vec<Space>,
    pub(super) event_ids: Vec<EventId>,
    pub(super) event_types: Vec<EventType>,
    pub(super) numbers: Vec<Numbers>,
    pub(super) payloads: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    pub(super) id: TextId,
    /// How many records of the run are of it.
    pub(super) records: u32,
}

/// The bytes that stand for the types and versions of the records.
#[derive(Debug)]
pub(super) struct Codes<'a> {
    pub(super) stored: &'a [u8],
    /// The records whose payloads are of another version than is written now.
    others: Vec<(usize, OtherVersion)>,
}

/// What a record has of numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) timestamp: Timestamp,
    /// Which of the spaces.
    pub(super) space: u32,
    /// How many records of the same space come before, in this run.
    pub(super) rank: u32,
    /// 0 for none, else a text plus 1.
    pub(super) source: u32,
    /// 0 for none, else a text plus 1.
    pub(super) correlation_id: u32,
    pub(super) payload_end: u32,
}

/// One record of a body.
pub(super) struct Row<'a> {
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
        if codes.others.is_empty() { Ok(body) } else { read_foreign(body, &codes.others, schemas) }
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
        let mut columns = Columns { spaces, event_ids, event_types, numbers, payloads: Vec::new() };
        stored.space_of(&mut columns)?;
        stored.timestamps(&mut columns.numbers)?;
        stored.references(&mut columns.numbers, texts.len())?;
        columns.payloads = stored.payloads(&mut columns.numbers)?.to_vec();
        stored.close()?;
        Ok((Self { texts, columns, are_current: true }, codes))
    }

    pub(super) fn row(&self, index: usize) -> Option<Row<'_>> {
        self.columns.row(index)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let Columns { spaces, event_ids, event_types, numbers, payloads } = &self.columns;
        self.texts.memory_bytes()
            + payloads.capacity()
            + size_of_val(spaces.as_slice())
            + size_of_val(event_ids.as_slice())
            + size_of_val(event_types.as_slice())
            + size_of_val(numbers.as_slice())
    }
}

impl Columns {
    /// Columns with room for so many records.
    pub(super) fn with_capacity(records: usize) -> Self {
        Self {
            spaces: Vec::new(),
            event_ids: Vec::with_capacity(records),
            event_types: Vec::with_capacity(records),
            numbers: Vec::with_capacity(records),
            payloads: Vec::with_capacity(records * 12),
        }
    }

    /// The body as bytes, with these texts, and the bytes that stand for types and versions; and how
    /// many of them are its dense part.
    pub(super) fn encode(
        &self,
        texts: &TextTableBuilder,
        codes: impl ExactSizeIterator<Item = u8>,
    ) -> (Vec<u8>, usize) {
        let fixed = EventId::LEN + 1 + MAX_NUMBERS_BYTES;
        let most = texts.stored_bytes()
            + (texts.entries().len() + self.spaces.len()) * 5
            + self.numbers.len() * fixed
            + self.payloads.len()
            + 11 * 9;
        let mut out = Vec::with_capacity(most);
        put_u32s(texts.entries().iter().copied(), &mut out);
        put_len(texts.raw_bytes(), &mut out);
        texts.put_raw(&mut out);
        put_u32s(self.spaces.iter().map(|space| space.id.0), &mut out);
        put_len(codes.len(), &mut out);
        out.extend(codes);
        self.encode_numbers(&mut out);
        put_bytes(&self.payloads, &mut out);
        let rest = out.len();
        texts.put_packed(&mut out);
        self.event_ids.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
        let dense_bytes = out.len() - rest;
        (out, dense_bytes)
    }

    fn encode_numbers(&self, out: &mut Vec<u8>) {
        let rows = self.numbers.iter();
        put_u32s(rows.clone().map(|row| row.space), out);
        let mut last = 0;
        let differences = rows.clone().map(|row| {
            let timestamp = row.timestamp.as_micros();
            timestamp.wrapping_sub(std::mem::replace(&mut last, timestamp))
        });
        put_i64s(differences, out);
        put_u32s(rows.clone().map(|row| row.source), out);
        put_u32s(rows.clone().map(|row| row.correlation_id), out);
        let mut last = 0;
        let lens = rows.map(|row| row.payload_end - std::mem::replace(&mut last, row.payload_end));
        put_u32s(lens, out);
    }

    fn row(&self, index: usize) -> Option<Row<'_>> {
        let numbers = self.numbers.get(index)?;
        let before = index.checked_sub(1).map_or(Some(0), |before| {
            self.numbers.get(before).map(|numbers| numbers.payload_end)
        })?;
        let reference = |text: u32| text.checked_sub(1).map(TextId);
        Some(Row {
            event_id: *self.event_ids.get(index)?,
            event_type: *self.event_types.get(index)?,
            space: self.spaces.get(to_usize(numbers.space))?.id,
            timestamp: numbers.timestamp,
            source: reference(numbers.source),
            correlation_id: reference(numbers.correlation_id),
            space_index: numbers.space,
            rank: numbers.rank,
            payload: self.payloads.get(to_usize(before)..to_usize(numbers.payload_end))?,
        })
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

impl Numbers {
    const NONE: Self = Self {
        timestamp: Timestamp::MIN,
        space: 0,
        rank: 0,
        source: 0,
        correlation_id: 0,
        payload_end: 0,
    };
}

impl Row<'_> {
    /// Decodes the payload, with what `text` makes of its texts.
    pub(super) fn payload<S>(
        &self,
        text: impl FnMut(TextId) -> Result<S, Malformed>,
    ) -> Result<Payload<S>, CorruptRecords> {
        decode_payload(self.event_type, self.payload, text, |payload| payload, |cause| cause)
    }
}

/// Decodes a payload, with what `text` makes of its texts. It is large, so `finish` puts it where
/// it is wanted; `fail` makes the error what is wanted, for the same reason.
#[inline]
pub(super) fn decode_payload<S, R, E>(
    event_type: EventType,
    bytes: &[u8],
    mut text: impl FnMut(TextId) -> Result<S, Malformed>,
    finish: impl FnOnce(Payload<S>) -> R,
    fail: impl FnOnce(CorruptRecords) -> E,
) -> Result<R, E> {
    let mut decoder = DecoderImpl::new(SliceReader::new(bytes), codec(), ());
    let payload = Payload::decode_as(event_type, &mut decoder, &mut |decoder| {
        text(TextId(decode_u32(decoder)?))
    });
    match payload {
        Ok(payload) if decoder.reader().peek_read(1).is_none() => Ok(finish(payload)),
        Ok(_) => Err(fail(CorruptRecords::Malformed("bytes after a payload"))),
        Err(Malformed) => Err(fail(Unreadable::explain(event_type, bytes))),
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
