//! Encoding a run: from the caller's events, or from records of other runs.

use super::{
    body::Body,
    columns::{Columns, Numbers, RunSpace},
    payload_bytes::encode_payload,
    records::Records,
    schemas::Schemas,
    stored_columns::{StoredBody, StoredColumns},
    text::{TextId, TextTableBuilder},
};
use crate::{
    bytes::to_usize,
    corrupt_records::CorruptRecords,
    event::{EventFields, RecordedEventRef, SpaceEvent},
    event_id::EventId,
    origin::EventOrigin,
    payload::EventType,
    tags::Tags,
    timestamp::Timestamp,
    varint::Malformed,
};

/// What an event takes beside its texts and its payload: id, type, timestamp.
const EVENT_FIXED_BYTES: usize = EventId::LEN + 1 + 8;
/// What an origin takes.
const ORIGIN_BYTES: usize = 16 + 16 + 9;
/// What a text takes beside its bytes, at the most.
const TEXT_FIXED_BYTES: usize = 5;
/// About how many texts of an event no event before it has, and their bytes.
const NEW_TEXTS: usize = 3;
const NEW_TEXT_BYTES: usize = 160;

/// Of a text of another run: it is not in this one yet.
const NOT_COPIED: u32 = u32::MAX;

/// Encodes a run of records.
#[derive(Debug, Default)]
pub struct RecordsBuilder {
    texts: TextTableBuilder,
    /// Of each text that is a space, its place among the spaces plus 1; 0 for others. The texts
    /// behind the last space are not in it.
    space_places: Vec<u32>,
    columns: Columns,
    schemas: &'static Schemas,
}

/// The encoded body of a run.
///
/// Its last bytes are its dense part: ids and packed texts, most of which are random. Whoever
/// compresses a body leaves them as they are.
#[derive(Clone, Debug)]
pub struct EncodedBody {
    bytes: Vec<u8>,
    count: usize,
    dense_bytes: usize,
}

impl EncodedBody {
    /// The body of `count` records that `bytes` are.
    ///
    /// # Errors
    /// [`CorruptRecords`] when they cannot be one. What is in them is checked when it is decoded.
    pub fn from_bytes(bytes: Vec<u8>, count: usize) -> Result<Self, CorruptRecords> {
        let dense_bytes = StoredColumns::open(StoredBody::Whole(&bytes), count)?.dense_bytes();
        Ok(Self { bytes, count, dense_bytes })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of records.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The bytes without the dense part, and the dense part.
    #[must_use]
    pub fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.bytes.len() - self.dense_bytes)
    }

    pub(super) fn encode(
        columns: &Columns,
        texts: &TextTableBuilder,
        codes: impl ExactSizeIterator<Item = u8>,
    ) -> Self {
        let count = codes.len();
        let (bytes, dense_bytes) = columns.encode(texts, codes);
        Self { bytes, count, dense_bytes }
    }
}

/// All of a record but its payload, which is at the end of the payloads already.
struct Encoded<'a> {
    event_id: EventId,
    event_type: EventType,
    space: TextId,
    timestamp: Timestamp,
    source: Option<TextId>,
    correlation_id: Option<TextId>,
    rare: Rare,
    origin: Option<&'a EventOrigin>,
}

/// The texts that few events have: the name of a type of their own, and tags.
struct Rare {
    name: Option<TextId>,
    /// Allocates nothing where there are none.
    tags: Vec<u32>,
}

impl Rare {
    #[inline]
    fn of(name: Option<&str>, tags: Tags<'_>, mut intern: impl FnMut(&str) -> TextId) -> Self {
        Self { name: name.map(&mut intern), tags: tags.iter().map(|tag| intern(tag).0).collect() }
    }
}

impl RecordsBuilder {
    /// An empty run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty run with room for this many events.
    #[must_use]
    pub fn with_capacity(events: usize) -> Self {
        Self {
            texts: TextTableBuilder::with_capacity(events * NEW_TEXTS, events * NEW_TEXT_BYTES),
            space_places: Vec::new(),
            columns: Columns::with_capacity(events),
            schemas: Schemas::today(),
        }
    }

    /// The run as a program with these schemas writes it.
    #[must_use]
    pub const fn written_by(mut self, schemas: &'static Schemas) -> Self {
        self.schemas = schemas;
        self
    }

    /// The number of records so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.columns.event_types.len()
    }

    /// About how many bytes the body has so far.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        let per_record = EVENT_FIXED_BYTES + 8;
        self.texts.stored_bytes() + self.columns.payloads.len() + self.count() * per_record
    }

    /// Adds an event and answers its encoded length: what the limits on events and appends count.
    /// Every occurrence of a text counts, so that the length depends on the event alone.
    pub fn push(&mut self, event: &SpaceEvent) -> usize {
        self.push_fields(&event.fields())
    }

    /// Adds an event wherever its texts are, as [`RecordsBuilder::push`] does.
    pub(crate) fn push_fields<S: AsRef<str>>(&mut self, event: &EventFields<'_, S>) -> usize {
        let mut text_bytes = 0;
        let mut intern = |text: &str| {
            let (id, stored) = self.texts.intern(text);
            text_bytes += stored + TEXT_FIXED_BYTES;
            id
        };
        let space = intern(event.space_id);
        let source = event.source.map(&mut intern);
        let correlation_id = event.correlation_id.map(&mut intern);
        let rare = Rare::of(event.payload.own_type_name(), event.tags, &mut intern);
        let payload_bytes =
            encode_payload(event.payload, &mut self.columns.payloads, |text| intern(text.as_ref()));
        let origin_bytes = if event.origin.is_some() { ORIGIN_BYTES } else { 0 };
        self.push_encoded(&Encoded {
            event_id: event.event_id,
            event_type: event.payload.event_type(),
            space,
            timestamp: event.timestamp,
            source,
            correlation_id,
            rare,
            origin: event.origin,
        });
        EVENT_FIXED_BYTES + text_bytes + payload_bytes + origin_bytes
    }

    /// Adds an event that a log has recorded, without what the log decided about it.
    pub fn push_recorded(&mut self, event: &RecordedEventRef<'_>) {
        self.push_fields(&event.fields());
    }

    /// Adds records of another run, those at `indexes`. Payloads of earlier versions become those of
    /// this program's; to keep a run as it was recorded, keep its bytes.
    ///
    /// # Errors
    /// [`CorruptRecords`] when one of them does not decode; those before it are added.
    pub fn extend_from(
        &mut self,
        records: &Records,
        indexes: impl IntoIterator<Item = usize>,
    ) -> Result<(), CorruptRecords> {
        let source = records.body();
        let mut copied = vec![NOT_COPIED; source.texts.len()];
        indexes.into_iter().try_for_each(|index| self.copy(source, index, &mut copied))
    }

    /// Adds a record of another run. Each of that run's texts is looked up once.
    fn copy(
        &mut self,
        source: &Body,
        index: usize,
        copied: &mut [u32],
    ) -> Result<(), CorruptRecords> {
        let row = source
            .row(index)
            .ok_or(CorruptRecords::Malformed("a record that is not in the run"))?;
        let mut copy = |text: TextId| {
            let place = to_usize(text.0);
            match copied.get_mut(place) {
                Some(slot @ &mut NOT_COPIED) => {
                    let (new, _) = self.texts.intern(source.texts.get(text).ok_or(Malformed)?);
                    *slot = new.0;
                    Ok(new)
                }
                Some(known) => Ok(TextId(*known)),
                None => Err(Malformed),
            }
        };
        let own = source.columns.rare(index);
        let tags = own.tags.iter().map(|tag| Ok(copy(TextId(*tag))?.0));
        let tags = tags.collect::<Result<_, Malformed>>()?;
        let rare = Rare { name: own.name.map(&mut copy).transpose()?, tags };
        let encoded = Encoded {
            event_id: row.event_id,
            event_type: row.event_type,
            space: copy(row.space)?,
            timestamp: row.timestamp,
            source: row.source.map(&mut copy).transpose()?,
            correlation_id: row.correlation_id.map(&mut copy).transpose()?,
            rare,
            origin: own.origin,
        };
        let payload = row.payload(own.name, &mut copy)?;
        encode_payload(&payload, &mut self.columns.payloads, |text| *text);
        self.push_encoded(&encoded);
        Ok(())
    }

    /// The run as bytes.
    #[must_use]
    pub fn finish(self) -> EncodedBody {
        self.encode()
    }

    /// The run as bytes, and as the records that [`Records::decode_unassigned`] reads in them,
    /// at less cost.
    ///
    /// # Errors
    /// [`CorruptRecords`] when there is no record.
    pub fn finish_with_records(self) -> Result<(EncodedBody, Records), CorruptRecords> {
        if self.count() == 0 {
            return Err(CorruptRecords::Malformed("a run without a record"));
        }
        let body = self.encode();
        let unpacked =
            Body { texts: self.texts.into_texts(), columns: self.columns, are_current: true };
        Ok((body, Records::unassigned(unpacked)))
    }

    fn encode(&self) -> EncodedBody {
        let code = |event_type: &EventType| self.schemas.code(*event_type);
        let codes = self.columns.event_types.iter().map(code);
        EncodedBody::encode(&self.columns, &self.texts, codes)
    }

    /// Appends one row to every column; its payload is there already.
    fn push_encoded(&mut self, encoded: &Encoded<'_>) {
        let reference = |text: Option<TextId>| text.map_or(0, |TextId(text)| text + 1);
        let (space, rank) = self.count_in(encoded.space);
        let columns = &mut self.columns;
        let Rare { name, tags } = &encoded.rare;
        if name.is_some() || !tags.is_empty() || encoded.origin.is_some() {
            let rare = columns.rare.get_or_insert_default();
            rare.set(columns.event_ids.len(), *name, tags, encoded.origin);
        }
        columns.event_ids.push(encoded.event_id);
        columns.event_types.push(encoded.event_type);
        columns.numbers.push(Numbers {
            timestamp: encoded.timestamp,
            space,
            rank,
            source: reference(encoded.source),
            correlation_id: reference(encoded.correlation_id),
            payload_end: u32::try_from(columns.payloads.len()).unwrap_or(u32::MAX),
        });
    }

    /// Counts a record of a space: the place of the space, and how many of it came before.
    fn count_in(&mut self, id: TextId) -> (u32, u32) {
        let text = to_usize(id.0);
        if text >= self.space_places.len() {
            self.space_places.resize(text + 1, 0);
        }
        let spaces = &mut self.columns.spaces;
        let next = u32::try_from(spaces.len()).unwrap_or(u32::MAX);
        let place = match self.space_places.get_mut(text) {
            Some(entry @ 0) => {
                *entry = next + 1;
                spaces.push(RunSpace { id, records: 0 });
                next
            }
            entry => entry.map_or(next, |entry| *entry - 1),
        };
        let space = spaces.get_mut(to_usize(place));
        let rank = space.map_or(0, |space| {
            space.records += 1;
            space.records - 1
        });
        (place, rank)
    }
}

impl SpaceEvent {
    /// Bytes the event takes when it is encoded on its own: what [`crate::MAX_EVENT_BYTES`] and
    /// [`crate::MAX_APPEND_BYTES`] count. In the log it takes fewer, since texts are shared.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        RecordsBuilder::new().push(self)
    }
}
