//! Several filters of which one has to be passed.

use std::{borrow::Cow, fmt};

use crate::{
    event::SpaceEvent,
    filter::EventFilter,
    limits::{LimitExceeded, MAX_QUERY_FILTERS},
    read_error::ReadError,
    record::Records,
    tags,
};

/// Selects events: those that pass any of its filters.
///
/// Each filter is an AND of its parts, the query an OR of its filters: what decisions over several
/// spaces are made of.
///
/// ```
/// use spacefold::{EventType, SpaceEvent, event::{EventFilter, EventQuery}};
/// let course = EventFilter::all().tags(["course:c1"]);
/// let student = EventFilter::all().tags(["student:s7"]).types([EventType::VariableSet]);
/// let query = EventQuery::any_of([course, student]);
/// assert!(query.selects(&SpaceEvent::space_activated("a").with_tags(["course:c1", "x"])));
/// assert!(!query.selects(&SpaceEvent::space_activated("a").with_tags(["student:s7"])));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    filters: Cow<'static, [EventFilter]>,
}

static EVERY: [EventFilter; 1] = [EventFilter::all()];

impl EventQuery {
    /// Every event.
    #[must_use]
    pub const fn all() -> Self {
        Self { filters: Cow::Borrowed(&EVERY) }
    }

    /// The events that pass any of these filters; of none, no event.
    #[must_use]
    pub fn any_of(filters: impl IntoIterator<Item = EventFilter>) -> Self {
        Self { filters: filters.into_iter().collect() }
    }

    /// The filters.
    #[must_use]
    pub fn filters(&self) -> &[EventFilter] {
        &self.filters
    }

    /// Checks the number of filters, and the tags of each, which some event must be able to have.
    ///
    /// Every log asks before it reads, and before it decides on a condition.
    ///
    /// # Errors
    /// The first limit that is passed: [`LimitExceeded::TooManyFilters`],
    /// [`LimitExceeded::TooManyTags`], [`LimitExceeded::TagLength`].
    pub fn check_limits(&self) -> Result<(), LimitExceeded> {
        let filters = self.filters.len();
        if filters > MAX_QUERY_FILTERS {
            return Err(LimitExceeded::TooManyFilters { filters });
        }
        let mut tags = self.filters().iter().map(EventFilter::wanted_tags);
        tags.try_for_each(|tags| tags::check_distinct(tags.len(), tags.iter().map(String::as_str)))
    }

    /// Whether every event passes for certain.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.filters.iter().any(EventFilter::is_all)
    }

    /// Whether an event passes.
    #[must_use]
    pub fn selects(&self, event: &SpaceEvent) -> bool {
        self.filters.iter().any(|filter| filter.selects(event))
    }

    /// The places of the records that pass, ascending.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when a payload has to be decoded and does not.
    pub fn select(&self, records: &Records) -> Result<Vec<usize>, ReadError> {
        if let [filter] = &self.filters[..] {
            return filter.select(records);
        }
        let mut selected = Vec::new();
        for filter in self.filters() {
            selected.extend(filter.select(records)?);
        }
        selected.sort_unstable();
        selected.dedup();
        Ok(selected)
    }
}

impl Default for EventQuery {
    fn default() -> Self {
        Self::all()
    }
}

impl From<EventFilter> for EventQuery {
    fn from(filter: EventFilter) -> Self {
        Self { filters: vec![filter].into() }
    }
}

impl From<&EventFilter> for EventQuery {
    fn from(filter: &EventFilter) -> Self {
        filter.clone().into()
    }
}

/// In words: that of each filter, with `or` between them.
impl fmt::Display for EventQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, filter) in self.filters.iter().enumerate() {
            let or = if place == 0 { "" } else { ", or " };
            write!(f, "{or}{filter}")?;
        }
        if self.filters.is_empty() { f.write_str("no event") } else { Ok(()) }
    }
}
