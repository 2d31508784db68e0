//! Events before and after they are stored.

use std::{convert::Infallible, fmt};

use crate::{
    event_id::EventId,
    limits::{LimitExceeded, check_id, check_label},
    origin::EventOrigin,
    payload::{EventType, Payload, PayloadError},
    position::{Position, Revision},
    rare::EventRare,
    tags::{self, Tags},
    timestamp::Timestamp,
    type_name::{self, UnknownEventType, UnknownTypeReason},
    value::{Object, Value},
};

/// What a caller hands in: something that happened to a space.
///
/// Made by one constructor per type ([`SpaceEvent::document_added`] and its like), refined by the
/// `with_` methods. A new event has a fresh UUIDv7 and the present time.
///
/// ```
/// use spacefold::{EventType, SpaceEvent, Value};
/// let event = SpaceEvent::document_added("handbook", "intro", "/intro.md")
///     .with_source("editor")
///     .with_extra("pages", Value::from(12))?;
/// assert_eq!(event.event_type(), EventType::DocumentAdded);
/// # Ok::<(), spacefold::event::PayloadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SpaceEvent {
    /// Its identity, by which a retried append is recognised.
    pub event_id: EventId,
    /// The space it happened to: 1 to 512 bytes.
    pub space_id: String,
    /// What happened.
    pub payload: Payload,
    /// When it happened, as the caller says.
    pub timestamp: Timestamp,
    /// Who says so: at most 512 bytes.
    pub source: Option<String>,
    /// What it belongs to: at most 512 bytes.
    pub correlation_id: Option<String>,
    /// What it is found by: at most 16 distinct texts of 1 to 200 bytes, in this order.
    pub tags: Vec<String>,
    /// Where it comes from, when another store had it first.
    pub origin: Option<EventOrigin>,
    /// The time that was filled in, as long as its caller has given none.
    filled_in: Option<Timestamp>,
}

/// Whether both say the same: also whether a time was given or filled in makes no difference.
impl PartialEq for SpaceEvent {
    fn eq(&self, other: &Self) -> bool {
        let said = |event: &Self| (event.timestamp, event.origin);
        self.is_said_by(other) && said(self) == said(other)
    }
}

impl Eq for SpaceEvent {}

impl SpaceEvent {
    /// An event with a fresh id, happening now.
    #[must_use]
    pub fn new(space_id: impl Into<String>, payload: Payload) -> Self {
        Self::identified(EventId::new(), space_id, payload)
    }

    /// An event with an id of the caller's, at the present time: as [`SpaceEvent::new`], which takes a
    /// system call for the random bits of an id.
    ///
    /// ```
    /// use spacefold::{EventId, SpaceEvent, event::{Object, Payload}};
    /// let id = EventId::from_bytes([7; 16]);
    /// let archived = Payload::SpaceArchived { extra: Object::new() };
    /// assert_eq!(SpaceEvent::identified(id, "handbook", archived).event_id, id);
    /// ```
    #[must_use]
    pub fn identified(event_id: EventId, space_id: impl Into<String>, payload: Payload) -> Self {
        Self::made(event_id, space_id.into(), payload, Timestamp::now())
    }

    /// An event with this id, at a time that is filled in.
    pub(crate) const fn made(
        event_id: EventId,
        space_id: String,
        payload: Payload,
        now: Timestamp,
    ) -> Self {
        Self {
            event_id,
            space_id,
            payload,
            timestamp: now,
            source: None,
            correlation_id: None,
            tags: Vec::new(),
            origin: None,
            filled_in: Some(now),
        }
    }

    /// An event of an application's own, with a fresh id, happening now.
    ///
    /// # Errors
    /// [`UnknownEventType`] for a name that no such type can have: it has 3 to 200 bytes of ASCII
    /// letters, digits, `_`, `-`, `:` and dots, at least one dot, no empty label, and a first label
    /// that is not [reserved](crate::RESERVED_LABELS).
    ///
    /// ```
    /// use spacefold::{EventType, SpaceEvent, Value, event::Object};
    /// let mut payload = Object::new();
    /// payload.insert("text", Value::from("Well done"));
    /// let event = SpaceEvent::application("handbook", "com.example.comment.added", payload)?;
    /// assert_eq!(event.event_type(), EventType::Application);
    /// assert_eq!(event.type_name(), "com.example.comment.added");
    /// assert!(SpaceEvent::application("handbook", "document.eaten", Object::new()).is_err());
    /// # Ok::<(), spacefold::event::UnknownEventType>(())
    /// ```
    pub fn application(
        space_id: impl Into<String>,
        type_name: impl Into<String>,
        payload: Object,
    ) -> Result<Self, UnknownEventType> {
        let name = type_name.into();
        if EventType::core(&name).is_some() {
            return Err(UnknownEventType::new(&name, UnknownTypeReason::Core));
        }
        type_name::check(&name)?;
        Ok(Self::new(space_id, Payload::Application { name, extra: payload }))
    }

    /// The name of its type in the interchange form: that of a core type, or the application's own.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.payload.type_name()
    }

    /// Whether its caller has given its time: it was not filled in.
    #[must_use]
    pub fn has_own_timestamp(&self) -> bool {
        self.filled_in != Some(self.timestamp)
    }

    /// Whether `other` says the same under the same id, but for timestamp and origin.
    fn is_said_by(&self, other: &Self) -> bool {
        self.event_id == other.event_id
            && self.space_id == other.space_id
            && self.payload == other.payload
            && self.source == other.source
            && self.correlation_id == other.correlation_id
            && self.tags == other.tags
    }

    /// Whether the log has this event as `stored`, so that handing it in again stores nothing: space,
    /// payload, source, correlation id and tags are equal, and so is the timestamp if its caller gave
    /// one. Where they come from does not count. The one place that decides it, for appends and imports.
    #[must_use]
    pub fn is_stored_as(&self, stored: &Self) -> bool {
        self.is_said_by(stored) && (!self.has_own_timestamp() || self.timestamp == stored.timestamp)
    }

    /// What kind of thing happened.
    #[must_use]
    pub const fn event_type(&self) -> EventType {
        self.payload.event_type()
    }

    /// The event with this id.
    #[must_use]
    pub const fn with_event_id(mut self, event_id: EventId) -> Self {
        self.event_id = event_id;
        self
    }

    /// The event at this time.
    #[must_use]
    pub const fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = timestamp;
        self.filled_in = None;
        self
    }

    /// The event at a time that its caller has not given: of a repetition another time may be filled
    /// in, and it is the same event.
    #[must_use]
    pub const fn with_filled_in_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = timestamp;
        self.filled_in = Some(timestamp);
        self
    }

    /// The event with these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// The event as one that another store had first.
    #[must_use]
    pub const fn with_origin(mut self, origin: EventOrigin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// The event from this source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The event with this correlation id.
    #[must_use]
    pub fn with_correlation_id(mut self, correlation_id: impl Into<String>) -> Self {
        self.correlation_id = Some(correlation_id.into());
        self
    }

    /// The event with one more payload key, which the contract does not name.
    ///
    /// # Errors
    /// [`PayloadError::NotExtra`] when the contract names `key` for events of this type.
    pub fn with_extra(
        mut self,
        key: impl Into<String>,
        value: Value,
    ) -> Result<Self, PayloadError> {
        let key = key.into();
        let event_type = self.event_type();
        if Payload::names(event_type, &key) {
            return Err(PayloadError::NotExtra { key, event_type });
        }
        self.payload.extra_mut().insert(key, value);
        Ok(self)
    }

    /// The event as it is, or would be, recorded at this place and time, its texts borrowed.
    #[must_use]
    pub fn as_recorded(
        &self,
        position: Position,
        revision: Revision,
        recorded_at: Timestamp,
    ) -> RecordedEventRef<'_> {
        RecordedEventRef {
            position,
            revision,
            recorded_at,
            event_id: self.event_id,
            event_type: self.event_type(),
            space_id: &self.space_id,
            timestamp: self.timestamp,
            source: self.source.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
            payload: self.payload.map_text(String::as_str),
            rare: EventRare::Owned { tags: &self.tags, origin: self.origin.as_ref() },
        }
    }

    /// Checks ids, labels and nesting against their limits; not the encoded size, which an append
    /// checks as it encodes.
    ///
    /// # Errors
    /// The first limit that is passed.
    pub fn check_limits(&self) -> Result<(), LimitExceeded> {
        self.fields().check_limits()
    }

    /// What its caller decides of it, borrowed.
    pub(crate) fn fields(&self) -> EventFields<'_, String> {
        EventFields {
            event_id: self.event_id,
            space_id: &self.space_id,
            payload: &self.payload,
            timestamp: self.timestamp,
            source: self.source.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
            tags: Tags::owned(&self.tags),
            origin: self.origin.as_ref(),
        }
    }
}

/// What a caller decides of an event, wherever its texts are.
pub(crate) struct EventFields<'a, S> {
    pub(crate) event_id: EventId,
    pub(crate) space_id: &'a str,
    pub(crate) payload: &'a Payload<S>,
    pub(crate) timestamp: Timestamp,
    pub(crate) source: Option<&'a str>,
    pub(crate) correlation_id: Option<&'a str>,
    pub(crate) tags: Tags<'a>,
    pub(crate) origin: Option<&'a EventOrigin>,
}

impl<S: AsRef<str>> EventFields<'_, S> {
    pub(crate) fn check_limits(&self) -> Result<(), LimitExceeded> {
        check_id("space_id", self.space_id)?;
        self.source.map_or(Ok(()), |source| check_label("source", source))?;
        let correlation_id = self.correlation_id;
        correlation_id.map_or(Ok(()), |id| check_label("correlation_id", id))?;
        tags::check(self.tags)?;
        if self.origin.is_some_and(|origin| origin.position == Position::START) {
            return Err(LimitExceeded::OriginPosition);
        }
        self.payload.check_limits()
    }
}

/// What happened, to which space, and the payload as JSON: a line for people.
impl fmt::Display for SpaceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = Value::Object(self.payload.to_object());
        write!(f, "{} {:?} {payload}", self.type_name(), self.space_id)
    }
}

impl AsRef<Self> for SpaceEvent {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// What the log holds: the event, and what the log decided for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The event as its caller handed it in.
    pub event: SpaceEvent,
    /// Sequence number in the log.
    pub position: Position,
    /// Sequence number in its space.
    pub revision: Revision,
    /// When the log took it; never decreasing along the log.
    pub recorded_at: Timestamp,
}

impl AsRef<SpaceEvent> for RecordedEvent {
    fn as_ref(&self) -> &SpaceEvent {
        &self.event
    }
}

impl RecordedEvent {
    /// The event, its texts borrowed.
    #[must_use]
    pub fn as_event_ref(&self) -> RecordedEventRef<'_> {
        self.event.as_recorded(self.position, self.revision, self.recorded_at)
    }
}

/// A recorded event that borrows its texts: from the page it was read with, or from an event that
/// owns them.
///
/// ```
/// use spacefold::{Position, Revision, SpaceEvent, state::SpaceState};
/// let event = SpaceEvent::space_created("handbook", "Handbook");
/// let mut state = SpaceState::new("handbook");
/// state.apply(&event.as_recorded(Position::new(1), Revision::new(1), event.timestamp));
/// assert_eq!(state.name(), Some("Handbook"));
/// ```
#[derive(Clone, Debug)]
pub struct RecordedEventRef<'a> {
    /// Sequence number in the log.
    pub position: Position,
    /// Sequence number in its space.
    pub revision: Revision,
    /// When the log took the event; never decreasing along the log.
    pub recorded_at: Timestamp,
    /// The identity its caller gave it.
    pub event_id: EventId,
    /// What kind of thing happened.
    pub event_type: EventType,
    /// To which space.
    pub space_id: &'a str,
    /// When its caller says it happened.
    pub timestamp: Timestamp,
    /// Who says so.
    pub source: Option<&'a str>,
    /// What it belongs to.
    pub correlation_id: Option<&'a str>,
    /// What happened.
    pub payload: Payload<&'a str>,
    pub(crate) rare: EventRare<'a>,
}

impl<'a> RecordedEventRef<'a> {
    /// What it is found by.
    #[must_use]
    pub fn tags(&self) -> Tags<'a> {
        self.rare.tags()
    }

    /// Where it comes from, when another store had it first.
    #[must_use]
    pub fn origin(&self) -> Option<&'a EventOrigin> {
        self.rare.origin()
    }

    /// The name of its type in the interchange form: that of a core type, or the application's own.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.payload.type_name()
    }

    /// What its caller decided of it.
    pub(crate) fn fields(&self) -> EventFields<'_, &'a str> {
        EventFields {
            event_id: self.event_id,
            space_id: self.space_id,
            payload: &self.payload,
            timestamp: self.timestamp,
            source: self.source,
            correlation_id: self.correlation_id,
            tags: self.tags(),
            origin: self.origin(),
        }
    }

    /// The event with all of its texts owned.
    #[must_use]
    pub fn to_owned_event(&self) -> RecordedEvent {
        RecordedEvent {
            event: SpaceEvent {
                event_id: self.event_id,
                space_id: self.space_id.to_owned(),
                payload: self.payload.to_owned_payload(),
                timestamp: self.timestamp,
                source: self.source.map(str::to_owned),
                correlation_id: self.correlation_id.map(str::to_owned),
                tags: self.tags().to_vec(),
                origin: self.origin().copied(),
                filled_in: None,
            },
            position: self.position,
            revision: self.revision,
            recorded_at: self.recorded_at,
        }
    }

    /// Whether the event is what `event` would be when stored: everything its caller decides.
    #[must_use]
    pub fn has_content_of(&self, event: &SpaceEvent) -> bool {
        self.event_id == event.event_id && self.to_owned_event().event == *event
    }
}

impl<S: AsRef<str>> Payload<S> {
    /// The payload with all of its texts owned.
    #[must_use]
    pub fn to_owned_payload(&self) -> Payload {
        self.map_text(|text| text.as_ref().to_owned())
    }
}

impl<S> Payload<S> {
    /// The payload with what `text` makes of each of its texts.
    fn map_text<'a, T>(&'a self, mut text: impl FnMut(&'a S) -> T) -> Payload<T> {
        let mapped = self.try_map_text(&mut |own| Ok::<T, Infallible>(text(own)));
        match mapped {
            Ok(payload) => payload,
            Err(never) => match never {},
        }
    }
}
