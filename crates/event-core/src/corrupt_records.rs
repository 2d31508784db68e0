//! What bytes are that are no records, or none that this program reads.

use crate::{payload::EventType, schema_version::SchemaVersion, varint::Malformed};

/// Bytes that are no run of records, or a payload that this program does not read: what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorruptRecords {
    /// The bytes are none that any program writes: what is wrong with them.
    #[error("corrupt records: {0}")]
    Malformed(&'static str),
    /// A newer program has written the payload. Everything else of the run is read; the payload is
    /// by a program that knows its version.
    #[error(
        "the payload of {event_type} has schema version {found}, this program knows versions up to \
         {known}: read it with a newer one"
    )]
    NewerPayload {
        /// The type of the event.
        event_type: EventType,
        /// The version of its payload.
        found: SchemaVersion,
        /// The newest version of such payloads that this program knows.
        known: SchemaVersion,
    },
    /// The payload is of an earlier version, and the chain of upcasters makes none of the present
    /// version of it.
    #[error(
        "the payload of {event_type} has schema version {found} and cannot be read as one of \
         version {known}"
    )]
    OldPayload {
        /// The type of the event.
        event_type: EventType,
        /// The version of its payload.
        found: SchemaVersion,
        /// The version that it should become one of.
        known: SchemaVersion,
    },
}

impl From<Malformed> for CorruptRecords {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed("columns that do not decode")
    }
}
