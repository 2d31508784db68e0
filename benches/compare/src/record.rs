//! How the rivals store an event: one record of its own, in bincode's native encoding.
//!
//! It holds what the caller gives and the time of recording; the revision in the space, which
//! spacefold stores too, is left out, in the rivals' favour.

use anyhow::{Context, Result, bail};
use bincode::{BorrowDecode, Decode, Encode};
use spacefold_event_core::{Payload, RecordedEventRef, SpaceEvent, Timestamp, Value};

/// An event as a rival stores it.
#[derive(Encode, BorrowDecode)]
struct Record<'a> {
    event_id: [u8; 16],
    space_id: &'a str,
    timestamp: i64,
    recorded_at: i64,
    source: Option<&'a str>,
    correlation_id: Option<&'a str>,
    body: Body<'a>,
}

/// The payloads that the workload has.
#[derive(Encode, BorrowDecode)]
enum Body<'a> {
    DocumentAdded { document_id: &'a str, space_path: &'a str },
    ContentChanged { document_id: &'a str, old_hash: Option<&'a str>, new_hash: &'a str },
    VariableSet { name: &'a str, value: &'a str },
    RenderCompleted { document_id: Option<&'a str>, output_hash: Option<&'a str> },
}

/// A rival's record with texts of its own, as most programs decode it.
#[derive(Decode)]
pub(crate) struct OwnedRecord {
    pub(crate) event_id: [u8; 16],
    pub(crate) space_id: String,
    pub(crate) timestamp: i64,
    pub(crate) recorded_at: i64,
    pub(crate) source: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) body: OwnedBody,
}

/// The payloads that the workload has, with texts of their own.
#[derive(Decode)]
pub(crate) enum OwnedBody {
    DocumentAdded { document_id: String, space_path: String },
    ContentChanged { document_id: String, old_hash: Option<String>, new_hash: String },
    VariableSet { name: String, value: String },
    RenderCompleted { document_id: Option<String>, output_hash: Option<String> },
}

impl OwnedRecord {
    /// A record from its bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let (record, _) = bincode::decode_from_slice(bytes, bincode::config::standard())
            .context("a record that does not decode")?;
        Ok(record)
    }
}

/// Encoded records of one append, one behind the other.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// Drops the records and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Encodes events behind the records that are there.
    pub(crate) fn encode(&mut self, events: &[SpaceEvent]) -> Result<()> {
        let recorded_at = Timestamp::now().as_micros();
        for event in events {
            let record = Record::new(event, recorded_at)?;
            bincode::encode_into_std_write(record, &mut self.bytes, bincode::config::standard())?;
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    /// Adds the records of another batch.
    pub(crate) fn extend(&mut self, other: &Self) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| start + end));
    }

    /// The records.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }

    /// The number of records.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all records.
    pub(crate) fn total_bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> Record<'a> {
    fn new(event: &'a SpaceEvent, recorded_at: i64) -> Result<Self> {
        let body = match &event.payload {
            Payload::DocumentAdded { document_id, space_path, .. } => {
                Body::DocumentAdded { document_id, space_path }
            }
            Payload::DocumentContentChanged { document_id, old_hash, new_hash, .. } => {
                Body::ContentChanged { document_id, old_hash: old_hash.as_deref(), new_hash }
            }
            Payload::VariableSet { name, value: Value::String(value), .. } => {
                Body::VariableSet { name, value }
            }
            Payload::RenderCompleted { document_id, output_hash, .. } => Body::RenderCompleted {
                document_id: document_id.as_deref(),
                output_hash: output_hash.as_deref(),
            },
            other => bail!("the workload has no {}", other.event_type().name()),
        };
        Ok(Self {
            event_id: *event.event_id.as_bytes(),
            space_id: &event.space_id,
            timestamp: event.timestamp.as_micros(),
            recorded_at,
            source: event.source.as_deref(),
            correlation_id: event.correlation_id.as_deref(),
            body,
        })
    }
}

/// What a replay makes of the events: the same for every subject that holds the same events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Digest {
    /// How many events were decoded.
    pub(crate) events: u64,
    /// The sum of a number of each, whatever their order.
    pub(crate) sum: u64,
}

impl Digest {
    /// Adds a rival's record.
    pub(crate) fn add_record(&mut self, bytes: &[u8]) -> Result<()> {
        let (record, _): (Record<'_>, usize) =
            bincode::borrow_decode_from_slice(bytes, bincode::config::standard())
                .context("a record that does not decode")?;
        let body = match &record.body {
            Body::DocumentAdded { document_id, space_path } => weigh(document_id, space_path),
            Body::ContentChanged { document_id, new_hash, .. } => weigh(document_id, new_hash),
            Body::VariableSet { name, value } => weigh(name, value),
            Body::RenderCompleted { document_id, output_hash } => {
                weigh(document_id.unwrap_or(""), output_hash.unwrap_or(""))
            }
        };
        let micros = record.timestamp;
        self.add(&record.event_id, record.space_id, micros, record.correlation_id, body);
        std::hint::black_box(&record);
        Ok(())
    }

    /// Adds an event of spacefold's.
    pub(crate) fn add_event(&mut self, event: &RecordedEventRef<'_>) -> Result<()> {
        let body = match &event.payload {
            Payload::DocumentAdded { document_id, space_path, .. } => {
                weigh(document_id, space_path)
            }
            Payload::DocumentContentChanged { document_id, new_hash, .. } => {
                weigh(document_id, new_hash)
            }
            Payload::VariableSet { name, value: Value::String(value), .. } => weigh(name, value),
            Payload::RenderCompleted { document_id, output_hash, .. } => {
                weigh(document_id.as_deref().unwrap_or(""), output_hash.as_deref().unwrap_or(""))
            }
            other => bail!("the workload has no {}", other.event_type().name()),
        };
        let micros = event.timestamp.as_micros();
        self.add(event.event_id.as_bytes(), event.space_id, micros, event.correlation_id, body);
        std::hint::black_box(event);
        Ok(())
    }

    /// Adds what another thread found.
    pub(crate) fn merge(&mut self, other: Self) {
        self.events += other.events;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    fn add(
        &mut self,
        id: &[u8; 16],
        space_id: &str,
        micros: i64,
        correlation: Option<&str>,
        body: u64,
    ) {
        let (high, _) = id.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let texts = weigh(space_id, correlation.unwrap_or(""));
        let number = u64::from_be_bytes(*high) ^ micros.unsigned_abs();
        self.events += 1;
        self.sum =
            self.sum.wrapping_add(number.wrapping_mul(31).wrapping_add(texts ^ (body << 16)));
    }
}

/// Touches both ends of two texts.
fn weigh(a: &str, b: &str) -> u64 {
    let ends = |text: &str| {
        let byte = |byte: Option<&u8>| u64::from(byte.copied().unwrap_or(0));
        byte(text.as_bytes().first()) * 256 + byte(text.as_bytes().last())
    };
    let lens = u64::try_from(a.len() * 1024 + b.len()).unwrap_or(0);
    ends(a).wrapping_mul(131).wrapping_add(ends(b)) ^ (lens << 32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use spacefold_event_core::{
        AppendRequest, LogReader, LogWriter, MemoryLog, Position, ReadRequest,
    };

    use super::{Batch, Digest};
    use crate::workload::Workload;

    /// The digest of so many events, as a rival keeps them and as spacefold's logs do.
    fn digests(seed: u64, count: usize) -> (Digest, Digest) {
        let mut workload = Workload::with_ready(seed, 10, 500);
        let events = workload.take(count);
        let mut batch = Batch::default();
        batch.encode(events).unwrap();
        let mut rival = Digest::default();
        batch.records().for_each(|record| rival.add_record(record).unwrap());
        let log = MemoryLog::new();
        log.append(&AppendRequest::new(events)).unwrap();
        let page = log.read(&ReadRequest::from(Position::new(1))).unwrap();
        let mut own = Digest::default();
        page.events().for_each(|event| own.add_event(&event.unwrap()).unwrap());
        (rival, own)
    }

    #[test]
    fn a_rival_and_spacefold_give_one_digest_for_the_same_events() {
        let (rival, own) = digests(1, 500);
        assert_eq!(rival, own);
        assert_eq!(rival.events, 500);
    }

    #[test]
    fn other_events_and_missing_ones_give_another_digest() {
        let (whole, _) = digests(1, 500);
        assert_ne!(digests(2, 500).0.sum, whole.sum);
        assert_ne!(digests(1, 499).0.sum, whole.sum);
    }
}
