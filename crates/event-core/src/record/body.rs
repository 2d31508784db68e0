//! The body of a run as bytes: columns of fixed meaning, then the payloads.

use bincode::{BorrowDecode, Encode};

use super::{codec, corrupt::CorruptRecords};
use crate::limits::MAX_APPEND_EVENTS;

/// The columns of a body, one entry a record unless said otherwise.
#[derive(Encode, BorrowDecode)]
pub(super) struct Columns<'a> {
    /// The text table: `stored length << 2 | kind` of each text.
    pub(super) text_entries: Vec<u32>,
    /// The text table: the stored bytes.
    pub(super) text_bytes: &'a [u8],
    /// The distinct spaces of the run, as texts.
    pub(super) spaces: Vec<u32>,
    /// Ids, 16 bytes each.
    pub(super) event_ids: &'a [u8],
    /// Codes of the event types.
    pub(super) event_types: &'a [u8],
    /// Which of `spaces`.
    pub(super) space_of: Vec<u32>,
    /// Timestamps: µs since 1970 of the first, then differences to the one before.
    pub(super) timestamps: Vec<i64>,
    /// Source: 0 for none, else a text plus 1.
    pub(super) sources: Vec<u32>,
    /// Correlation id: 0 for none, else a text plus 1.
    pub(super) correlation_ids: Vec<u32>,
    /// Lengths of the payloads.
    pub(super) payload_lens: Vec<u32>,
    /// The payloads.
    pub(super) payloads: &'a [u8],
}

impl Columns<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        bincode::encode_to_vec(self, codec()).expect("columns encode into memory without an error")
    }

    /// Decodes a body of `count` records and checks that every column has as many.
    pub(super) fn decode(body: &[u8], count: usize) -> Result<Columns<'_>, CorruptRecords> {
        if count == 0 || count > MAX_APPEND_EVENTS {
            return Err(CorruptRecords("a run whose count of records is out of range"));
        }
        let (columns, used): (Columns<'_>, usize) =
            bincode::borrow_decode_from_slice(body, codec())
                .map_err(|_| CorruptRecords("columns that do not decode"))?;
        if used != body.len() {
            return Err(CorruptRecords("bytes after the last column"));
        }
        let lens = [
            columns.event_types.len(),
            columns.space_of.len(),
            columns.timestamps.len(),
            columns.sources.len(),
            columns.correlation_ids.len(),
            columns.payload_lens.len(),
        ];
        if lens.iter().any(|len| *len != count)
            || columns.event_ids.len() != count * crate::EventId::LEN
        {
            return Err(CorruptRecords("columns of different lengths"));
        }
        Ok(columns)
    }
}
