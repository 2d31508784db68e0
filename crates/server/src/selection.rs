//! Which events are asked for, and from where to where: of a URL, and of a body for filters that no
//! URL holds. One meaning for both, and for the conditions of appends.

use std::fmt;

use serde::Deserialize;
use spacefold::{
    Position,
    event::{EventFilter, EventQuery, MAX_QUERY_FILTERS, MAX_TAGS, TypePattern, id_of_text},
    log::LogIdentity,
};

use crate::{
    access::CallerAccess,
    app::App,
    bounded::{Bounded, ObjectOf, OneOrMore},
    parameters::{Parameters, invalid},
    problem::HttpProblem,
};

/// Spaces, types or stores that one filter names.
pub(crate) const MAX_FILTER_NAMES: usize = 4_096;

/// A filter as it is written down.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenFilter {
    space: OneOrMore<MAX_FILTER_NAMES>,
    r#type: OneOrMore<MAX_FILTER_NAMES>,
    tag: OneOrMore<{ MAX_TAGS + 1 }>,
    document: Option<String>,
    source: Option<String>,
    correlation: Option<String>,
    not_from: OneOrMore<MAX_FILTER_NAMES>,
}

impl WrittenFilter {
    pub(crate) fn of(given: &mut Parameters) -> Result<Self, HttpProblem> {
        Ok(Self {
            space: OneOrMore(given.all("space")),
            r#type: OneOrMore(given.all("type")),
            tag: OneOrMore(given.all("tag")),
            document: given.text("document")?,
            source: given.text("source")?,
            correlation: given.text("correlation")?,
            not_from: OneOrMore(given.all("not_from")),
        })
    }

    /// The filter that it states.
    pub(crate) fn filter(self) -> Result<EventFilter, HttpProblem> {
        let mut filter = EventFilter::all().tags(self.tag.0);
        if !self.space.0.is_empty() {
            filter = filter.spaces(self.space.0);
        }
        if !self.r#type.0.is_empty() {
            let types = self.r#type.0.iter().map(|name| name.parse::<TypePattern>());
            let types = types.collect::<Result<Vec<_>, _>>();
            filter = filter.types(types.map_err(|error| invalid("type", error))?);
        }
        if let Some(document_id) = self.document {
            filter = filter.document(document_id);
        }
        if let Some(source) = self.source {
            filter = filter.source(source);
        }
        if let Some(correlation_id) = self.correlation {
            filter = filter.correlation_id(correlation_id);
        }
        for store in &self.not_from.0 {
            let id = id_of_text(store);
            let id = id.ok_or_else(|| invalid("not_from", "a store id is a UUID"))?;
            filter = filter.not_from(id);
        }
        EventQuery::from(&filter).check_limits().map_err(|limit| HttpProblem::from(&limit))?;
        Ok(filter)
    }
}

/// Several filters, of which an event has to pass any.
pub(crate) type WrittenQuery = Bounded<ObjectOf<WrittenFilter>, MAX_QUERY_FILTERS>;

pub(crate) fn query_of(filters: WrittenQuery) -> Result<EventQuery, HttpProblem> {
    let filters = filters.0.into_iter().map(|ObjectOf(filter)| filter.filter());
    let query = EventQuery::any_of(filters.collect::<Result<Vec<_>, _>>()?);
    query.check_limits().map_err(|limit| HttpProblem::from(&limit))?;
    Ok(query)
}

/// Where a reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Behind a position.
    After(Position),
    /// With so many of the newest events.
    Last(u64),
}

/// Which events are read, and how many at the most.
#[derive(Clone, Debug)]
pub(crate) struct EventReading {
    pub(crate) query: EventQuery,
    pub(crate) begin: Begin,
    pub(crate) to: Option<Position>,
    pub(crate) limit: Option<u64>,
    /// What of it is shown.
    pub(crate) access: CallerAccess,
}

/// From where to where, as it is written down.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenReading {
    /// Every event where it is absent.
    filters: Option<WrittenQuery>,
    after: Option<u64>,
    from: Option<u64>,
    to: Option<u64>,
    last: Option<u64>,
    limit: Option<u64>,
    timeline: Option<String>,
}

impl WrittenReading {
    pub(crate) fn of(given: &mut Parameters) -> Result<Self, HttpProblem> {
        Ok(Self {
            filters: None,
            after: given.number("after")?,
            from: given.number("from")?,
            to: given.number("to")?,
            last: given.number("last")?,
            limit: given.number("limit")?,
            timeline: given.text("timeline")?,
        })
    }

    /// The reading of the events that pass its filters, or `filter` where it has none.
    pub(crate) fn reading(
        self,
        app: &App,
        filter: EventFilter,
        access: CallerAccess,
    ) -> Result<EventReading, HttpProblem> {
        check_timeline(app, self.timeline.as_deref())?;
        let begin = match (self.after, self.from, self.last) {
            (after, None, None) => Begin::After(Position::new(after.unwrap_or(0))),
            (None, Some(from), None) => Begin::After(Position::new(from).previous()),
            (None, None, Some(last)) if last <= app.limits().max_page_events => Begin::Last(last),
            (None, None, Some(_)) => {
                let most = app.limits().max_page_events;
                return Err(invalid("last", format_args!("at most {most} are searched for")));
            }
            _ => return Err(invalid("from", "of after, from and last there is one at the most")),
        };
        if self.limit == Some(0) {
            return Err(invalid("limit", "none is too few"));
        }
        let query = self.filters.map_or_else(|| Ok(filter.into()), query_of)?;
        let to = self.to.map(Position::new);
        Ok(EventReading { query, begin, to, limit: self.limit, access })
    }
}

/// Whether the URL names the timeline that is served; fails where it names another.
pub(crate) fn check_timeline(app: &App, named: Option<&str>) -> Result<bool, HttpProblem> {
    let Some(named) = named else { return Ok(false) };
    let identity = app.identity();
    let Some(id) = id_of_text(named) else {
        return Err(invalid("timeline", "a timeline is a UUID, as /v1 says it"));
    };
    if id == identity.timeline.to_bytes() {
        return Ok(true);
    }
    let detail = "positions of another timeline mean nothing here beyond where this one parted";
    Err(timeline_changed(&identity, detail))
}

/// What is said of positions of another timeline, with where this one parted from it.
pub(crate) fn timeline_changed(identity: &LogIdentity, detail: impl fmt::Display) -> HttpProblem {
    let problem = HttpProblem::new(axum::http::StatusCode::GONE, "timeline_changed", detail)
        .field("timeline", identity.timeline.to_string());
    match identity.fork {
        Some(fork) => {
            problem.field("parent", fork.parent.to_string()).field("fork_position", fork.position)
        }
        None => problem,
    }
}
