//! The columns of a body, unpacked, and as bytes.

use super::{
    rare::{RareColumns, RareFields},
    text::{TextId, TextTableBuilder},
};
use crate::{
    event_id::EventId,
    payload::EventType,
    timestamp::Timestamp,
    varint::{put_bytes, put_i64s, put_len, put_u32s},
};

/// What a record takes at the most in the columns of numbers: space, timestamp, source,
/// correlation id, length of the payload.
const MAX_NUMBERS_BYTES: usize = 5 + 9 + 5 + 5 + 5;

/// All of a body but its texts.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// The distinct spaces in order of appearance.
    pub(super) spaces: Vec<RunSpace>,
    pub(super) event_ids: Vec<EventId>,
    pub(super) event_types: Vec<EventType>,
    pub(super) numbers: Vec<Numbers>,
    pub(super) payloads: Vec<u8>,
    /// What few events have; `None` where no record has any of it.
    pub(super) rare: Option<Box<RareColumns>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RunSpace {
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

impl Columns {
    /// Columns with room for this many records.
    pub(super) fn with_capacity(records: usize) -> Self {
        Self {
            spaces: Vec::new(),
            event_ids: Vec::with_capacity(records),
            event_types: Vec::with_capacity(records),
            numbers: Vec::with_capacity(records),
            payloads: Vec::with_capacity(records * 12),
            rare: None,
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
            + 11 * 9
            + self.rare.as_ref().map_or(0, |rare| rare.encoded_bytes(self.numbers.len()));
        let mut out = Vec::with_capacity(most);
        put_u32s(texts.entries().iter().copied(), &mut out);
        put_len(texts.raw_bytes(), &mut out);
        texts.put_raw(&mut out);
        put_u32s(self.spaces.iter().map(|space| space.id.0), &mut out);
        put_len(codes.len(), &mut out);
        out.extend(codes);
        self.encode_numbers(&mut out);
        put_bytes(&self.payloads, &mut out);
        if let Some(rare) = &self.rare {
            rare.encode(self.event_ids.len(), &mut out);
        }
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

    /// What the record at `index` has of what few have.
    #[inline]
    pub(super) fn rare(&self, index: usize) -> RareFields<'_> {
        match &self.rare {
            None => RareFields::default(),
            Some(rare) => rare.at(index),
        }
    }

    /// The bytes of the payload of a record with these numbers.
    pub(super) fn payload(&self, index: usize, numbers: &Numbers) -> Option<&[u8]> {
        let before = index.checked_sub(1).map_or(Some(0), |before| {
            self.numbers.get(before).map(|numbers| numbers.payload_end)
        })?;
        self.payloads.get(to_usize(before)..to_usize(numbers.payload_end))
    }
}

impl Numbers {
    pub(super) const NONE: Self = Self {
        timestamp: Timestamp::MIN,
        space: 0,
        rank: 0,
        source: 0,
        correlation_id: 0,
        payload_end: 0,
    };
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
