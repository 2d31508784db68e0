//! The body of a run: its columns as bytes, and unpacked.

use bincode::de::{
    Decoder, DecoderImpl,
    read::{Reader, SliceReader},
};

use super::{
    codec,
    corrupt::CorruptRecords,
    text::{TextId, TextTable, TextTableBuilder},
};
use crate::{
    EventId, EventType, Payload, Timestamp,
    limits::MAX_APPEND_EVENTS,
    varint::{Lists, Malformed, decode_u32, put_bytes, put_i64s, put_len, put_u32s},
};

/// What a record takes at the most in the columns of numbers: space, timestamp, source,
/// correlation id, length of the payload.
const MAX_NUMBERS_BYTES: usize = 5 + 9 + 5 + 5 + 5;

/// The body of a run, unpacked. It knows nothing of positions.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) texts: TextTable,
    pub(super) columns: Columns,
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
    /// table.
    pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Self, CorruptRecords> {
        let mut stored = StoredColumns::open(bytes, count)?;
        let texts = stored.texts()?;
        let spaces = stored.spaces(texts.len())?;
        let event_ids = decode_ids(stored.event_ids()?);
        let event_types = decode_types(stored.event_types()?)?;
        let numbers = vec![Numbers::NONE; count];
        let mut columns = Columns { spaces, event_ids, event_types, numbers, payloads: Vec::new() };
        stored.space_of(&mut columns)?;
        stored.timestamps(&mut columns.numbers)?;
        stored.references(&mut columns.numbers, texts.len())?;
        columns.payloads = stored.payloads(&mut columns.numbers)?.to_vec();
        stored.close()?;
        Ok(Self { texts, columns })
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

    /// The body as bytes, with these texts.
    pub(super) fn encode(&self, texts: &TextTableBuilder) -> Vec<u8> {
        let fixed = EventId::LEN + 1 + MAX_NUMBERS_BYTES;
        let most = texts.stored_bytes()
            + (texts.entries().len() + self.spaces.len()) * 5
            + self.numbers.len() * fixed
            + self.payloads.len()
            + 11 * 9;
        let mut out = Vec::with_capacity(most);
        put_u32s(texts.entries().iter().copied(), &mut out);
        put_len(texts.stored_bytes(), &mut out);
        texts.pack_into(&mut out);
        put_u32s(self.spaces.iter().map(|space| space.id.0), &mut out);
        put_len(self.event_ids.len() * EventId::LEN, &mut out);
        self.event_ids.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
        put_len(self.event_types.len(), &mut out);
        out.extend(self.event_types.iter().map(|event_type| event_type.code()));
        self.encode_numbers(&mut out);
        put_bytes(&self.payloads, &mut out);
        out
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
        text: impl FnMut(TextId) -> Result<S, CorruptRecords>,
    ) -> Result<Payload<S>, CorruptRecords> {
        decode_payload(self.event_type, self.payload, text, |payload| payload)
    }
}

/// Decodes a payload, with what `text` makes of its texts. It is large, so `finish` puts it where
/// it is wanted.
#[inline]
pub(super) fn decode_payload<S, R>(
    event_type: EventType,
    bytes: &[u8],
    mut text: impl FnMut(TextId) -> Result<S, CorruptRecords>,
    finish: impl FnOnce(Payload<S>) -> R,
) -> Result<R, CorruptRecords> {
    let mut decoder = DecoderImpl::new(SliceReader::new(bytes), codec(), ());
    let payload = Payload::decode_as(event_type, &mut decoder, &mut |decoder| {
        text(TextId(decode_u32(decoder)?)).map_err(|_| Malformed)
    });
    match payload {
        Ok(payload) if decoder.reader().peek_read(1).is_none() => Ok(finish(payload)),
        Ok(_) => Err(CorruptRecords("bytes after a payload")),
        Err(Malformed) => Err(CorruptRecords("a payload that does not decode")),
    }
}

/// The columns of a body as they are stored, read one after the other.
struct StoredColumns<'a> {
    lists: Lists<'a>,
    count: usize,
}

impl<'a> StoredColumns<'a> {
    fn open(body: &'a [u8], count: usize) -> Result<Self, CorruptRecords> {
        if count == 0 || count > MAX_APPEND_EVENTS {
            return Err(CorruptRecords("a run whose count of records is out of range"));
        }
        Ok(Self { lists: Lists(body), count })
    }

    fn close(self) -> Result<(), CorruptRecords> {
        if self.lists.0.is_empty() {
            Ok(())
        } else {
            Err(CorruptRecords("bytes after the last column"))
        }
    }

    fn texts(&mut self) -> Result<TextTable, CorruptRecords> {
        let count = self.lists.len()?;
        let mut entries = Vec::with_capacity(count);
        self.lists.u32s(count, |entry| entries.push(entry))?;
        TextTable::decode(&entries, self.lists.bytes()?)
    }

    /// The spaces, how many records they have not yet known.
    fn spaces(&mut self, texts: usize) -> Result<Vec<Space>, CorruptRecords> {
        let count = self.lists.len()?;
        if count > self.count {
            return Err(CorruptRecords("a space without a record"));
        }
        let mut spaces = Vec::with_capacity(count);
        self.lists.u32s(count, |id| spaces.push(Space { id: TextId(id), records: 0 }))?;
        let mut listed = vec![false; texts];
        for space in &spaces {
            let slot = listed.get_mut(to_usize(space.id.0));
            let slot = slot.ok_or(CorruptRecords("a text that is not in the table"))?;
            if std::mem::replace(slot, true) {
                return Err(CorruptRecords("a space that is listed twice"));
            }
        }
        Ok(spaces)
    }

    fn event_ids(&mut self) -> Result<&'a [u8], CorruptRecords> {
        let bytes = self.lists.bytes()?;
        if bytes.len() == self.count * EventId::LEN { Ok(bytes) } else { Err(OTHER_LENGTH) }
    }

    fn event_types(&mut self) -> Result<&'a [u8], CorruptRecords> {
        let codes = self.lists.bytes()?;
        if codes.len() == self.count { Ok(codes) } else { Err(OTHER_LENGTH) }
    }

    /// Reads the space of each record, and counts the records of each space.
    fn space_of(&mut self, columns: &mut Columns) -> Result<(), CorruptRecords> {
        let Columns { spaces, numbers, .. } = columns;
        let mut unknown = false;
        self.numbers(numbers, |row, space| {
            row.space = space;
            match spaces.get_mut(to_usize(space)) {
                Some(space) => {
                    row.rank = space.records;
                    space.records += 1;
                }
                None => unknown = true,
            }
        })?;
        if unknown {
            return Err(CorruptRecords("a record of a space that is not in the run"));
        }
        if spaces.iter().any(|space| space.records == 0) {
            return Err(CorruptRecords("a space without a record"));
        }
        Ok(())
    }

    fn timestamps(&mut self, numbers: &mut [Numbers]) -> Result<(), CorruptRecords> {
        self.list_of_records()?;
        let mut rows = numbers.iter_mut();
        let mut last = 0_i64;
        let mut out_of_range = false;
        self.lists.i64s(self.count, |difference| {
            last = last.wrapping_add(difference);
            match (rows.next(), Timestamp::from_micros(last)) {
                (Some(row), Some(timestamp)) => row.timestamp = timestamp,
                _ => out_of_range = true,
            }
        })?;
        if out_of_range { Err(CorruptRecords("a timestamp out of range")) } else { Ok(()) }
    }

    /// Reads the sources and the correlation ids.
    fn references(&mut self, numbers: &mut [Numbers], texts: usize) -> Result<(), CorruptRecords> {
        let mut greatest = 0;
        self.numbers(numbers, |row, text| {
            row.source = text;
            greatest = greatest.max(text);
        })?;
        self.numbers(numbers, |row, text| {
            row.correlation_id = text;
            greatest = greatest.max(text);
        })?;
        if to_usize(greatest) > texts {
            return Err(CorruptRecords("a text that is not in the table"));
        }
        Ok(())
    }

    /// Reads the lengths of the payloads, then these themselves.
    fn payloads(&mut self, numbers: &mut [Numbers]) -> Result<&'a [u8], CorruptRecords> {
        let mut end = Some(0_u32);
        self.numbers(numbers, |row, len| {
            end = end.and_then(|end| end.checked_add(len));
            row.payload_end = end.unwrap_or(u32::MAX);
        })?;
        let end = end.ok_or(CorruptRecords("payloads beyond 4 GiB"))?;
        let payloads = self.lists.bytes()?;
        if payloads.len() == to_usize(end) {
            Ok(payloads)
        } else {
            Err(CorruptRecords("payloads of another length"))
        }
    }

    /// Reads a list of one number a record.
    fn numbers(
        &mut self,
        numbers: &mut [Numbers],
        mut set: impl FnMut(&mut Numbers, u32),
    ) -> Result<(), CorruptRecords> {
        self.list_of_records()?;
        let mut rows = numbers.iter_mut();
        self.lists.u32s(self.count, |number| {
            if let Some(row) = rows.next() {
                set(row, number);
            }
        })?;
        Ok(())
    }

    /// Passes a list of any length.
    fn skip_list(&mut self) -> Result<(), CorruptRecords> {
        let count = self.lists.len()?;
        Ok(self.lists.u32s(count, |_| ())?)
    }

    /// Passes a list of one number a record.
    fn skip_numbers(&mut self) -> Result<(), CorruptRecords> {
        self.list_of_records()?;
        Ok(self.lists.u32s(self.count, |_| ())?)
    }

    fn list_of_records(&mut self) -> Result<(), CorruptRecords> {
        if self.lists.len()? == self.count { Ok(()) } else { Err(OTHER_LENGTH) }
    }
}

const OTHER_LENGTH: CorruptRecords = CorruptRecords("columns of different lengths");

/// The id of each record of a body, without unpacking the rest.
pub(super) fn decode_event_ids(body: &[u8], count: usize) -> Result<Vec<EventId>, CorruptRecords> {
    let mut stored = StoredColumns::open(body, count)?;
    stored.skip_list()?;
    stored.lists.bytes()?;
    stored.skip_list()?;
    let ids = stored.event_ids()?;
    stored.event_types()?;
    stored.skip_numbers()?;
    stored.list_of_records()?;
    stored.lists.i64s(count, |_| ())?;
    stored.skip_numbers()?;
    stored.skip_numbers()?;
    stored.skip_numbers()?;
    stored.lists.bytes()?;
    stored.close()?;
    Ok(decode_ids(ids))
}

fn decode_ids(bytes: &[u8]) -> Vec<EventId> {
    let (ids, _) = bytes.as_chunks::<{ EventId::LEN }>();
    ids.iter().map(|id| EventId::from_bytes(*id)).collect()
}

fn decode_types(codes: &[u8]) -> Result<Vec<EventType>, CorruptRecords> {
    let event_type =
        |code: &u8| EventType::from_code(*code).ok_or(CorruptRecords("an unknown event type"));
    codes.iter().map(event_type).collect()
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
