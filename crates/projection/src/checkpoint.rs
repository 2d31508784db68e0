//! How far something is folded, and from which log.

use spacefold_event_core::{LogMark, LogOrigin, LogReader, Position, ReadError, bytes::ByteReader};

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
/// Bytes: version (u32, little endian), then the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The version of the fold, or of the form that its outcome is kept in.
    pub(crate) version: u32,
    /// Everything is folded up to there.
    pub(crate) mark: LogMark,
}

impl Checkpoint {
    /// Before the first event.
    pub(crate) const fn start(version: u32) -> Self {
        Self { version, mark: LogMark::START }
    }

    /// At an event of a log; before the first one where there is none at the position.
    pub(crate) fn at(
        log: &dyn LogReader,
        version: u32,
        position: Position,
    ) -> Result<Self, ReadError> {
        Ok(Self { version, mark: LogMark::at(log, position)? })
    }

    pub(crate) const fn position(&self) -> Position {
        self.mark.position
    }

    /// With the log that everything persisted with it comes from.
    pub(crate) const fn of(self, origin: Option<LogOrigin>) -> Self {
        Self { mark: LogMark { origin, ..self.mark }, ..self }
    }

    /// Whether it was made for this log: its last event is where it says.
    pub(crate) fn fits(&self, log: &dyn LogReader) -> Result<bool, ReadError> {
        self.mark.fits(log)
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.version.to_le_bytes());
        self.mark.encode(bytes);
    }

    pub(crate) fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        Some(Self { version: reader.u32()?, mark: LogMark::decode(reader)? })
    }
}
