//! A named limit on everything that can grow.

use crate::type_name::UnknownEventType;

/// Bytes of a space, document or variable id; an id is never empty.
pub const MAX_ID_BYTES: usize = 512;
/// Bytes of a source, a correlation id, or a hash in a payload.
pub const MAX_LABEL_BYTES: usize = 512;
/// Levels of nesting in a JSON value.
pub const MAX_JSON_DEPTH: usize = 128;
/// Tags of an event.
pub const MAX_TAGS: usize = 16;
/// Bytes of a tag, which is never empty.
pub const MAX_TAG_BYTES: usize = 200;
/// Filters of a query.
pub const MAX_QUERY_FILTERS: usize = 1_024;
/// Bytes of one encoded event: what [`crate::SpaceEvent::encoded_len`] answers.
pub const MAX_EVENT_BYTES: usize = 1 << 20;
/// Events of one append.
pub const MAX_APPEND_EVENTS: usize = 4_096;
/// Bytes of one append: the sum of its encoded events.
pub const MAX_APPEND_BYTES: usize = 16 << 20;
/// Bytes of one content.
pub const MAX_CONTENT_BYTES: u64 = 16 << 30;

/// A value past one of the limits, named with what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitExceeded {
    /// An id is empty; `what` names it.
    #[error("{what} is empty: an id has 1 to {MAX_ID_BYTES} bytes")]
    EmptyId {
        /// The field that holds the id.
        what: &'static str,
    },
    /// An id is longer than [`MAX_ID_BYTES`].
    #[error("{what} has {bytes} bytes: the limit for an id is {MAX_ID_BYTES}")]
    IdTooLong {
        /// The field that holds the id.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
    },
    /// A source, correlation id or hash is longer than [`MAX_LABEL_BYTES`].
    #[error("{what} has {bytes} bytes: the limit is {MAX_LABEL_BYTES}")]
    LabelTooLong {
        /// The field that holds the text.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
    },
    /// A JSON value nests deeper than [`MAX_JSON_DEPTH`].
    #[error("JSON nests {depth} levels or more: the limit is {MAX_JSON_DEPTH}")]
    TooDeep {
        /// The level at which the limit was passed.
        depth: usize,
    },
    /// An event has, or a filter asks for, more tags than [`MAX_TAGS`].
    #[error("there are {tags} tags: an event has at most {MAX_TAGS}")]
    TooManyTags {
        /// The tags.
        tags: usize,
    },
    /// A query has more filters than [`MAX_QUERY_FILTERS`].
    #[error("the query has {filters} filters: the limit is {MAX_QUERY_FILTERS}")]
    TooManyFilters {
        /// Its filters.
        filters: usize,
    },
    /// A tag is empty or longer than [`MAX_TAG_BYTES`].
    #[error("a tag has {bytes} bytes: a tag has 1 to {MAX_TAG_BYTES}")]
    TagLength {
        /// Its bytes.
        bytes: usize,
    },
    /// An event has a tag twice.
    #[error("tag {tag:?} is there twice: the tags of an event are distinct")]
    TagTwice {
        /// The tag.
        tag: String,
    },
    /// The position of an origin is 0, where no event is.
    #[error("the position of an origin is 0: positions of events begin at 1")]
    OriginPosition,
    /// No event can be of a type of that name.
    #[error(transparent)]
    TypeName(#[from] UnknownEventType),
    /// An encoded event is larger than [`MAX_EVENT_BYTES`].
    #[error("the encoded event has {bytes} bytes: the limit is {MAX_EVENT_BYTES}")]
    EventTooLarge {
        /// Its encoded bytes.
        bytes: usize,
    },
    /// An append holds more than [`MAX_APPEND_EVENTS`].
    #[error("the append has {events} events: the limit is {MAX_APPEND_EVENTS}")]
    TooManyEvents {
        /// Its events.
        events: usize,
    },
    /// An append holds more than [`MAX_APPEND_BYTES`].
    #[error("the append has {bytes} encoded bytes: the limit is {MAX_APPEND_BYTES}")]
    AppendTooLarge {
        /// Its encoded bytes.
        bytes: usize,
    },
}

/// Checks an id against its limits.
pub(crate) fn check_id(what: &'static str, id: &str) -> Result<(), LimitExceeded> {
    match id.len() {
        0 => Err(LimitExceeded::EmptyId { what }),
        1..=MAX_ID_BYTES => Ok(()),
        bytes => Err(LimitExceeded::IdTooLong { what, bytes }),
    }
}

/// Checks a source, correlation id or hash against its limit.
pub(crate) fn check_label(what: &'static str, label: &str) -> Result<(), LimitExceeded> {
    match label.len() {
        0..=MAX_LABEL_BYTES => Ok(()),
        bytes => Err(LimitExceeded::LabelTooLong { what, bytes }),
    }
}
