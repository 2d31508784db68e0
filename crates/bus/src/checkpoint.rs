//! How far a durable subscription has come, as it is kept in the store.
//!
//! Under [`key`]: [`Stored`] in bincode's native encoding, then the BLAKE3 hash of that. Version 1,
//! which is read too, lacks the digest of the filter.

use bincode::{Decode, Encode};
use spacefold_event_core::{EventId, LogReader, Position, ReadError, Timestamp};

use crate::{
    delivery::SubscribeError,
    places::Places,
    sealed::{seal, unseal},
    subscribed_filter::FilterDigest,
};

/// What the key of every checkpoint begins with.
pub(crate) const PREFIX: &[u8] = b"subscription/";

const SCHEMA_VERSION: u32 = 2;
/// Bytes of the result that is kept with a position.
pub(crate) const MAX_RESULT_BYTES: usize = 1 << 20;

/// A position that was acknowledged, the event there, and the result that was kept with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) position: Position,
    /// Tells one log from another; `None` before the first event.
    pub(crate) event: Option<EventMark>,
    pub(crate) result: Vec<u8>,
    /// Of the filter that everything up to the position was looked at with; `None` when it was not
    /// noted.
    pub(crate) filter: Option<FilterDigest>,
}

/// An event, and when the log took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventMark {
    id: EventId,
    recorded_at: Timestamp,
}

#[derive(Encode, Decode)]
struct Stored {
    place: StoredPlace,
    filter: Option<FilterDigest>,
}

/// All of version 1.
#[derive(Encode, Decode)]
struct StoredPlace {
    schema_version: u32,
    position: u64,
    event: Option<([u8; EventId::LEN], i64)>,
    result: Vec<u8>,
}

/// Where the checkpoint of a subscription is kept.
pub(crate) fn key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

/// The name in the key of a checkpoint.
pub(crate) fn name_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()
}

impl Checkpoint {
    /// The checkpoint at a position of a log.
    pub(crate) fn at(
        log: &dyn LogReader,
        position: Position,
        result: Vec<u8>,
        filter: Option<FilterDigest>,
    ) -> Result<Self, ReadError> {
        Ok(Self { position, event: event_at(log, position)?, result, filter })
    }

    /// The checkpoint that is kept of a subscription; `None` when there is none.
    pub(crate) fn load(places: &Places, name: &str) -> Result<Option<Self>, SubscribeError> {
        let unfit = || SubscribeError::Unfit { name: name.to_owned(), what: "it does not decode" };
        match places.get(&key(name))? {
            Some(bytes) => Self::decode(&bytes).ok_or_else(unfit).map(Some),
            None => Ok(None),
        }
    }

    /// Whether it was made on this log: its event stands where it says.
    pub(crate) fn fits(&self, log: &dyn LogReader) -> Result<bool, ReadError> {
        Ok(self.position <= log.durable_head() && event_at(log, self.position)? == self.event)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let event = self.event.map(|mark| (*mark.id.as_bytes(), mark.recorded_at.as_micros()));
        let (position, result) = (self.position.get(), self.result.clone());
        let place = StoredPlace { schema_version: SCHEMA_VERSION, position, event, result };
        seal(&Stored { place, filter: self.filter })
    }

    /// The checkpoint from its bytes; `None` when they are damaged or of a later version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match unseal::<Stored>(bytes) {
            Some(Stored { place, filter }) if place.schema_version == SCHEMA_VERSION => {
                Self::from_place(place, filter)
            }
            _ => {
                let place: StoredPlace = unseal(bytes)?;
                (place.schema_version == 1).then(|| Self::from_place(place, None))?
            }
        }
    }

    fn from_place(place: StoredPlace, filter: Option<FilterDigest>) -> Option<Self> {
        let mark = |(id, micros)| {
            let recorded_at = Timestamp::from_micros(micros)?;
            Some(EventMark { id: EventId::from_bytes(id), recorded_at })
        };
        let event = match place.event {
            Some(event) => Some(mark(event)?),
            None => None,
        };
        let position = Position::new(place.position);
        Some(Self { position, event, result: place.result, filter })
    }
}

fn event_at(log: &dyn LogReader, position: Position) -> Result<Option<EventMark>, ReadError> {
    let page = log.page_at(position)?;
    let found = page.as_ref().and_then(|page| page.envelopes().next());
    Ok(found.map(|event| EventMark { id: event.event_id, recorded_at: event.recorded_at }))
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::EventFilter;

    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_no_damaged_one_does() {
        let recorded_at = Timestamp::from_micros(5).unwrap();
        let event = Some(EventMark { id: EventId::from_bytes([7; 16]), recorded_at });
        let filter = Some(FilterDigest::of(&EventFilter::all().spaces(["a"])));
        let (position, result) = (Position::new(77), vec![1, 2]);
        let checkpoint = Checkpoint { position, event, result, filter };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Checkpoint::decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(Checkpoint::decode(&[]), None);
    }

    #[test]
    fn a_checkpoint_of_version_1_reads_as_one_without_a_filter() {
        let event = Some(([7; 16], 5));
        let place = StoredPlace { schema_version: 1, position: 77, event, result: vec![1, 2] };
        let read = Checkpoint::decode(&seal(&place)).unwrap();
        assert_eq!((read.position, &read.result[..]), (Position::new(77), &[1, 2][..]));
        assert_eq!(read.filter, None);
        let later = StoredPlace { schema_version: 3, ..place };
        assert_eq!(Checkpoint::decode(&seal(&later)), None);
        assert_eq!(Checkpoint::decode(&seal(&Stored { place: later, filter: None })), None);
    }

    #[test]
    fn a_key_names_its_subscription() {
        assert_eq!(name_of(&key("a/b\u{e9}")), Some("a/b\u{e9}"));
        assert_eq!(name_of(b"other/a"), None);
    }
}
