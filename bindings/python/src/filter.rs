//! Filters, conditions and receipts.

use pyo3::{exceptions::PyTypeError, prelude::*, types::PyString};
use spacefold::{
    Position, Revision,
    event::{EventFilter, EventQuery, TypePattern},
    log::ExpectedRevision,
};

use crate::{errors, event, times};

/// Which events a reader wants.
#[pyclass(frozen, eq, module = "spacefold")]
#[derive(PartialEq)]
pub(crate) struct Filter(pub(crate) EventFilter);

#[pymethods]
impl Filter {
    #[new]
    #[pyo3(signature = (*, types = None, spaces = None, tags = None, document = None, source = None, correlation_id = None))]
    fn new(
        py: Python<'_>,
        types: Option<&Bound<'_, PyAny>>,
        spaces: Option<&Bound<'_, PyAny>>,
        tags: Option<&Bound<'_, PyAny>>,
        document: Option<String>,
        source: Option<String>,
        correlation_id: Option<String>,
    ) -> PyResult<Self> {
        let mut filter = EventFilter::all();
        if let Some(types) = types {
            filter = filter.types(self::types(py, types)?);
        }
        if let Some(spaces) = spaces {
            filter = filter.spaces(each(spaces, |it| it.extract::<String>())?);
        }
        if let Some(tags) = tags {
            filter = filter.tags(each(tags, |it| it.extract::<String>())?);
        }
        if let Some(document) = document {
            filter = filter.document(document);
        }
        if let Some(source) = source {
            filter = filter.source(source);
        }
        if let Some(correlation_id) = correlation_id {
            filter = filter.correlation_id(correlation_id);
        }
        Ok(Self(filter))
    }

    fn __repr__(&self) -> String {
        format!("<Filter: {}>", self.0)
    }
}

/// What `read` makes of one thing, or of each of several.
fn each<T>(
    given: &Bound<'_, PyAny>,
    read: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    // A `str` has letters, and an enumeration of texts is a `str`: both are one thing.
    if given.is_instance_of::<PyString>() || given.try_iter().is_err() {
        return Ok(vec![read(given)?]);
    }
    given.try_iter()?.map(|it| read(&it?)).collect()
}

/// Patterns of types: `"document.*"`, a name, a member of `SpaceEventType`, or several.
pub(crate) fn types(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<Vec<TypePattern>> {
    let patterns = each(given, event::type_name_of)?;
    let parsed = patterns.iter().map(|it| it.parse::<TypePattern>());
    let parsed = parsed.collect::<Result<Vec<_>, _>>();
    parsed.map_err(|error| errors::invalid(py, &error.to_string()))
}

/// A query: no filter, one, or several of which one has to be passed.
pub(crate) fn query_of_py(filter: Option<&Bound<'_, PyAny>>) -> PyResult<EventQuery> {
    let Some(filter) = filter.filter(|it| !it.is_none()) else { return Ok(EventQuery::all()) };
    if let Ok(filter) = filter.cast::<Filter>() {
        return Ok(filter.get().0.clone().into());
    }
    let several = || PyTypeError::new_err("a Filter, or several, are expected");
    let mut filters = Vec::new();
    for it in filter.try_iter().map_err(|_| several())? {
        filters.push(it?.cast::<Filter>().map_err(|_| several())?.get().0.clone());
    }
    Ok(EventQuery::any_of(filters))
}

/// What must hold of the log for an append to happen.
#[pyclass(frozen, eq, module = "spacefold")]
#[derive(Clone, PartialEq)]
pub(crate) struct AppendCondition(pub(crate) spacefold::AppendCondition);

#[pymethods]
impl AppendCondition {
    /// The space is at this revision.
    #[staticmethod]
    fn exact(space_id: String, revision: u64) -> Self {
        Self(spacefold::AppendCondition::exact(space_id, Revision::new(revision)))
    }

    /// The space has no event.
    #[staticmethod]
    fn no_space(space_id: String) -> Self {
        Self(spacefold::AppendCondition::no_space(space_id))
    }

    /// The space has an event.
    #[staticmethod]
    fn exists(space_id: String) -> Self {
        let expected = ExpectedRevision::Exists;
        Self(spacefold::AppendCondition::none().and_expected(space_id, expected))
    }

    /// No event after a position passes the filter, or one of several.
    #[staticmethod]
    #[pyo3(signature = (filter, *, after = 0))]
    fn no_event_matching(filter: &Bound<'_, PyAny>, after: u64) -> PyResult<Self> {
        let query = query_of_py(Some(filter))?;
        Ok(Self(spacefold::AppendCondition::no_event_matching(query, Position::new(after))))
    }

    fn __and__(&self, other: &Self) -> Self {
        Self(self.0.clone().and(other.0.clone()))
    }

    fn __repr__(&self) -> String {
        format!("<{:?}>", self.0)
    }
}

/// What is known of an append that was taken.
#[pyclass(frozen, eq, module = "spacefold")]
#[derive(PartialEq)]
pub(crate) struct Receipt(pub(crate) spacefold::Receipt);

#[pymethods]
impl Receipt {
    /// The position of the first event.
    #[getter]
    fn first_position(&self) -> u64 {
        self.0.first_position().get()
    }

    /// The position of the last event.
    #[getter]
    fn last_position(&self) -> u64 {
        self.0.last_position().get()
    }

    /// How many events there are.
    #[getter]
    fn count(&self) -> u64 {
        self.0.count()
    }

    /// The revision of the space of the last event.
    #[getter]
    fn revision(&self) -> u64 {
        self.0.revision().get()
    }

    /// When the log took the last event, in UTC.
    #[getter]
    fn recorded_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        times::to_datetime(py, self.0.recorded_at())
    }

    /// Whether the events are on disk.
    #[getter]
    fn durable(&self) -> bool {
        self.0.is_durable()
    }

    fn __repr__(&self) -> String {
        format!(
            "Receipt(first_position={}, last_position={}, revision={}, durable={})",
            self.first_position(),
            self.last_position(),
            self.revision(),
            if self.durable() { "True" } else { "False" }
        )
    }
}
