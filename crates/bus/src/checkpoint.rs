//! How far a durable subscription has come, as it is kept in the store.
//!
//! Under [`key`]: [`StoredCheckpoint`] in bincode's native encoding, then the BLAKE3 hash of that.

use bincode::{Decode, Encode};
use spacefold_event_core::{LogMark, LogReader, Position, ReadError, bytes::ByteReader};

use crate::{
    delivery::SubscribeError,
    places::Places,
    sealed::{seal, unseal},
    subscribed_filter::FilterDigest,
};

/// What the key of every checkpoint begins with.
pub(crate) const PREFIX: &[u8] = b"subscription/";

const SCHEMA_VERSION: u32 = 3;
/// Bytes of the result that is kept with a position.
pub(crate) const MAX_RESULT_BYTES: usize = 1 << 20;

/// A position that was acknowledged, in which log, and the result that was kept with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionCheckpoint {
    mark: LogMark,
    pub(crate) result: Vec<u8>,
    /// Of the filter that everything up to the position was looked at with; `None` when it was not
    /// noted.
    pub(crate) filter: Option<FilterDigest>,
}

#[derive(Encode, Decode)]
struct StoredCheckpoint {
    schema_version: u32,
    mark: Vec<u8>,
    result: Vec<u8>,
    filter: Option<FilterDigest>,
}

/// Where the checkpoint of a subscription is kept.
pub(crate) fn key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

/// The name in the key of a checkpoint.
pub(crate) fn name_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()
}

impl SubscriptionCheckpoint {
    /// The checkpoint at a position of a log.
    pub(crate) fn at(
        log: &dyn LogReader,
        position: Position,
        result: Vec<u8>,
        filter: Option<FilterDigest>,
    ) -> Result<Self, ReadError> {
        Ok(Self { mark: LogMark::at(log, position)?, result, filter })
    }

    /// The checkpoint that is kept of a subscription; `None` when there is none.
    pub(crate) fn load(places: &Places, name: &str) -> Result<Option<Self>, SubscribeError> {
        let unfit = || SubscribeError::Unfit { name: name.to_owned(), what: "it does not decode" };
        match places.get(&key(name))? {
            Some(bytes) => Self::decode(&bytes).ok_or_else(unfit).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn with_filter(self, filter: Option<FilterDigest>) -> Self {
        Self { filter, ..self }
    }

    pub(crate) const fn position(&self) -> Position {
        self.mark.position
    }

    /// Whether it was made on this log.
    pub(crate) fn fits(&self, log: &dyn LogReader) -> Result<bool, ReadError> {
        self.mark.fits(log)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut mark = Vec::new();
        self.mark.encode(&mut mark);
        let (result, filter) = (self.result.clone(), self.filter);
        seal(&StoredCheckpoint { schema_version: SCHEMA_VERSION, mark, result, filter })
    }

    /// The checkpoint from its bytes; `None` when they are damaged or of another version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let StoredCheckpoint { schema_version, mark, result, filter } = unseal(bytes)?;
        let mut reader = ByteReader::new(&mark);
        let mark = LogMark::decode(&mut reader).filter(|_| schema_version == SCHEMA_VERSION)?;
        reader.end(Self { mark, result, filter })
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::{EventFilter, EventId, EventMark, LogOrigin, Timestamp};

    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_no_damaged_one_does() {
        let recorded_at = Timestamp::from_micros(5).unwrap();
        let event = EventMark { id: EventId::from_bytes([7; 16]), recorded_at };
        let position = Position::new(77);
        let origin = Some(LogOrigin { store_id: [3; 16], session: 9 });
        let mark = LogMark { position, last: Some((position, event)), origin };
        let filter = Some(FilterDigest::of(&EventFilter::all().spaces(["a"])));
        let checkpoint = SubscriptionCheckpoint { mark, result: vec![1, 2], filter };
        let bytes = checkpoint.encode();
        assert_eq!(SubscriptionCheckpoint::decode(&bytes), Some(checkpoint));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SubscriptionCheckpoint::decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(SubscriptionCheckpoint::decode(&[]), None);
        let later = unseal::<StoredCheckpoint>(&bytes).unwrap();
        assert_eq!(
            SubscriptionCheckpoint::decode(&seal(&StoredCheckpoint { schema_version: 4, ..later })),
            None
        );
    }

    #[test]
    fn a_key_names_its_subscription() {
        assert_eq!(name_of(&key("a/b\u{e9}")), Some("a/b\u{e9}"));
        assert_eq!(name_of(b"other/a"), None);
    }
}
