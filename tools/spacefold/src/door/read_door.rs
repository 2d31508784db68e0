//! What commands that only read ask of a store, whichever door leads to it.

use serde_json::value::RawValue;
use spacefold::{
    EventId, Position, Snapshot, Timestamp,
    content::{ContentError, ContentHash, ContentReader},
    event::EventFilter,
    projection::{ActivityCount, ActivityFilter, Occurrence, OpenProblem, ProblemFilter},
};

use super::{printed_info::PrintedInfo, space_row::SpaceRow};
use crate::error::Failure;

/// Takes items one at a time; the first failure ends them.
pub(crate) type Take<'a, T> = dyn FnMut(T) -> Result<(), Failure> + 'a;

/// Events as whole lines of JSON: everything before `next` was handed out, or is not asked for.
pub(crate) struct DoorLines<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) next: Position,
}

/// What became of events that are followed.
pub(crate) enum FollowedLines<'a> {
    Lines(&'a [u8]),
    /// Nothing has come for a while.
    Quiet,
}

/// Takes lines of events; the first failure ends them.
pub(crate) type TakeLines<'a> = dyn FnMut(DoorLines<'_>) -> Result<(), Failure> + 'a;

/// Takes what becomes of events that are followed; the first failure ends it.
pub(crate) type TakeFollowed<'a> = dyn FnMut(FollowedLines<'_>) -> Result<(), Failure> + 'a;

/// What a command asks that only reads. Whatever the door is, the answers are the same.
pub(crate) trait ReadDoor {
    /// The position of the last event that is read.
    fn durable_head(&self) -> Result<Position, Failure>;

    /// Whether the log has an event of a space.
    fn has_space(&self, space_id: &str) -> Result<bool, Failure>;

    /// The position of the last event that was recorded at a time or before.
    fn position_as_of(&self, time: Timestamp) -> Result<Position, Failure>;

    /// The state of a space, now or as of a position.
    fn snapshot(&self, space_id: &str, at: Option<Position>) -> Result<Snapshot, Failure>;

    /// The states of all spaces that exist now, or did then, by their ids.
    fn snapshots(&self, at: Option<Position>, take: &mut Take<'_, Snapshot>)
    -> Result<(), Failure>;

    /// The same spaces, as a list has them.
    fn spaces(&self, at: Option<Position>, take: &mut Take<'_, SpaceRow>) -> Result<(), Failure>;

    /// What changed from one position to another, each change as it is printed.
    fn diff(
        &self,
        space_id: &str,
        from: Position,
        to: Position,
    ) -> Result<Vec<Box<RawValue>>, Failure>;

    /// Who gave each part of a space the value that it had then: a `Blame` as it is printed.
    fn blame(&self, space_id: &str, at: Position) -> Result<serde_json::Value, Failure>;

    /// The events from one position to another, both inclusive, that pass a filter.
    fn events(
        &self,
        range: (Position, Position),
        filter: &EventFilter,
        take: &mut TakeLines<'_>,
    ) -> Result<(), Failure>;

    /// Where the newest `wanted` of the events begin that pass a filter; behind the head when none is
    /// wanted.
    fn begin_of_newest(&self, filter: &EventFilter, wanted: u64) -> Result<Position, Failure>;

    /// The events behind a position that pass a filter, as they come, until `take` fails.
    fn follow(
        &self,
        after: Position,
        filter: EventFilter,
        take: &mut TakeFollowed<'_>,
    ) -> Result<(), Failure>;

    /// The event with an id, as JSON.
    fn find_event(&self, id: EventId) -> Result<Option<String>, Failure>;

    /// Where a content is and was.
    fn occurrences(&self, hash: &str) -> Result<Vec<Occurrence>, Failure>;

    /// How many events there were.
    fn activity(&self, filter: &ActivityFilter) -> Result<Vec<ActivityCount>, Failure>;

    /// What is to be looked after.
    fn open_problems(&self, filter: &ProblemFilter) -> Result<Vec<OpenProblem>, Failure>;

    /// Content by its hash.
    fn open_content(&self, hash: &ContentHash) -> Result<ContentReader, ContentFailure>;

    /// The store at a glance.
    fn info(&self) -> Result<PrintedInfo, Failure>;

    /// Leaves the store as it is.
    fn close(self: Box<Self>) -> Result<(), Failure>;
}

/// Why content is not to be had: what is wrong with it, or whatever else.
pub(crate) enum ContentFailure {
    Content(ContentError),
    Other(Failure),
}

impl From<ContentError> for ContentFailure {
    fn from(error: ContentError) -> Self {
        Self::Content(error)
    }
}

impl From<Failure> for ContentFailure {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<ContentFailure> for Failure {
    fn from(failure: ContentFailure) -> Self {
        match failure {
            ContentFailure::Content(error) => error.into(),
            ContentFailure::Other(failure) => failure,
        }
    }
}
