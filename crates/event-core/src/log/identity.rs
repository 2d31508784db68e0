//! Which log a log is, and which of the courses that its events may have taken it has.

use std::fmt;

use uuid::Uuid;

use crate::position::Position;

/// The id under which a log began. A log that was restored from a backup of another, or forked from
/// it, keeps the one of that: what is derived from it is the same in all of them, and in no other log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 16]);

/// One course of the events of a log. What is restored or forked goes on in one of its own: from where
/// it parted on, an event at a position is another one than the parent's at that position. So a position
/// means something outside of its log only together with its timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimelineId([u8; 16]);

/// Where a timeline parted from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineFork {
    /// The timeline that it parted from.
    pub parent: TimelineId,
    /// The last position that both have in common.
    pub position: Position,
}

/// What a log is known by, wherever it is kept: see
/// [`LogReader::identity`](super::LogReader::identity).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The id under which the log began.
    pub log_id: LogId,
    /// The course that its events have taken.
    pub timeline: TimelineId,
    /// Where that parted from another; `None` in a log that was created.
    pub fork: Option<TimelineFork>,
}

impl LogIdentity {
    /// That of a log which begins under an id: its timeline is drawn at random, and parted from none.
    #[must_use]
    pub fn created(log_id: LogId) -> Self {
        Self { log_id, timeline: TimelineId(Uuid::new_v4().into_bytes()), fork: None }
    }
}

impl LogId {
    /// An id drawn at random.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4().into_bytes())
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl TimelineId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// As a UUID, lower-case with hyphens.
impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

/// As a UUID, lower-case with hyphens.
impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}
