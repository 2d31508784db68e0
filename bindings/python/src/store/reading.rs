//! What is read: events, states, what led from one to another.

use std::sync::Arc;

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::PyString,
};
use spacefold::{
    EventId, Moment, Position, Revision, SpacesReader,
    event::{EventFilter, TypeSelection},
    log::ReadRequest,
    projection::{ActivityFilter, Day},
    subscribe::LagPolicy,
};

use super::Store;
use crate::{
    calls,
    errors::{self, OrRaise},
    event::RecordedEvent,
    events::{self, Events},
    filter::{self, Filter},
    json,
    opened::Opened,
    queue::Queue,
    snapshot::{self, Diff, Snapshot},
    subscription::{Receiver, Subscription},
    table::{Column, Table},
    times,
};

/// Days from 1970-01-01, as Arrow counts them.
fn day_number(day: &str) -> Option<i32> {
    let mut parts = day.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    // The civil calendar in eras of 400 years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    i32::try_from(days).ok()
}

fn beginning(
    after: Option<&Bound<'_, PyAny>>,
    filter: Option<&Filter>,
) -> PyResult<spacefold::Subscription> {
    let begun = match after {
        None => spacefold::Subscription::from_start(),
        Some(after) if after.is_instance_of::<PyString>() => match after.extract::<&str>()? {
            "now" => spacefold::Subscription::from_now(),
            other => {
                let message = format!("after is a position, a datetime or \"now\", not {other:?}");
                return Err(PyValueError::new_err(message));
            }
        },
        Some(after) => match times::moment(after)? {
            Moment::Position(position) => spacefold::Subscription::after(position),
            Moment::Time(time) => spacefold::Subscription::from_time(time),
            _ => return Err(PyTypeError::new_err("after is a position, a datetime or \"now\"")),
        },
    };
    Ok(match filter {
        Some(filter) => begun.matching(filter.0.clone()),
        None => begun,
    })
}

impl Store {
    /// A state: of now, or of a moment.
    fn state(
        &self,
        py: Python<'_>,
        space_id: &str,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<spacefold::Snapshot> {
        let store = self.get(py)?;
        let at = at.map(times::moment).transpose()?;
        let taken = calls::detached(py, || match at {
            None => store.snapshot(space_id),
            Some(moment) => store.at(moment).snapshot(space_id),
        })?;
        taken.or_raise(py)
    }

    /// Calls the engine in a thread of its own, since it may take long.
    fn long<T: Send + 'static>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&SpacesReader) -> T + Send + 'static,
    ) -> PyResult<T> {
        let store: Arc<Opened> = Arc::clone(self.get(py)?);
        calls::interruptible(py, move |_| call(&store))
    }

    fn states(
        &self,
        py: Python<'_>,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<spacefold::Snapshot>> {
        let at = at.map(times::moment).transpose()?;
        let taken = self.long(py, move |store| match at {
            None => store.snapshot_all(),
            Some(moment) => store.at(moment).snapshot_all(),
        })?;
        taken.or_raise(py)
    }
}

#[pymethods]
impl Store {
    /// The position of the last event that is known to be on disk.
    #[getter]
    fn durable_head(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.get(py)?.durable_head().get())
    }

    /// The events that pass a filter, or one of several, after a position and up to another one: an
    /// iterable of `RecordedEvent`, and a table.
    #[pyo3(signature = (filter = None, *, after = 0, to = None, limit = None))]
    fn events(
        &self,
        py: Python<'_>,
        filter: Option<&Bound<'_, PyAny>>,
        after: u64,
        to: Option<u64>,
        limit: Option<u64>,
    ) -> PyResult<Events> {
        let query = filter::query_of_py(filter)?;
        query.check_limits().or_raise(py)?;
        Ok(Events::new(self.get(py)?, events::request(query, after, to), limit))
    }

    /// The events of a space, or of one of its documents. Raises `NotFound` when there is no such space.
    #[pyo3(signature = (space_id, document_id = None))]
    fn history(
        &self,
        py: Python<'_>,
        space_id: &str,
        document_id: Option<String>,
    ) -> PyResult<Events> {
        let store = self.get(py)?;
        let revision = calls::detached(py, || store.log().revision(space_id))?.or_raise(py)?;
        if revision == Revision::NONE {
            return Err(errors::not_found(py, &format!("there is no space {space_id:?}")));
        }
        let filter = EventFilter::all().spaces([space_id]);
        let filter = match document_id {
            Some(document_id) => filter.document(document_id),
            None => filter,
        };
        Ok(Events::new(store, events::request(filter.into(), 0, None), None))
    }

    /// The events of a space after a revision, at most `limit`.
    #[pyo3(signature = (space_id, *, after = 0, limit = 4096))]
    fn read_space(
        &self,
        py: Python<'_>,
        space_id: &str,
        after: u64,
        limit: usize,
    ) -> PyResult<Vec<RecordedEvent>> {
        let store = self.get(py)?;
        let from = Revision::new(after).next();
        let page = calls::detached(py, || store.log().read_space(space_id, from, limit))?;
        let mut queue = Queue::default();
        queue.fill(&page.or_raise(py)?);
        Ok(std::iter::from_fn(|| queue.pop()).collect())
    }

    /// Decodes every event and makes nothing of it, to be measured against; answers how many.
    fn _replay(&self, py: Python<'_>) -> PyResult<u64> {
        let replayed = self.long(py, |store| {
            let mut events = 0;
            for page in store.log().pages(ReadRequest::from(Position::new(1))) {
                for event in page?.events() {
                    event?;
                    events += 1;
                }
            }
            Ok::<_, spacefold::ReadError>(events)
        })?;
        replayed.or_raise(py)
    }

    /// The position of the event with this id, or `None`.
    fn find_event(&self, py: Python<'_>, event_id: &str) -> PyResult<Option<u64>> {
        let store = self.get(py)?;
        let id = event_id.parse::<EventId>();
        let id = id.map_err(|error| errors::invalid(py, &error.to_string()))?;
        let found = calls::detached(py, || store.find_event(id))?.or_raise(py)?;
        Ok(found.map(Position::get))
    }

    /// The revision of a space; 0 when it has no event.
    fn revision(&self, py: Python<'_>, space_id: &str) -> PyResult<u64> {
        let store = self.get(py)?;
        let revision = calls::detached(py, || store.log().revision(space_id))?.or_raise(py)?;
        Ok(revision.get())
    }

    /// The ids of all spaces that have an event, sorted.
    fn space_ids(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let store = self.get(py)?;
        let spaces = calls::detached(py, || SpacesReader::spaces(store))?.or_raise(py)?;
        Ok(spaces.into_iter().map(|(id, _)| id).collect())
    }

    /// The state of a space: now, with all that was appended through this store, or as of a position or
    /// a `datetime`. Raises `NotFound` when there is no such space then.
    #[pyo3(signature = (space_id, *, at = None))]
    fn snapshot(
        &self,
        py: Python<'_>,
        space_id: &str,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Snapshot> {
        self.state(py, space_id, at).map(Snapshot)
    }

    /// The state of a space at a position or later: waits until that is there, at most this many
    /// seconds, else raises `WaitTimeout`.
    #[pyo3(signature = (space_id, position, timeout = None))]
    fn snapshot_after(
        &self,
        py: Python<'_>,
        space_id: &str,
        position: u64,
        timeout: Option<f64>,
    ) -> PyResult<Snapshot> {
        let store = self.get(py)?;
        let (position, timeout) = (Position::new(position), times::timeout(timeout)?);
        let step = |slice| match store.snapshot_after(space_id, position, slice) {
            Err(spacefold::SnapshotError::TimedOut { .. }) => None,
            taken => Some(taken),
        };
        match calls::waiting(py, timeout, step)? {
            Some(taken) => taken.or_raise(py).map(Snapshot),
            None => {
                let message = format!("position {position} is not durable yet");
                Err(errors::timed_out(py, &message))
            }
        }
    }

    /// The states of all spaces at one moment, sorted by id.
    #[pyo3(signature = (*, at = None))]
    fn snapshots(&self, py: Python<'_>, at: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<Snapshot>> {
        Ok(self.states(py, at)?.into_iter().map(Snapshot).collect())
    }

    /// All spaces as a table: now, or as of a position or a `datetime`.
    #[pyo3(signature = (*, at = None))]
    fn spaces(&self, py: Python<'_>, at: Option<&Bound<'_, PyAny>>) -> PyResult<Table> {
        snapshot::spaces(&self.states(py, at)?)
    }

    /// The documents of a space as a table: now, or as of a position or a `datetime`.
    #[pyo3(signature = (space_id, *, at = None))]
    fn documents(
        &self,
        py: Python<'_>,
        space_id: &str,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Table> {
        snapshot::documents(&self.state(py, space_id, at)?)
    }

    /// The last position whose event was recorded at or before a `datetime`.
    fn position_at(&self, py: Python<'_>, time: &Bound<'_, PyAny>) -> PyResult<u64> {
        let store = self.get(py)?;
        let time = times::of_datetime(time)?;
        let position = calls::detached(py, || store.at(time).position())?.or_raise(py)?;
        Ok(position.get())
    }

    /// What changed in a space, or in one of its documents, from one moment to another.
    #[pyo3(signature = (space_id, start, end, *, document_id = None))]
    fn diff(
        &self,
        py: Python<'_>,
        space_id: &str,
        start: &Bound<'_, PyAny>,
        end: &Bound<'_, PyAny>,
        document_id: Option<&str>,
    ) -> PyResult<Diff> {
        let store = self.get(py)?;
        let range = times::moment(start)?..times::moment(end)?;
        let changes = calls::detached(py, || match document_id {
            None => store.diff(space_id, range),
            Some(document_id) => store.diff_document(space_id, document_id, range),
        })?;
        changes.or_raise(py).map(Diff)
    }

    /// Which event gave each document, variable and reference of a space its value: a `dict` with
    /// `documents`, `variables` and `references`.
    #[pyo3(signature = (space_id, *, at = None))]
    fn blame<'py>(
        &self,
        py: Python<'py>,
        space_id: &str,
        at: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let at = at.map(times::moment).transpose()?;
        let space_id = space_id.to_owned();
        let blame = self.long(py, move |store| {
            let moment = at.unwrap_or_else(|| store.durable_head().into());
            store.at(moment).blame(&space_id)
        })?;
        let json = serde_json::to_string(&blame.or_raise(py)?);
        json::loads(py, &json.map_err(|_| errors::never("a blame is JSON"))?)
    }

    /// How many events there were, as a table: a row for each day, type and source.
    #[pyo3(signature = (*, start = None, end = None, types = None, tag = None))]
    fn activity(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        types: Option<&Bound<'_, PyAny>>,
        tag: Option<String>,
    ) -> PyResult<Table> {
        let day = |given: Option<&Bound<'_, PyAny>>| -> PyResult<Option<Day>> {
            let Some(given) = given else { return Ok(None) };
            let text = given.call_method0("isoformat")?.extract::<String>()?;
            let day = text.get(..10).unwrap_or_default().parse();
            day.map(Some).map_err(|error| PyValueError::new_err(format!("{error}")))
        };
        let types = match types {
            None => TypeSelection::ALL,
            Some(types) => {
                let filter = filter::types(py, types)?;
                TypeSelection::of(filter)
            }
        };
        let filter = ActivityFilter { from: day(start)?, to: day(end)?, types, tag };
        let counts = self.long(py, move |store| store.projections().activity()?.counts(&filter))?;
        let counts = counts.or_raise(py)?;
        Table::new(vec![
            Column::days("day", counts.iter().map(|it| day_number(&it.day.to_string()))),
            Column::texts("event_type", counts.iter().map(|it| Some(&it.type_name))),
            Column::texts("source", counts.iter().map(|it| it.source.as_ref())),
            Column::numbers("events", counts.iter().map(|it| Some(it.events))),
        ])
    }

    /// Subscribes to events: history first, from after a position or a `datetime`, or `"now"`, then
    /// what happens. Nothing is missed.
    #[pyo3(signature = (filter = None, *, after = None, lag_policy = "read_on"))]
    fn subscribe(
        &self,
        py: Python<'_>,
        filter: Option<&Filter>,
        after: Option<&Bound<'_, PyAny>>,
        lag_policy: &str,
    ) -> PyResult<Subscription> {
        let store = self.get(py)?;
        let policy = match lag_policy {
            "read_on" => LagPolicy::ReadOn,
            "coalesce_documents" => LagPolicy::CoalesceDocuments,
            "skip_oldest" => LagPolicy::SkipOldest,
            other => {
                let known = "\"read_on\", \"coalesce_documents\" or \"skip_oldest\"";
                return Err(PyValueError::new_err(format!("lag_policy is {known}, not {other:?}")));
            }
        };
        let subscription = beginning(after, filter)?.lag_policy(policy);
        let subscriber = calls::detached(py, || store.subscribe(subscription))?.or_raise(py)?;
        Ok(Subscription::new(Receiver::Plain(subscriber)))
    }

    /// Subscribes under a name whose place is kept in the store: it goes on after what was
    /// acknowledged last. Raises `ConflictError` while another one has the name, or when it is kept
    /// with another filter.
    #[pyo3(signature = (name, filter = None, *, after = None))]
    fn subscribe_durable(
        &self,
        py: Python<'_>,
        name: &str,
        filter: Option<&Filter>,
        after: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Subscription> {
        let store = self.writer(py)?;
        let subscription = beginning(after, filter)?;
        let subscribed = calls::detached(py, || store.subscribe_durable(name, &subscription))?;
        Ok(Subscription::new(Receiver::Durable(subscribed.or_raise(py)?)))
    }

    /// Removes a durable subscription: its place, and what was kept with it.
    fn remove_durable(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let store = self.writer(py)?;
        calls::detached(py, || store.feed().remove_durable(name))?.or_raise(py)
    }
}
