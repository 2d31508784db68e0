//! Events as a line of JSON states them.

use std::borrow::Cow;

use crate::{
    event::{EventFields, SpaceEvent},
    event_id::EventId,
    limits::LimitExceeded,
    origin::EventOrigin,
    payload::Payload,
    tags::Tags,
    timestamp::{Parsed, Timestamp},
};

/// An event as one JSON object states it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonEvent {
    /// The event; what the object left out or set null is filled in: a fresh id, the present
    /// time, an empty payload.
    pub event: SpaceEvent,
    /// When a log took the event before, if the object says so.
    pub recorded_at: Option<Timestamp>,
    /// What of the event the object does not say.
    pub filled_in: FilledIn,
    /// How many of the times of the object have no offset of their own.
    pub naive_times: u8,
}

/// What an object left out or set null, and was filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilledIn {
    /// The id: a fresh one.
    pub event_id: bool,
    /// The time: the present one.
    pub timestamp: bool,
}

impl JsonEvent {
    /// An id made of what the object says, however it is written down: of equal ones by which of
    /// them it is, from 0. Keys that the contract does not name do not count.
    #[must_use]
    pub fn derived_id(&self, occurrence: u64) -> EventId {
        EventId::derived(self.said().as_bytes(), occurrence)
    }

    /// What the object says, in canonical form: what was filled in is the same for all.
    #[must_use]
    pub fn said(&self) -> String {
        let mut event = self.event.clone().with_event_id(EventId::from_bytes([0; EventId::LEN]));
        if self.filled_in.timestamp {
            event.timestamp = Timestamp::MIN;
        }
        let mut said = event.to_json();
        if let Some(recorded_at) = self.recorded_at {
            said.push_str(&recorded_at.to_string());
        }
        said
    }
}

/// An event as a line states it: its texts are those of the line, but where these have escapes.
#[derive(Debug, PartialEq)]
pub(crate) struct LineEvent<'a> {
    pub(crate) event_id: Option<EventId>,
    pub(crate) space_id: Cow<'a, str>,
    pub(crate) payload: Payload<Cow<'a, str>>,
    pub(crate) timestamp: Option<Parsed>,
    pub(crate) recorded_at: Option<Parsed>,
    pub(crate) source: Option<Cow<'a, str>>,
    pub(crate) correlation_id: Option<Cow<'a, str>>,
    pub(crate) tags: Vec<String>,
    pub(crate) origin: Option<EventOrigin>,
}

impl<'a> LineEvent<'a> {
    pub(crate) fn check_limits(&self) -> Result<(), LimitExceeded> {
        self.fields(EventId::from_bytes([0; EventId::LEN]), Timestamp::MIN).check_limits()
    }

    /// The event under this id, and at this time where it states none.
    pub(crate) fn fields(
        &self,
        event_id: EventId,
        now: Timestamp,
    ) -> EventFields<'_, Cow<'a, str>> {
        EventFields {
            event_id,
            space_id: &self.space_id,
            payload: &self.payload,
            timestamp: self.timestamp.map_or(now, |parsed| parsed.time),
            source: self.source.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
            tags: Tags::owned(&self.tags),
            origin: self.origin.as_ref(),
        }
    }

    pub(crate) fn filled_in(&self) -> FilledIn {
        FilledIn { event_id: self.event_id.is_none(), timestamp: self.timestamp.is_none() }
    }

    /// How many of its times have no offset of their own.
    pub(crate) fn naive_times(&self) -> u8 {
        let is_naive = |time: Option<Parsed>| u8::from(time.is_some_and(|time| time.is_naive));
        is_naive(self.timestamp) + is_naive(self.recorded_at)
    }

    /// The event with all of its text owned: what it does not state is filled in.
    pub(crate) fn into_json_event(self, now: Timestamp) -> JsonEvent {
        let (filled_in, naive_times) = (self.filled_in(), self.naive_times());
        let mut event = SpaceEvent::made(
            self.event_id.unwrap_or_else(EventId::new),
            self.space_id.into_owned(),
            self.payload.to_owned_payload(),
            now,
        );
        if let Some(timestamp) = self.timestamp {
            event = event.with_timestamp(timestamp.time);
        }
        event.source = self.source.map(Cow::into_owned);
        event.correlation_id = self.correlation_id.map(Cow::into_owned);
        event.tags = self.tags;
        event.origin = self.origin;
        let recorded_at = self.recorded_at.map(|parsed| parsed.time);
        JsonEvent { event, recorded_at, filled_in, naive_times }
    }
}
