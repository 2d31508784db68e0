//! Encoding a run: from the caller's events, or from records of other runs.

use rustc_hash::FxHashMap;

use super::{
    body::Columns,
    codec,
    corrupt::CorruptRecords,
    records::{Body, Records},
    text::{TextId, TextTableBuilder},
};
use crate::{EventId, EventType, Payload, SpaceEvent, Timestamp};

/// What an event takes beside its texts and its payload: id, type, timestamp.
const EVENT_FIXED_BYTES: usize = EventId::LEN + 1 + 8;
/// What a text takes beside its bytes, at the most.
const TEXT_FIXED_BYTES: usize = 5;

/// Encodes a run of records. Texts are borrowed until [`RecordsBuilder::finish`].
#[derive(Default)]
pub struct RecordsBuilder<'t> {
    texts: TextTableBuilder<'t>,
    spaces: Vec<u32>,
    space_index: FxHashMap<u32, u32>,
    event_ids: Vec<u8>,
    event_types: Vec<u8>,
    space_of: Vec<u32>,
    timestamps: Vec<i64>,
    last_timestamp: i64,
    sources: Vec<u32>,
    correlation_ids: Vec<u32>,
    payload_lens: Vec<u32>,
    payloads: Vec<u8>,
}

/// The encoded body of a run.
#[derive(Clone, Debug)]
pub struct EncodedBody {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The number of records.
    pub count: usize,
}

/// Copies records of one run into another, looking each of its texts up once.
pub(super) struct TextCopier<'t> {
    source: &'t Body,
    copied: Vec<Option<TextId>>,
}

struct Encoded {
    event_id: EventId,
    event_type: EventType,
    space: TextId,
    timestamp: Timestamp,
    source: Option<TextId>,
    correlation_id: Option<TextId>,
    payload: Payload<TextId>,
}

impl<'t> RecordsBuilder<'t> {
    /// An empty run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of records so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.event_types.len()
    }

    /// About how many bytes the body has so far.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.texts.bytes.len() + self.payloads.len() + self.count() * (EVENT_FIXED_BYTES + 8)
    }

    /// Adds an event and answers its encoded length: what the limits on events and appends count.
    /// Every occurrence of a text counts, so that the length depends on the event alone.
    pub fn push(&mut self, event: &'t SpaceEvent) -> usize {
        let mut text_bytes = 0;
        let mut intern = |text: &'t str| {
            let (id, stored) = self.texts.intern(text);
            text_bytes += stored + TEXT_FIXED_BYTES;
            id
        };
        let space = intern(&event.space_id);
        let source = event.source.as_deref().map(&mut intern);
        let correlation_id = event.correlation_id.as_deref().map(&mut intern);
        let payload = event.payload.try_map_text(&mut |text: &'t String| {
            Ok::<TextId, std::convert::Infallible>(intern(text))
        });
        let payload = match payload {
            Ok(payload) => payload,
            Err(never) => match never {},
        };
        let payload_bytes = self.push_encoded(&Encoded {
            event_id: event.event_id,
            event_type: event.payload.event_type(),
            space,
            timestamp: event.timestamp,
            source,
            correlation_id,
            payload,
        });
        EVENT_FIXED_BYTES + text_bytes + payload_bytes
    }

    /// Adds records of another run, those at `indexes`.
    ///
    /// # Errors
    /// [`CorruptRecords`] when one of them does not decode; those before it are added.
    pub fn extend_from(
        &mut self,
        records: &'t Records,
        indexes: impl IntoIterator<Item = usize>,
    ) -> Result<(), CorruptRecords> {
        let mut copier = TextCopier::new(records.body());
        indexes.into_iter().try_for_each(|index| {
            let encoded = copier.copy(index, &mut self.texts)?;
            self.push_encoded(&encoded);
            Ok(())
        })
    }

    /// The run as bytes.
    #[must_use]
    pub fn finish(self) -> EncodedBody {
        EncodedBody { count: self.count(), bytes: self.columns().encode() }
    }

    /// The run as bytes, and as the records that [`Records::decode_unassigned`] reads in them,
    /// at less cost.
    ///
    /// # Errors
    /// [`CorruptRecords`] when there is no record.
    pub fn finish_with_records(mut self) -> Result<(EncodedBody, Records), CorruptRecords> {
        let texts = std::mem::take(&mut self.texts.unpacked);
        let columns = self.columns();
        let body = EncodedBody { count: self.count(), bytes: columns.encode() };
        let records = Records::of_columns(columns, texts)?;
        Ok((body, records))
    }

    fn columns(&self) -> Columns<'_> {
        Columns {
            text_entries: self.texts.entries.clone(),
            text_bytes: &self.texts.bytes,
            spaces: self.spaces.clone(),
            event_ids: &self.event_ids,
            event_types: &self.event_types,
            space_of: self.space_of.clone(),
            timestamps: self.timestamps.clone(),
            sources: self.sources.clone(),
            correlation_ids: self.correlation_ids.clone(),
            payload_lens: self.payload_lens.clone(),
            payloads: &self.payloads,
        }
    }

    /// Appends one row to every column and answers the length of its payload.
    fn push_encoded(&mut self, encoded: &Encoded) -> usize {
        let TextId(space) = encoded.space;
        let next_space = u32::try_from(self.spaces.len()).unwrap_or(u32::MAX);
        let space_index = *self.space_index.entry(space).or_insert(next_space);
        if space_index == next_space {
            self.spaces.push(space);
        }
        self.event_ids.extend_from_slice(encoded.event_id.as_bytes());
        self.event_types.push(encoded.event_type.code());
        self.space_of.push(space_index);
        let timestamp = encoded.timestamp.as_micros();
        self.timestamps.push(timestamp.wrapping_sub(self.last_timestamp));
        self.last_timestamp = timestamp;
        let reference = |text: Option<TextId>| text.map_or(0, |TextId(text)| text + 1);
        self.sources.push(reference(encoded.source));
        self.correlation_ids.push(reference(encoded.correlation_id));
        let payload_bytes = encode_payload(&encoded.payload, &mut self.payloads);
        self.payload_lens.push(u32::try_from(payload_bytes).unwrap_or(u32::MAX));
        payload_bytes
    }
}

impl<'t> TextCopier<'t> {
    fn new(source: &'t Body) -> Self {
        Self { source, copied: vec![None; source.texts.len()] }
    }

    fn copy(
        &mut self,
        index: usize,
        texts: &mut TextTableBuilder<'t>,
    ) -> Result<Encoded, CorruptRecords> {
        let row = self.source.row(index)?;
        let payload = row.payload()?;
        Ok(Encoded {
            event_id: row.event_id,
            event_type: row.event_type,
            space: self.text(row.space, texts)?,
            timestamp: row.timestamp,
            source: row.source.map(|text| self.text(text, texts)).transpose()?,
            correlation_id: row.correlation_id.map(|text| self.text(text, texts)).transpose()?,
            payload: payload.try_map_text(&mut |text| self.text(*text, texts))?,
        })
    }

    fn text(
        &mut self,
        text: TextId,
        texts: &mut TextTableBuilder<'t>,
    ) -> Result<TextId, CorruptRecords> {
        let borrowed = self.source.texts.get(text)?;
        let place = usize::try_from(text.0).unwrap_or(usize::MAX);
        match self.copied.get_mut(place) {
            Some(Some(copied)) => Ok(*copied),
            slot => {
                let (copied, _) = texts.intern(borrowed);
                if let Some(slot) = slot {
                    *slot = Some(copied);
                }
                Ok(copied)
            }
        }
    }
}

/// Appends the payload and answers its length.
fn encode_payload(payload: &Payload<TextId>, out: &mut Vec<u8>) -> usize {
    bincode::encode_into_std_write(payload, out, codec())
        .expect("a payload encodes into memory without an error")
}

impl SpaceEvent {
    /// Bytes the event takes when it is encoded on its own: what [`crate::MAX_EVENT_BYTES`] and
    /// [`crate::MAX_APPEND_BYTES`] count. In the log it takes fewer, since texts are shared.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        RecordsBuilder::new().push(self)
    }
}
