//! What is wrong with a text that is to be an event.

use crate::{
    event_id::InvalidEventId,
    limits::LimitExceeded,
    payload::PayloadError,
    timestamp::{InvalidTimestamp, Timestamp},
    type_name::UnknownEventType,
};

/// What an origin is in JSON.
pub(super) const ORIGIN: &str = "an object of store and timeline, each a UUID, and a position";

/// Bytes of one line of JSON input.
pub const MAX_JSON_LINE_BYTES: usize = 64 << 20;

/// A text that is no event in the interchange form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The bytes are not UTF-8.
    #[error("the bytes are not UTF-8 from byte {offset} on")]
    NotUtf8 {
        /// How many bytes come before.
        offset: usize,
    },
    /// The text is longer than [`MAX_JSON_LINE_BYTES`].
    #[error("the line has {bytes} bytes or more: the limit is {MAX_JSON_LINE_BYTES}")]
    TooLong {
        /// The bytes seen.
        bytes: usize,
    },
    /// The text is no JSON.
    #[error("not valid JSON: {reason}")]
    Syntax {
        /// What is wrong, and at which column.
        reason: String,
    },
    /// The text is JSON, but no object.
    #[error("an event is a JSON object: this is {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A required top-level key is not there, or null.
    #[error("key {key:?} is missing")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A top-level key holds a value of another type.
    #[error("key {key:?} is {found}: expected {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// A float beyond what 64 bits can hold.
    #[error("the number {number} is beyond the largest float")]
    NumberOutOfRange {
        /// The number as written, cut to 40 characters.
        number: String,
    },
    /// The event type is none of the 21, and no name that an application's own can have.
    #[error(transparent)]
    UnknownEventType(#[from] UnknownEventType),
    /// `event_id` is not a UUID.
    #[error("key \"event_id\": {0}")]
    InvalidEventId(#[from] InvalidEventId),
    /// An origin lacks something, or has it in another form.
    #[error("key \"origin\": {key:?} is missing or malformed: expected {ORIGIN}")]
    InvalidOrigin {
        /// The key of the origin.
        key: &'static str,
    },
    /// A time does not read.
    #[error("key {key:?}: {source}")]
    InvalidTimestamp {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        source: InvalidTimestamp,
    },
    /// A time lies ahead of the clock, and such times are not wanted.
    #[error("key {key:?}: {time} is in the future: the clock is at {now}")]
    InFuture {
        /// The key.
        key: &'static str,
        /// The time that it holds.
        time: Timestamp,
        /// The present time.
        now: Timestamp,
    },
    /// The payload does not fit the event type.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Something is past its limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

/// What the parser found, without the line that it counts: one text is one line here.
pub(super) fn syntax(error: &serde_json::Error) -> JsonError {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match said.strip_suffix(&place) {
        Some(what) => JsonError::Syntax { reason: format!("{what} at column {}", error.column()) },
        None => JsonError::Syntax { reason: said },
    }
}
