//! How far something is folded, and from which log.

use spacefold_event_core::{
    EventId, LogOrigin, LogReader, Position, ReadError, Timestamp,
    bytes::{ByteReader, put_u64},
};

/// How far a projection has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// The name of the projection.
    pub name: &'static str,
    /// The version of its fold.
    pub version: u32,
    /// The last position that it has folded.
    pub position: Position,
}

/// How far something is folded, and from which log: what is persisted has one, which is replaced
/// with it in one step.
///
/// Bytes: version (u32), position (u64), position of the last event (u64), its id (16 bytes), when it
/// was recorded (i64), 1 and the origin (id 16 bytes, session u64) or 0. All numbers are little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The version of the fold, or of the form that its outcome is kept in.
    pub(crate) version: u32,
    /// Everything is folded up to here.
    pub(crate) position: Position,
    /// The last event that was, which tells one log from another; none where there was none.
    pub(crate) last: Option<(Position, LastEvent)>,
    /// The log that everything persisted with it comes from, if that has an identity.
    pub(crate) origin: Option<LogOrigin>,
}

/// An event of a log, and when the log took it: a log that was imported from another has events of
/// the same ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastEvent {
    pub(crate) id: EventId,
    pub(crate) recorded_at: Timestamp,
}

impl LastEvent {
    const NONE: Self =
        Self { id: EventId::from_bytes([0; EventId::LEN]), recorded_at: Timestamp::MIN };

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.recorded_at.as_micros().to_le_bytes());
    }

    pub(crate) fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let id = EventId::from_bytes(reader.array()?);
        Some(Self { id, recorded_at: Timestamp::from_micros(reader.i64()?)? })
    }
}

impl Checkpoint {
    /// Before the first event.
    pub(crate) const fn start(version: u32) -> Self {
        Self { version, position: Position::START, last: None, origin: None }
    }

    /// At an event of a log; before the first one where there is none at the position.
    pub(crate) fn at(
        log: &dyn LogReader,
        version: u32,
        position: Position,
    ) -> Result<Self, ReadError> {
        let last = match position {
            Position::START => None,
            position => event_at(log, position)?.map(|event| (position, event)),
        };
        let position = last.map_or(Position::START, |_| position);
        Ok(Self { version, position, last, origin: log.origin() })
    }

    /// Whether it was made for this log: its last event stands where it says.
    pub(crate) fn fits(&self, log: &dyn LogReader) -> Result<bool, ReadError> {
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
            Some((position, last)) => Ok(is_of_log && event_at(log, position)? == Some(last)),
            None => Ok(is_of_log),
        }
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.version.to_le_bytes());
        put_u64(bytes, self.position.get());
        let (position, last) = self.last.unwrap_or((Position::START, LastEvent::NONE));
        put_u64(bytes, position.get());
        last.encode(bytes);
        bytes.push(u8::from(self.origin.is_some()));
        if let Some(origin) = &self.origin {
            bytes.extend_from_slice(&origin.store_id);
            put_u64(bytes, origin.session);
        }
    }

    pub(crate) fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let version = reader.u32()?;
        let position = Position::new(reader.u64()?);
        let last_position = Position::new(reader.u64()?);
        let last = LastEvent::decode(reader)?;
        let last = (last_position > Position::START).then_some((last_position, last));
        let origin = match reader.u8()? {
            0 => None,
            _ => Some(LogOrigin { store_id: reader.array()?, session: reader.u64()? }),
        };
        Some(Self { version, position, last, origin })
    }
}

/// The event at a position.
pub(crate) fn event_at(
    log: &dyn LogReader,
    position: Position,
) -> Result<Option<LastEvent>, ReadError> {
    let page = log.page_at(position)?;
    let found = page.as_ref().and_then(|page| page.envelopes().next());
    Ok(found.map(|event| LastEvent { id: event.event_id, recorded_at: event.recorded_at }))
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::{MemoryLog, SpaceEvent};
    use spacefold_state::testing::log_of;

    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_fits_its_own_log_alone() {
        let events = || [SpaceEvent::space_created("a", "A"), SpaceEvent::space_activated("a")];
        let (log, other) = (log_of(events()), log_of(events()));
        for position in 0..=2 {
            let made = Checkpoint::at(&*log, 7, Position::new(position)).unwrap();
            assert_eq!(made.position.get(), position);
            let mut bytes = Vec::new();
            made.encode(&mut bytes);
            assert_eq!(Checkpoint::decode(&mut ByteReader::new(&bytes)), Some(made));
            assert!(made.fits(&*log).unwrap());
            assert_eq!(made.fits(&*other).unwrap(), position == 0);
            assert_eq!(made.fits(&MemoryLog::new()).unwrap(), position == 0);
        }
    }
}
