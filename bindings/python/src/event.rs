//! Events: those that Python hands in, and those that the log gives.

use std::sync::Arc;

use pyo3::{
    basic::CompareOp,
    exceptions::{PyIndexError, PyKeyError, PyTypeError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyMapping, PyString, PyTuple},
};
use spacefold::{
    EventType, SpaceEvent,
    event::{self, JsonReader, RecordedEventRef},
};
use spacefold_event_core::{Envelope, Records};

use crate::{
    errors::{self, OrRaise},
    json, payload,
    times::{self, LocalTime},
};

/// Where the fields of an event are.
#[derive(Clone)]
enum Source {
    /// In a block that was read: decoded when they are asked for.
    Stored { records: Records, index: usize },
    /// Here: what a command has recorded.
    Owned(Arc<event::RecordedEvent>),
}

/// An event of the log.
#[pyclass(frozen, module = "spacefold")]
pub(crate) struct RecordedEvent {
    source: Source,
}

/// What is known of an event without its payload.
struct Header<'a> {
    position: u64,
    revision: u64,
    recorded_at: spacefold::Timestamp,
    event_id: spacefold::EventId,
    event_type: EventType,
    type_name: &'a str,
    space_id: &'a str,
    timestamp: spacefold::Timestamp,
    source: Option<&'a str>,
    correlation_id: Option<&'a str>,
}

impl<'a> Header<'a> {
    fn of_envelope(it: &Envelope<'a>) -> Self {
        Self {
            position: it.position.get(),
            revision: it.revision.get(),
            recorded_at: it.recorded_at,
            event_id: it.event_id,
            event_type: it.event_type,
            type_name: it.type_name(),
            space_id: it.space_id,
            timestamp: it.timestamp,
            source: it.source,
            correlation_id: it.correlation_id,
        }
    }

    fn of_event(it: &'a event::RecordedEvent) -> Self {
        Self {
            position: it.position.get(),
            revision: it.revision.get(),
            recorded_at: it.recorded_at,
            event_id: it.event.event_id,
            event_type: it.event.event_type(),
            type_name: it.event.type_name(),
            space_id: &it.event.space_id,
            timestamp: it.event.timestamp,
            source: it.event.source.as_deref(),
            correlation_id: it.event.correlation_id.as_deref(),
        }
    }
}

impl RecordedEvent {
    pub(crate) fn stored(records: &Records, index: usize) -> Self {
        Self { source: Source::Stored { records: records.clone(), index } }
    }

    pub(crate) fn owned(event: event::RecordedEvent) -> Self {
        Self { source: Source::Owned(Arc::new(event)) }
    }

    fn envelope(records: &Records, index: usize) -> PyResult<Envelope<'_>> {
        let gone = || PyIndexError::new_err("the block has no such event");
        records.envelope(index).ok_or_else(gone)
    }

    fn header(&self) -> PyResult<Header<'_>> {
        Ok(match &self.source {
            Source::Stored { records, index } => {
                Header::of_envelope(&Self::envelope(records, *index)?)
            }
            Source::Owned(event) => Header::of_event(event),
        })
    }

    /// Calls `read` with all of the event.
    fn with_event<T>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&RecordedEventRef<'_>) -> PyResult<T>,
    ) -> PyResult<T> {
        match &self.source {
            Source::Stored { records, index } => {
                read(&Self::envelope(records, *index)?.decode().or_raise(py)?)
            }
            Source::Owned(event) => read(&event.as_event_ref()),
        }
    }

    /// The event, to be appended again.
    fn to_append(&self, py: Python<'_>) -> PyResult<SpaceEvent> {
        self.with_event(py, |event| Ok(event.to_owned_event().event))
    }
}

#[pymethods]
impl RecordedEvent {
    /// Sequence number in the log, from 1.
    #[getter]
    fn position(&self) -> PyResult<u64> {
        Ok(self.header()?.position)
    }

    /// Sequence number in its space, from 1.
    #[getter]
    fn revision(&self) -> PyResult<u64> {
        Ok(self.header()?.revision)
    }

    /// When the log took the event, in UTC.
    #[getter]
    fn recorded_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        times::to_datetime(py, self.header()?.recorded_at)
    }

    /// Its identity, a UUID.
    #[getter]
    fn event_id(&self) -> PyResult<String> {
        Ok(self.header()?.event_id.to_string())
    }

    /// What happened: a `SpaceEventType`, or the name of a type of the application's own.
    #[getter]
    fn event_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let header = self.header()?;
        type_to_py(py, header.event_type, header.type_name)
    }

    /// The name of its type.
    #[getter]
    fn type_name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(PyString::intern(py, self.header()?.type_name))
    }

    /// The space it happened to.
    #[getter]
    fn space_id(&self) -> PyResult<&str> {
        Ok(self.header()?.space_id)
    }

    /// What it carries: a new `dict` each time.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.with_event(py, |event| payload::to_dict(py, &event.payload))
    }

    /// When it happened, as its caller says, in UTC.
    #[getter]
    fn timestamp<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        times::to_datetime(py, self.header()?.timestamp)
    }

    /// Who says so.
    #[getter]
    fn source(&self) -> PyResult<Option<&str>> {
        Ok(self.header()?.source)
    }

    /// What it belongs to.
    #[getter]
    fn correlation_id(&self) -> PyResult<Option<&str>> {
        Ok(self.header()?.correlation_id)
    }

    /// What it is found by.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match &self.source {
            Source::Stored { records, index } => {
                let tags = Self::envelope(records, *index)?.tags();
                PyTuple::new(py, tags.iter().collect::<Vec<_>>())
            }
            Source::Owned(event) => PyTuple::new(py, &event.event.tags),
        }
    }

    /// The event in the interchange form, a line of JSON.
    fn to_json(&self, py: Python<'_>) -> PyResult<String> {
        self.with_event(py, |event| Ok(event.to_json()))
    }

    /// The event in the interchange form, a `dict`.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::loads(py, &self.to_json(py)?)
    }

    /// The event as the module `event_model` has it, its time local and without an offset.
    fn to_space_event<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let header = this.header()?;
        let time = times::to_local(py, header.timestamp)?;
        let module = py.import(intern!(py, "spacefold.event_model"))?;
        module.call_method1(intern!(py, "_of_recorded"), (slf, time))
    }

    fn __richcmp__(&self, py: Python<'_>, other: &Self, op: CompareOp) -> PyResult<Py<PyAny>> {
        let is_equal = self.to_json(py)? == other.to_json(py)?;
        Ok(match op {
            CompareOp::Eq => is_equal.into_pyobject(py)?.to_owned().into_any().unbind(),
            CompareOp::Ne => (!is_equal).into_pyobject(py)?.to_owned().into_any().unbind(),
            _ => py.NotImplemented(),
        })
    }

    fn __hash__(&self) -> PyResult<u64> {
        Ok(self.header()?.position)
    }

    fn __repr__(&self) -> PyResult<String> {
        let it = self.header()?;
        Ok(format!(
            "RecordedEvent(position={}, event_type={:?}, space_id={:?}, revision={})",
            it.position, it.type_name, it.space_id, it.revision
        ))
    }
}

/// The members of `SpaceEventType`, by the code of their type.
static TYPES: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();

fn type_to_py<'py>(
    py: Python<'py>,
    event_type: EventType,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let types = TYPES.get_or_try_init(py, || {
        let class = py.import("spacefold.event_model")?.getattr("SpaceEventType")?;
        let member = |it: EventType| Ok(class.call1((it.name(),))?.unbind());
        EventType::CORE.into_iter().map(member).collect::<PyResult<Vec<_>>>()
    })?;
    let place = usize::from(event_type.code()).checked_sub(1);
    Ok(match place.and_then(|place| types.get(place)) {
        Some(member) => member.bind(py).clone(),
        None => PyString::intern(py, name).into_any(),
    })
}

/// The name of a type: of a `str`, or of a member of `SpaceEventType`.
pub(crate) fn type_name_of(event_type: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(name) = event_type.cast::<PyString>() {
        return Ok(name.to_cow()?.into_owned());
    }
    let named = event_type.getattr(intern!(event_type.py(), "value"));
    let name = named.ok().and_then(|name| name.extract::<String>().ok());
    name.ok_or_else(|| {
        PyTypeError::new_err(format!("{event_type} is no type of events, nor the name of one"))
    })
}

/// The events of an append, in order.
pub(crate) fn events_of_py(events: &Bound<'_, PyAny>) -> PyResult<Vec<SpaceEvent>> {
    let mut reading = Reading::default();
    if is_one(events)? {
        return Ok(vec![reading.event(events)?]);
    }
    let mut all = Vec::new();
    for event in events.try_iter()? {
        all.push(reading.event(&event?)?);
    }
    Ok(all)
}

fn is_one(events: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(events.is_instance_of::<RecordedEvent>()
        || events.is_instance_of::<PyDict>()
        || events.hasattr(intern!(events.py(), "event_type"))?)
}

/// Where the fields of an event that was handed in are found.
enum Given<'a, 'py> {
    /// Attributes that are in the object itself, as those of a dataclass are, or keys.
    Dict(Bound<'py, PyDict>),
    Mapping(&'a Bound<'py, PyMapping>),
    Object(&'a Bound<'py, PyAny>),
}

impl<'py> Given<'_, 'py> {
    /// What is there and not `None`.
    fn get(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let value = match self {
            Self::Dict(dict) => dict.get_item(name)?,
            Self::Object(object) => object.getattr_opt(name)?,
            Self::Mapping(mapping) => match mapping.get_item(name) {
                Ok(value) => Some(value),
                Err(error) if error.is_instance_of::<PyKeyError>(name.py()) => None,
                Err(error) => return Err(error),
            },
        };
        Ok(value.filter(|value| !value.is_none()))
    }
}

/// Members of enumerations that are remembered, more than there are core types.
const MOST_TYPES: usize = 32;

/// Reads the events of one append.
#[derive(Default)]
struct Reading<'py> {
    local: LocalTime,
    /// Members of enumerations that were met, and their values: an append has few types.
    types: Vec<(Bound<'py, PyAny>, String)>,
    line: Vec<u8>,
}

impl<'py> Reading<'py> {
    /// An event: a `SpaceEvent`, a mapping in the interchange form, or one that was recorded.
    fn event(&mut self, event: &Bound<'py, PyAny>) -> PyResult<SpaceEvent> {
        let py = event.py();
        if let Ok(recorded) = event.cast::<RecordedEvent>() {
            return recorded.get().to_append(py);
        }
        if let Ok(dict) = event.cast::<PyDict>() {
            return self.read(py, &Given::Dict(dict.clone()));
        }
        if let Ok(mapping) = event.cast::<PyMapping>() {
            return self.read(py, &Given::Mapping(mapping));
        }
        let attributes = event.getattr_opt(intern!(py, "__dict__"))?;
        match attributes.and_then(|it| it.cast_into::<PyDict>().ok()) {
            Some(dict) if dict.contains(intern!(py, "event_type"))? => {
                self.read(py, &Given::Dict(dict))
            }
            _ => self.read(py, &Given::Object(event)),
        }
    }

    fn read(&mut self, py: Python<'py>, given: &Given<'_, 'py>) -> PyResult<SpaceEvent> {
        self.line.clear();
        self.line.push(b'{');
        if let Some(event_type) = given.get(intern!(py, "event_type"))? {
            self.line.extend_from_slice(b"\"event_type\":");
            self.write_type(&event_type)?;
            self.line.push(b',');
        }
        if let Some(event_id) = given.get(intern!(py, "event_id"))? {
            self.line.extend_from_slice(b"\"event_id\":");
            match event_id.cast::<PyString>() {
                Ok(text) => json::write_text(text, &mut self.line)?,
                Err(_) => json::write_text(&event_id.str()?, &mut self.line)?,
            }
            self.line.push(b',');
        }
        for key in [
            intern!(py, "space_id"),
            intern!(py, "source"),
            intern!(py, "correlation_id"),
            intern!(py, "tags"),
            intern!(py, "origin"),
            intern!(py, "payload"),
        ] {
            let Some(value) = given.get(key)? else { continue };
            json::write_text(key, &mut self.line)?;
            self.line.push(b':');
            json::write(&value, &mut self.line, 0)?;
            self.line.push(b',');
        }
        if self.line.len() > 1 {
            self.line.pop();
        }
        self.line.push(b'}');
        let event = JsonReader::default().read(&self.line).or_raise(py)?.event;
        let Some(time) = given.get(intern!(py, "timestamp"))? else { return Ok(event) };
        if time.cast::<PyString>().is_ok_and(|text| text.to_cow().is_ok_and(|it| it.is_empty())) {
            return Ok(event);
        }
        let time = times::of_any(&time, &mut self.local).map_err(|error| {
            errors::invalid(py, &format!("key \"timestamp\": {}", error.value(py)))
        })?;
        Ok(event.with_timestamp(time))
    }

    fn write_type(&mut self, event_type: &Bound<'py, PyAny>) -> PyResult<()> {
        if let Ok(name) = event_type.cast::<PyString>() {
            return json::write_text(name, &mut self.line);
        }
        let known = self.types.iter().position(|(known, _)| known.is(event_type));
        let place = match known {
            Some(place) => place,
            None => {
                let name = type_name_of(event_type)?;
                self.types.truncate(MOST_TYPES - 1);
                self.types.push((event_type.clone(), name));
                self.types.len() - 1
            }
        };
        let name = self.types.get(place).map(|(_, name)| name.as_str());
        json::write_str(name.unwrap_or_default(), &mut self.line);
        Ok(())
    }
}
