//! What must hold for an append to happen.

use std::fmt;

use crate::{
    event_id::EventId,
    position::{Position, Revision},
    query::EventQuery,
};

/// What the revision of a space must be when the append is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedRevision {
    /// Anything.
    Any,
    /// None: the space has no event yet.
    NoSpace,
    /// The space has an event.
    Exists,
    /// Exactly this one.
    Exact(Revision),
}

impl ExpectedRevision {
    /// Whether a space at revision `current` meets the expectation.
    #[must_use]
    pub fn is_met_by(self, current: Revision) -> bool {
        match self {
            Self::Any => true,
            Self::NoSpace => current == Revision::NONE,
            Self::Exists => current > Revision::NONE,
            Self::Exact(revision) => current == revision,
        }
    }
}

impl fmt::Display for ExpectedRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any revision"),
            Self::NoSpace => f.write_str("no space"),
            Self::Exists => f.write_str("an existing space"),
            Self::Exact(revision) => write!(f, "revision {revision}"),
        }
    }
}

/// What must hold for an append to happen: all of its parts, checked together.
///
/// ```
/// use spacefold::{AppendCondition, EventType, Position, Revision, event::EventFilter};
/// let condition = AppendCondition::exact("handbook", Revision::new(3))
///     .and_no_event_matching(
///         EventFilter::all().types([EventType::SpaceDeleted]),
///         Position::new(120),
///     );
/// assert_ne!(condition, AppendCondition::none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendCondition {
    pub(crate) expected: Vec<(String, ExpectedRevision)>,
    pub(crate) no_event_matching: Vec<NoEventMatching>,
}

/// A part of a condition: no event that passes the query stands after a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoEventMatching {
    pub(crate) query: EventQuery,
    pub(crate) after: Position,
}

impl AppendCondition {
    /// No condition: the append always happens.
    #[must_use]
    pub const fn none() -> Self {
        Self { expected: Vec::new(), no_event_matching: Vec::new() }
    }

    /// `space_id` is at exactly this revision.
    #[must_use]
    pub fn exact(space_id: impl Into<String>, revision: Revision) -> Self {
        Self::none().and_expected(space_id, ExpectedRevision::Exact(revision))
    }

    /// `space_id` has no event yet.
    #[must_use]
    pub fn no_space(space_id: impl Into<String>) -> Self {
        Self::none().and_expected(space_id, ExpectedRevision::NoSpace)
    }

    /// `space_id` has an event.
    #[must_use]
    pub fn exists(space_id: impl Into<String>) -> Self {
        Self::none().and_expected(space_id, ExpectedRevision::Exists)
    }

    /// No event that passes a filter, or any filter of a query, stands after a position: what was decided from the events up
    /// to there still holds.
    #[must_use]
    pub fn no_event_matching(query: impl Into<EventQuery>, after: Position) -> Self {
        Self::none().and_no_event_matching(query, after)
    }

    /// And `space_id` meets this expectation.
    #[must_use]
    pub fn and_expected(mut self, space_id: impl Into<String>, expected: ExpectedRevision) -> Self {
        self.expected.push((space_id.into(), expected));
        self
    }

    /// And no event that passes a filter, or any filter of a query, stands after a position.
    #[must_use]
    pub fn and_no_event_matching(mut self, query: impl Into<EventQuery>, after: Position) -> Self {
        self.no_event_matching.push(NoEventMatching { query: query.into(), after });
        self
    }

    /// And everything that another condition asks for.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.expected.extend(other.expected);
        self.no_event_matching.extend(other.no_event_matching);
        self
    }

    /// The spaces whose revision it names, each with what is expected.
    #[must_use]
    pub fn expected_revisions(&self) -> &[(String, ExpectedRevision)] {
        &self.expected
    }

    /// The queries that no event may pass, each with the position after which events count.
    pub fn unmatched_queries(&self) -> impl Iterator<Item = (&EventQuery, Position)> {
        self.no_event_matching.iter().map(|part| (&part.query, part.after))
    }

    /// Whether nothing has to hold.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.expected.is_empty() && self.no_event_matching.is_empty()
    }
}

/// A part of a condition that did not hold, with what was found instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailedCondition {
    /// A space is at another revision.
    Revision {
        /// The space.
        space_id: String,
        /// What it was expected to be at.
        expected: ExpectedRevision,
        /// Where it is.
        current: Revision,
    },
    /// An event that was not to be there is there.
    EventMatches {
        /// The position after which there was to be none.
        after: Position,
        /// The first such event.
        position: Position,
        /// Its id.
        event_id: EventId,
    },
}

impl fmt::Display for FailedCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision { space_id, expected, current } => {
                write!(f, "space {space_id:?} is at revision {current}: expected {expected}")
            }
            Self::EventMatches { after, position, event_id } => write!(
                f,
                "event {event_id} at position {position} matches: expected none after {after}"
            ),
        }
    }
}
