//! Why a projection does not go on.

use std::fmt;

use serde::Serialize;
use spacefold_event_core::{
    Position,
    bytes::{ByteReader, put_sized, put_u64},
};

/// A projection has met an event that it cannot take in: it is paused, persistently,
/// until it is resumed or told to skip the event. Others are not concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// The position of the event.
    pub position: Position,
    /// What kind of failure it was.
    pub kind: PauseKind,
    /// What happened.
    pub reason: String,
}

/// What kind of failure has paused a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum PauseKind {
    /// The bytes at the position are no event, in any copy.
    Undecodable,
    /// The projection refuses the event.
    Refused,
    /// The projection panicked.
    Panicked,
}

impl PauseKind {
    const ALL: [Self; 3] = [Self::Undecodable, Self::Refused, Self::Panicked];

    /// The name in the text formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Refused => "refused",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for PauseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, kind, reason } = self;
        write!(f, "paused in front of position {position} ({kind}): {reason}")
    }
}

impl Paused {
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        put_u64(bytes, self.position.get());
        put_sized(bytes, self.kind.name().as_bytes());
        put_sized(bytes, self.reason.as_bytes());
    }

    pub(crate) fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let position = Position::new(reader.u64()?);
        let name = reader.text()?;
        let kind = PauseKind::ALL.into_iter().find(|kind| kind.name() == name)?;
        Some(Self { position, kind, reason: reader.text()?.to_owned() })
    }
}
