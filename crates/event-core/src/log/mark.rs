//! Where in which log something stands that is kept beside it, so that nothing is taken for a log's that
//! was made of another.

use super::reader::{LogOrigin, LogReader};
use crate::{
    bytes::{ByteReader, put_u64},
    event_id::EventId,
    position::Position,
    read_error::ReadError,
    timestamp::Timestamp,
};

/// An event of a log, and when the log took it: a log that was imported from another has events of
/// the same ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventMark {
    /// The id of the event.
    pub id: EventId,
    /// When the log recorded it.
    pub recorded_at: Timestamp,
}

impl EventMark {
    /// The event at a position of a log; `None` where there is none.
    ///
    /// # Errors
    /// [`ReadError`]; nothing is changed by it.
    pub fn at(log: &dyn LogReader, position: Position) -> Result<Option<Self>, ReadError> {
        let page = log.page_at(position)?;
        let found = page.as_ref().and_then(|page| page.envelopes().next());
        Ok(found.map(|event| Self { id: event.event_id, recorded_at: event.recorded_at }))
    }
}

/// Up to where something was made of the events of a log, and of which log: what is kept has one, which is
/// replaced with it in one step.
///
/// Bytes: position (u64), position of the last event (u64, 0 for none), its id (16 bytes), when it was
/// recorded (i64), 1 and the origin (id 16 bytes, session u64) or 0. All numbers are little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark {
    /// Everything up to here is in it.
    pub position: Position,
    /// The last event that is, which tells one log from another; none where there is none.
    pub last: Option<(Position, EventMark)>,
    /// The log that it was made of, if that has an identity.
    pub origin: Option<LogOrigin>,
}

impl LogMark {
    /// Before the first event of any log.
    pub const START: Self = Self { position: Position::START, last: None, origin: None };

    /// At an event of a log; before the first one where there is none at the position.
    ///
    /// # Errors
    /// [`ReadError`]; nothing is changed by it.
    pub fn at(log: &dyn LogReader, position: Position) -> Result<Self, ReadError> {
        let last = match position {
            Position::START => None,
            position => EventMark::at(log, position)?.map(|event| (position, event)),
        };
        let position = last.map_or(Position::START, |_| position);
        Ok(Self { position, last, origin: log.origin() })
    }

    /// Whether it was made on this log: its last event is where it says, and the log comes from
    /// where it says.
    ///
    /// # Errors
    /// [`ReadError`]; nothing is changed by it.
    pub fn fits(&self, log: &dyn LogReader) -> Result<bool, ReadError> {
        if self.position > log.durable_head() {
            return Ok(false);
        }
        let is_of_log = match (&self.origin, log.origin()) {
            (Some(origin), Some(_)) => log.comes_from(origin),
            (None, None) => true,
            // Before the first event there is nothing that comes from anywhere.
            (None, Some(_)) => self.position == Position::START,
            (Some(_), None) => false,
        };
        match self.last {
            Some((position, last)) => Ok(is_of_log && EventMark::at(log, position)? == Some(last)),
            None => Ok(is_of_log),
        }
    }

    /// Writes it behind what is there.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        put_u64(bytes, self.position.get());
        let none =
            EventMark { id: EventId::from_bytes([0; EventId::LEN]), recorded_at: Timestamp::MIN };
        let (position, last) = self.last.unwrap_or((Position::START, none));
        put_u64(bytes, position.get());
        bytes.extend_from_slice(last.id.as_bytes());
        bytes.extend_from_slice(&last.recorded_at.as_micros().to_le_bytes());
        bytes.push(u8::from(self.origin.is_some()));
        if let Some(origin) = &self.origin {
            bytes.extend_from_slice(&origin.store_id);
            put_u64(bytes, origin.session);
        }
    }

    /// Reads what [`LogMark::encode`] wrote; `None` for other bytes.
    #[must_use]
    pub fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let position = Position::new(reader.u64()?);
        let last_position = Position::new(reader.u64()?);
        let id = EventId::from_bytes(reader.array()?);
        let last = EventMark { id, recorded_at: Timestamp::from_micros(reader.i64()?)? };
        let last = (last_position > Position::START).then_some((last_position, last));
        let origin = match reader.u8()? {
            0 => None,
            _ => Some(LogOrigin { store_id: reader.array()?, session: reader.u64()? }),
        };
        Some(Self { position, last, origin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::SpaceEvent,
        log::{AppendRequest, LogWriter as _},
        memory_log::MemoryLog,
    };

    #[test]
    fn a_mark_reads_back_and_fits_its_own_log_alone() {
        let events = || [SpaceEvent::space_created("a", "A"), SpaceEvent::space_activated("a")];
        let [log, other] = [(), ()].map(|()| {
            let log = MemoryLog::new();
            log.append(&AppendRequest::new(&events())).unwrap();
            log
        });
        for position in 0..=2 {
            let made = LogMark::at(&log, Position::new(position)).unwrap();
            assert_eq!(made.position.get(), position);
            let mut bytes = Vec::new();
            made.encode(&mut bytes);
            assert_eq!(LogMark::decode(&mut ByteReader::new(&bytes)), Some(made));
            for len in 0..bytes.len() {
                assert_eq!(LogMark::decode(&mut ByteReader::new(&bytes[..len])), None);
            }
            assert!(made.fits(&log).unwrap());
            assert_eq!(made.fits(&other).unwrap(), position == 0);
            assert_eq!(made.fits(&MemoryLog::new()).unwrap(), position == 0);
            let origin = Some(LogOrigin { store_id: [1; 16], session: 1 });
            assert!(!LogMark { origin, ..made }.fits(&log).unwrap(), "it has no identity");
        }
    }
}
