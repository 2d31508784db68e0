//! The columns of a body as bytes: read in order, each checked against what is known by then.

use super::{
    columns::{Columns, Numbers, RunSpace},
    rare::RareColumns,
    text::{TextId, TextTable, packed_bytes},
};
use crate::{
    bytes::to_usize, corrupt_records::CorruptRecords, event_id::EventId, limits::MAX_APPEND_EVENTS,
    payload::EventType, timestamp::Timestamp, varint::Lists,
};

/// A body as it is stored, its dense part perhaps in another place than the rest.
#[derive(Clone, Copy)]
pub(super) enum StoredBody<'a> {
    Whole(&'a [u8]),
    Parted { rest: &'a [u8], dense: &'a [u8] },
}

/// The columns of a body as they are stored, read one after the other.
pub(super) struct StoredColumns<'a> {
    lists: Lists<'a>,
    count: usize,
    /// The entries of the text table.
    entries: Vec<u32>,
    packed_texts: &'a [u8],
    event_ids: &'a [u8],
}

impl<'a> StoredColumns<'a> {
    pub(super) fn open(body: StoredBody<'a>, count: usize) -> Result<Self, CorruptRecords> {
        if count == 0 || count > MAX_APPEND_EVENTS {
            return Err(CorruptRecords::Malformed("a run whose count of records is out of range"));
        }
        let (StoredBody::Whole(rest) | StoredBody::Parted { rest, .. }) = body;
        let mut lists = Lists(rest);
        let len = lists.len()?;
        let mut entries = Vec::with_capacity(len);
        lists.u32s(len, |entry| entries.push(entry))?;
        let packed_len = packed_bytes(&entries);
        let dense_len = packed_len + count * EventId::LEN;
        let dense = match body {
            StoredBody::Whole(_) => {
                let len = lists.0.len().checked_sub(dense_len).ok_or(OTHER_LENGTH)?;
                let (rest, dense) = lists.0.split_at(len);
                lists = Lists(rest);
                dense
            }
            StoredBody::Parted { dense, .. } if dense.len() == dense_len => dense,
            StoredBody::Parted { .. } => return Err(OTHER_LENGTH),
        };
        let (packed_texts, event_ids) = dense.split_at(packed_len);
        Ok(Self { lists, count, entries, packed_texts, event_ids })
    }

    /// The length of the dense part.
    pub(super) fn dense_bytes(&self) -> usize {
        self.packed_texts.len() + self.event_ids.len()
    }

    pub(super) fn close(self) -> Result<(), CorruptRecords> {
        if self.lists.0.is_empty() {
            Ok(())
        } else {
            Err(CorruptRecords::Malformed("bytes after the last column"))
        }
    }

    pub(super) fn texts(&mut self) -> Result<TextTable, CorruptRecords> {
        TextTable::decode(&self.entries, self.lists.bytes()?, self.packed_texts)
    }

    /// The spaces, how many records they have not yet known.
    pub(super) fn spaces(&mut self, texts: usize) -> Result<Vec<RunSpace>, CorruptRecords> {
        let count = self.lists.len()?;
        if count > self.count {
            return Err(CorruptRecords::Malformed("a space without a record"));
        }
        let mut spaces = Vec::with_capacity(count);
        self.lists.u32s(count, |id| spaces.push(RunSpace { id: TextId(id), records: 0 }))?;
        let mut listed = vec![false; texts];
        for space in &spaces {
            let slot = listed.get_mut(to_usize(space.id.0));
            let slot = slot.ok_or(CorruptRecords::Malformed("a text that is not in the table"))?;
            if std::mem::replace(slot, true) {
                return Err(CorruptRecords::Malformed("a space that is listed twice"));
            }
        }
        Ok(spaces)
    }

    pub(super) fn event_ids(&self) -> Vec<EventId> {
        decode_ids(self.event_ids)
    }

    /// What stands for the types and versions of the records.
    pub(super) fn codes(&mut self) -> Result<&'a [u8], CorruptRecords> {
        let codes = self.lists.bytes()?;
        if codes.len() == self.count { Ok(codes) } else { Err(OTHER_LENGTH) }
    }

    /// Reads the space of each record, and counts the records of each space.
    pub(super) fn space_of(&mut self, columns: &mut Columns) -> Result<(), CorruptRecords> {
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
            return Err(CorruptRecords::Malformed("a record of a space that is not in the run"));
        }
        if spaces.iter().any(|space| space.records == 0) {
            return Err(CorruptRecords::Malformed("a space without a record"));
        }
        Ok(())
    }

    pub(super) fn timestamps(&mut self, numbers: &mut [Numbers]) -> Result<(), CorruptRecords> {
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
        if out_of_range {
            Err(CorruptRecords::Malformed("a timestamp out of range"))
        } else {
            Ok(())
        }
    }

    /// Reads the sources and the correlation ids.
    pub(super) fn references(
        &mut self,
        numbers: &mut [Numbers],
        texts: usize,
    ) -> Result<(), CorruptRecords> {
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
            return Err(CorruptRecords::Malformed("a text that is not in the table"));
        }
        Ok(())
    }

    /// Reads the lengths of the payloads, then these themselves.
    pub(super) fn payloads(&mut self, numbers: &mut [Numbers]) -> Result<&'a [u8], CorruptRecords> {
        let mut end = Some(0_u32);
        self.numbers(numbers, |row, len| {
            end = end.and_then(|end| end.checked_add(len));
            row.payload_end = end.unwrap_or(u32::MAX);
        })?;
        let end = end.ok_or(CorruptRecords::Malformed("payloads beyond 4 GiB"))?;
        let payloads = self.lists.bytes()?;
        if payloads.len() == to_usize(end) {
            Ok(payloads)
        } else {
            Err(CorruptRecords::Malformed("payloads of another length"))
        }
    }

    /// Passes over all that is before what few events have: how many texts there are, and what stands
    /// for the types and versions of the records.
    pub(super) fn skip_to_rare(&mut self) -> Result<(usize, &'a [u8]), CorruptRecords> {
        self.lists.bytes()?;
        let spaces = self.lists.len()?;
        self.lists.u32s(spaces, |_| {})?;
        let codes = self.codes()?;
        self.skip_numbers()?;
        self.list_of_records()?;
        self.lists.i64s(self.count, |_| {})?;
        for _ in 0..NUMBERS_BEHIND_TIMES {
            self.skip_numbers()?;
        }
        self.lists.bytes()?;
        Ok((self.entries.len(), codes))
    }

    fn skip_numbers(&mut self) -> Result<(), CorruptRecords> {
        self.list_of_records()?;
        Ok(self.lists.u32s(self.count, |_| {})?)
    }

    /// Reads what few events have, if any of these has it: what is behind all else.
    pub(super) fn rare(
        &mut self,
        event_types: &[EventType],
        texts: usize,
    ) -> Result<Option<RareColumns>, CorruptRecords> {
        if self.lists.0.is_empty() {
            return if event_types.contains(&EventType::Application) {
                Err(CorruptRecords::Malformed("an event of an application without a name"))
            } else {
                Ok(None)
            };
        }
        RareColumns::decode(&mut self.lists, event_types, texts).map(Some)
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

    fn list_of_records(&mut self) -> Result<(), CorruptRecords> {
        if self.lists.len()? == self.count { Ok(()) } else { Err(OTHER_LENGTH) }
    }
}

/// Sources, correlation ids, lengths of payloads.
const NUMBERS_BEHIND_TIMES: usize = 3;

const OTHER_LENGTH: CorruptRecords = CorruptRecords::Malformed("columns of different lengths");

/// The id of each record, from the dense part of a body.
pub(super) fn event_ids_of_dense(
    dense: &[u8],
    count: usize,
) -> Result<Vec<EventId>, CorruptRecords> {
    let start = dense.len().checked_sub(count * EventId::LEN).ok_or(OTHER_LENGTH)?;
    Ok(decode_ids(dense.get(start..).unwrap_or_default()))
}

fn decode_ids(bytes: &[u8]) -> Vec<EventId> {
    let (ids, _) = bytes.as_chunks::<{ EventId::LEN }>();
    ids.iter().map(|id| EventId::from_bytes(*id)).collect()
}
