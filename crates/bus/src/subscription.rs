//! What one subscribes to.

use std::time::Duration;

use spacefold_event_core::{EventFilter, Position, Timestamp, TypePattern};

/// A subscriber that was caught up and is so many events behind counts as lagging, unless told
/// otherwise.
const LAGGING_AFTER_EVENTS: u64 = 65_536;

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    After(Position),
    Now,
    Time(Timestamp),
}

/// What a subscriber gets that has fallen behind.
///
/// Whatever it is, memory stays bounded and the writer waits for nobody: events are read from the
/// log when the subscriber asks for them. History that a subscription begins with is always given
/// whole; this is about falling behind afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LagPolicy {
    /// Every event, read from the log.
    #[default]
    ReadOn,
    /// Of each page only the newest event of each document, and those that are about no single
    /// document; [`Delivery::Skipped`](crate::Delivery::Skipped) says how many were left out.
    CoalesceDocuments,
    /// The newest events only: half as many as it may be behind.
    /// [`Delivery::Skipped`](crate::Delivery::Skipped) says how many were left out.
    SkipOldest,
}

/// A description of what to subscribe to: where to begin, which events, and what to do about
/// falling behind.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use spacefold::{EventType, Subscription, subscribe::LagPolicy};
/// let subscription = Subscription::from_start()
///     .spaces(["handbook"])
///     .types([EventType::DocumentContentChanged])
///     .heartbeat(Duration::from_secs(5))
///     .lagging_after(10_000)
///     .lag_policy(LagPolicy::CoalesceDocuments);
/// # drop(subscription);
/// ```
#[derive(Clone, Debug)]
pub struct Subscription {
    pub(crate) start: Start,
    pub(crate) filter: EventFilter,
    pub(crate) name: String,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) lagging_after: u64,
    pub(crate) lag_policy: LagPolicy,
}

impl Subscription {
    const fn beginning(start: Start) -> Self {
        Self {
            start,
            filter: EventFilter::all(),
            name: String::new(),
            heartbeat: None,
            lagging_after: LAGGING_AFTER_EVENTS,
            lag_policy: LagPolicy::ReadOn,
        }
    }

    /// Every event from the first on.
    #[must_use]
    pub const fn from_start() -> Self {
        Self::after(Position::START)
    }

    /// The events behind a position.
    #[must_use]
    pub const fn after(position: Position) -> Self {
        Self::beginning(Start::After(position))
    }

    /// The events that become durable from now on: from when the subscriber is opened.
    #[must_use]
    pub const fn from_now() -> Self {
        Self::beginning(Start::Now)
    }

    /// The events that were recorded at this time or later.
    #[must_use]
    pub const fn from_time(time: Timestamp) -> Self {
        Self::beginning(Start::Time(time))
    }

    /// Only events that pass `filter`, which takes the place of every selection made so far.
    #[must_use]
    pub fn matching(mut self, filter: EventFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Only events of these types: core ones, or what a [`TypePattern`] says of names.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = impl Into<TypePattern>>) -> Self {
        self.filter = self.filter.types(types);
        self
    }

    /// Only events that have all of these tags.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.filter = self.filter.tags(tags);
        self
    }

    /// Only events of these spaces.
    #[must_use]
    pub fn spaces(mut self, spaces: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.filter = self.filter.spaces(spaces);
        self
    }

    /// Only events whose payload names this document.
    #[must_use]
    pub fn document(mut self, document_id: impl Into<String>) -> Self {
        self.filter = self.filter.document(document_id);
        self
    }

    /// Only events of this source.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.filter = self.filter.source(source);
        self
    }

    /// Only events with this correlation id.
    #[must_use]
    pub fn correlation_id(mut self, correlation_id: impl Into<String>) -> Self {
        self.filter = self.filter.correlation_id(correlation_id);
        self
    }

    /// The name under which the subscriber is listed and traced.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// After so long without anything to deliver,
    /// [`Delivery::Heartbeat`](crate::Delivery::Heartbeat) says how far the subscriber has come.
    /// One that is awaited as a stream may come up to a second late.
    #[must_use]
    pub const fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval);
        self
    }

    /// How many events a subscriber that was caught up may be behind the durable head, whether they
    /// pass the filter or not, before it counts as lagging: 65,536 unless told otherwise.
    #[must_use]
    pub const fn lagging_after(mut self, events: u64) -> Self {
        self.lagging_after = events;
        self
    }

    /// What it gets when it is lagging.
    #[must_use]
    pub const fn lag_policy(mut self, lag_policy: LagPolicy) -> Self {
        self.lag_policy = lag_policy;
        self
    }

    /// The events that pass.
    #[must_use]
    pub const fn filter(&self) -> &EventFilter {
        &self.filter
    }

    /// The same subscription, beginning behind a position.
    #[must_use]
    pub const fn beginning_after(mut self, position: Position) -> Self {
        self.start = Start::After(position);
        self
    }
}
