//! The event log as traits: what every log promises, wherever it keeps its events.

mod identity;
mod ingest;
mod mark;
mod page;
mod reader;
mod writer;

pub use self::{
    identity::{LogId, LogIdentity, TimelineFork, TimelineId},
    ingest::{Discontinuity, Ingested},
    mark::{EventMark, LogMark},
    page::Page,
    reader::{LogOrigin, LogReader, Pages, least_after, spaces_of},
    writer::{AppendFuture, LogWriter, PendingAppend},
};

use crate::{
    condition::{AppendCondition, FailedCondition},
    event::SpaceEvent,
    event_id::EventId,
    limits::{LimitExceeded, MAX_APPEND_EVENTS},
    origin::EventOrigin,
    position::{Position, Revision},
    query::EventQuery,
    read_error::ReadError,
    record::Records,
    storage_error::{StorageError, StorageErrorKind},
    timestamp::Timestamp,
};

/// An ordered log of space events: what has both halves.
///
/// Code that only reads takes a [`LogReader`], and cannot append by type; code that only appends takes a
/// [`LogWriter`]. `Arc<dyn EventLog>` becomes either where it is handed over.
///
/// ```
/// use std::sync::Arc;
/// use spacefold::{Position, SpaceEvent, log::{AppendRequest, EventLog, LogReader, MemoryLog}};
/// let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// let reader: Arc<dyn LogReader> = log;
/// assert_eq!(reader.head(), Position::new(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait EventLog: LogReader + LogWriter {}

impl<L: LogReader + LogWriter + ?Sized> EventLog for L {}

/// An append: the events, what must hold, and when they were recorded.
///
/// ```
/// use spacefold::{AppendCondition, SpaceEvent, log::AppendRequest};
/// let events = [SpaceEvent::space_created("handbook", "Handbook")];
/// let append = AppendRequest::new(&events).on(AppendCondition::no_space("handbook"));
/// assert_eq!(append.events().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct AppendRequest<'a> {
    events: &'a [SpaceEvent],
    condition: AppendCondition,
    recorded_at: Option<&'a [Timestamp]>,
    takes_reserved_types: bool,
    takes_stored: bool,
}

impl<'a> AppendRequest<'a> {
    /// An append without a condition, recorded when the log takes it.
    #[must_use]
    pub const fn new(events: &'a [SpaceEvent]) -> Self {
        Self {
            events,
            condition: AppendCondition::none(),
            recorded_at: None,
            takes_reserved_types: false,
            takes_stored: true,
        }
    }

    /// The append on this condition.
    #[must_use]
    pub fn on(mut self, condition: AppendCondition) -> Self {
        self.condition = condition;
        self
    }

    /// The append with a time for each event, at which another log took it: for imports. The log
    /// clamps each up to its predecessor's and down to the present.
    #[must_use]
    pub const fn recorded_at(mut self, times: &'a [Timestamp]) -> Self {
        self.recorded_at = Some(times);
        self
    }

    /// The append with events of types that are spacefold's own
    /// ([`COMMAND_UNCHANGED`](crate::COMMAND_UNCHANGED)), which are refused otherwise: for what records
    /// them, and for imports.
    #[must_use]
    pub const fn with_reserved_types(mut self) -> Self {
        self.takes_reserved_types = true;
        self
    }

    /// Whether it may have events of types that are spacefold's own.
    #[must_use]
    pub const fn takes_reserved_types(&self) -> bool {
        self.takes_reserved_types
    }

    /// The append of events that are new: where an id of theirs is stored it is refused with
    /// [`AppendError::EventIdReused`], whatever is stored under it. For callers that answer their
    /// repetitions themselves.
    #[must_use]
    pub const fn of_new_events(mut self) -> Self {
        self.takes_stored = false;
        self
    }

    /// Whether it is answered where its events are stored already, as they were the first time.
    #[must_use]
    pub const fn takes_stored(&self) -> bool {
        self.takes_stored
    }

    /// The events.
    #[must_use]
    pub const fn events(&self) -> &'a [SpaceEvent] {
        self.events
    }

    /// What must hold.
    #[must_use]
    pub const fn condition(&self) -> &AppendCondition {
        &self.condition
    }

    /// When other logs took the events, if that is to be kept.
    #[must_use]
    pub const fn times(&self) -> Option<&'a [Timestamp]> {
        self.recorded_at
    }
}

/// What is known after an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    first_position: Position,
    last_position: Position,
    revision: Revision,
    recorded_at: Timestamp,
    durable: bool,
}

impl Receipt {
    /// A receipt for the events from `first_position` to `last_position`, the last of which is at
    /// `revision` of its space and was recorded at `recorded_at`.
    #[must_use]
    pub const fn new(
        first_position: Position,
        last_position: Position,
        revision: Revision,
        recorded_at: Timestamp,
        durable: bool,
    ) -> Self {
        Self { first_position, last_position, revision, recorded_at, durable }
    }

    /// The receipt of the append that consists of these runs of records, one after the other.
    #[must_use]
    pub fn of(runs: &[Records], durable: bool) -> Self {
        let first = runs.first().map_or(Position::START, Records::first_position);
        let last = runs.last().and_then(|records| records.envelope(records.len() - 1));
        let (position, revision, recorded_at) = last
            .map_or((Position::START, Revision::NONE, Timestamp::MIN), |event| {
                (event.position, event.revision, event.recorded_at)
            });
        Self::new(first, position, revision, recorded_at, durable)
    }

    /// The position of the first event.
    #[must_use]
    pub const fn first_position(&self) -> Position {
        self.first_position
    }

    /// The position of the last event.
    #[must_use]
    pub const fn last_position(&self) -> Position {
        self.last_position
    }

    /// The number of events.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.last_position.since(self.first_position) + 1
    }

    /// The revision of the last event in its space.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// When the log took the last event: all of them, unless the append brought times of its own.
    #[must_use]
    pub const fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// The receipt with another answer to whether the events are on disk.
    #[must_use]
    pub const fn with_durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Whether the events were on disk when the receipt was given.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        self.durable
    }
}

/// A read: from where, how far, and what.
///
/// ```
/// use spacefold::{Position, event::EventFilter, log::ReadRequest};
/// let read = ReadRequest::from(Position::new(1)).to(Position::new(100)).matching(EventFilter::all()).limit(10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// The first position that may be read, inclusive.
    pub from: Position,
    /// The last position that may be read, inclusive.
    pub to: Position,
    /// Which events.
    pub query: EventQuery,
    /// How many events a page holds at the most; at least 1.
    pub limit: usize,
    /// How many events are looked at for a page, whether they pass or not, before it is given as it
    /// is, empty too; at least 1. Runs of events are looked at whole, so it may be one run more.
    pub look: usize,
}

impl ReadRequest {
    /// A read of every event from `from` on.
    #[must_use]
    pub const fn from(from: Position) -> Self {
        Self {
            from,
            to: Position::new(u64::MAX),
            query: EventQuery::all(),
            limit: MAX_APPEND_EVENTS,
            look: usize::MAX,
        }
    }

    /// The read up to `to`, inclusive.
    #[must_use]
    pub const fn to(mut self, to: Position) -> Self {
        self.to = to;
        self
    }

    /// The read of what passes a filter, or any filter of a query.
    #[must_use]
    pub fn matching(mut self, query: impl Into<EventQuery>) -> Self {
        self.query = query.into();
        self
    }

    /// The read in pages of at most `limit` events; none is too few, and is refused by the log.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The read in pages for each of which about `events` events are looked at, whether they pass
    /// the filter or not: for a caller that may not work for long in one go.
    #[must_use]
    pub const fn looking_at(mut self, events: usize) -> Self {
        self.look = events;
        self
    }

    /// Whether a page can lead anywhere, and the query is within its limits: every log asks before it
    /// reads.
    ///
    /// # Errors
    /// [`ReadError::NothingAsked`]; [`ReadError::Query`].
    pub fn check(&self) -> Result<(), ReadError> {
        if self.limit == 0 || self.look == 0 {
            return Err(ReadError::NothingAsked);
        }
        Ok(self.query.check_limits()?)
    }
}

/// Why an append did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// There are no events. Nothing is stored.
    #[error("an append needs at least one event; nothing was written")]
    Empty,
    /// Something is past its limit. Nothing is stored.
    #[error("event {index} of the append: {limit}; nothing was written")]
    Limit {
        /// Which event of the append, from 0.
        index: usize,
        /// What is past which limit.
        limit: LimitExceeded,
    },
    /// An event is of a type that only spacefold itself records. Nothing is stored.
    #[error(
        "event {index} of the append: events of type {name:?} are recorded by spacefold alone; nothing was written"
    )]
    ReservedType {
        /// Which event of the append, from 0.
        index: usize,
        /// The name of its type.
        name: &'static str,
    },
    /// There is not one recording time for each event. Nothing is stored.
    #[error("the append has {events} events and {times} recording times; nothing was written")]
    TimesMismatch {
        /// Its events.
        events: usize,
        /// Its recording times.
        times: usize,
    },
    /// An event id occurs twice in the append. Nothing is stored.
    #[error("event id {id} occurs twice in the append; nothing was written")]
    DuplicateEventId {
        /// The id.
        id: EventId,
    },
    /// An event id is stored already, with other content or in another run of events; of [new
    /// events](AppendRequest::of_new_events), whatever is stored under it. Nothing is stored.
    #[error("event id {id} is stored at position {position} already; nothing was written")]
    EventIdReused {
        /// The id.
        id: EventId,
        /// Where it is stored.
        position: Position,
    },
    /// Two events of the append say that they come from the same place. Nothing is stored.
    #[error("origin {origin} occurs twice in the append; nothing was written")]
    DuplicateOrigin {
        /// Where they come from.
        origin: EventOrigin,
    },
    /// Another event that comes from the same place is stored already: it was taken under another id.
    /// Nothing is stored.
    #[error(
        "the event at position {position} has the origin {origin} already; nothing was written"
    )]
    OriginReused {
        /// Where both come from.
        origin: EventOrigin,
        /// Where the other event is stored.
        position: Position,
    },
    /// An event that is to be taken as another log recorded it does not follow what is stored.
    /// Nothing is stored.
    #[error(
        "the event recorded at position {position} does not follow: {why}; nothing was written"
    )]
    DoesNotFollow {
        /// Where the other log has the event.
        position: Position,
        /// What is wrong with it.
        why: Discontinuity,
    },
    /// Parts of the condition do not hold. Nothing is stored.
    #[error("the condition does not hold: {}; nothing was written", join(failed))]
    ConditionFailed {
        /// Every part that does not hold, with the current value.
        failed: Vec<FailedCondition>,
    },
    /// The log takes no appends until it is opened again, since an earlier one failed on disk, its
    /// folder is gone, or it was opened where nothing can be written. Nothing of this append is stored.
    #[error("the log takes no appends until it is opened again: {reason}; nothing was written")]
    Refused {
        /// What kind of failure that was.
        #[source]
        kind: StorageErrorKind,
        /// What happened to the earlier one.
        reason: String,
    },
    /// The store takes as many bytes as it may. Nothing of this append is stored; reading goes on, and
    /// appends do once the limit is raised or the store takes less.
    #[error(
        "the store takes {used} bytes, and may take {max}: raise the limit; nothing was written"
    )]
    PastQuota {
        /// Bytes that it takes.
        used: u64,
        /// Bytes that it may take.
        max: u64,
    },
    /// The disk failed while the append was being made durable: on the next open it is there
    /// whole, or not at all.
    #[error(
        "the outcome of the append is unknown, all or none of it is stored; open the log again: {0}"
    )]
    OutcomeUnknown(#[source] StorageError),
    /// What the append had to be checked against could not be read. Nothing is stored.
    #[error("the append could not be checked; nothing was written: {0}")]
    Unreadable(#[from] ReadError),
    /// The log is closed. Nothing is stored.
    #[error("the log is closed; nothing was written")]
    Closed,
}

impl AppendError {
    /// What kind of failure of the storage is behind it; `None` when it is none.
    #[must_use]
    pub fn storage_kind(&self) -> Option<StorageErrorKind> {
        match self {
            Self::Refused { kind, .. } => Some(*kind),
            Self::OutcomeUnknown(error) | Self::Unreadable(ReadError::Storage(error)) => {
                Some(error.kind())
            }
            _ => None,
        }
    }
}

fn join(failed: &[FailedCondition]) -> String {
    failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
