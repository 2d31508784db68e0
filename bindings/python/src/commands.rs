//! Commands on spaces: their fields by name, what is added to what they record, what they come to.

use std::sync::{Mutex, PoisonError};

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyTuple},
};
use spacefold::{
    CommandError, Position, SpaceService, Value,
    command::{self, Command, CommandFields},
    event::{Object, Presence},
    state::Reference,
};

use crate::{
    calls,
    errors::{self, OrRaise},
    event::RecordedEvent,
    filter::AppendCondition,
    json,
    opened::Kept,
    times,
};

/// What a command has recorded.
#[pyclass(frozen, module = "spacefold")]
pub(crate) struct Outcome(command::Outcome);

#[pymethods]
impl Outcome {
    /// The events, none when nothing had to change.
    #[getter]
    fn events(&self) -> Vec<RecordedEvent> {
        self.0.events().iter().cloned().map(RecordedEvent::owned).collect()
    }

    /// The position of the last event; `None` when nothing had to change.
    #[getter]
    fn last_position(&self) -> Option<u64> {
        self.0.last_position().map(Position::get)
    }

    /// The revision of the space after it.
    #[getter]
    fn revision(&self) -> u64 {
        self.0.revision().get()
    }

    /// Whether nothing had to change.
    #[getter]
    fn unchanged(&self) -> bool {
        self.0.is_unchanged()
    }

    /// Whether it was recorded before, under the same key.
    #[getter]
    fn repeated(&self) -> bool {
        self.0.is_repeated()
    }

    /// Whether what it says is on disk.
    #[getter]
    fn durable(&self) -> bool {
        self.0.is_durable()
    }

    fn __repr__(&self) -> String {
        format!("<Outcome: {} events, revision {}>", self.0.events().len(), self.0.revision())
    }
}

/// The arguments of a command: those that are `None` are left out.
struct Arguments<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'py> Arguments<'_, 'py> {
    fn get(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.0.get_item(name)?.filter(|value| !value.is_none()))
    }

    fn required(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let missing = || PyTypeError::new_err(format!("the argument {name:?} is missing"));
        self.get(name)?.ok_or_else(missing)
    }
}

impl CommandFields for Arguments<'_, '_> {
    type Error = PyErr;

    fn text(&mut self, name: &str) -> PyResult<String> {
        self.required(name)?.extract()
    }

    fn optional_text(&mut self, name: &str) -> PyResult<Presence> {
        Ok(match self.get(name)? {
            None => Presence::Absent,
            Some(text) => Presence::Value(text.extract()?),
        })
    }

    fn texts(&mut self, name: &str) -> PyResult<Vec<String>> {
        self.required(name)?.try_iter()?.map(|text| text?.extract()).collect()
    }

    fn object(&mut self, name: &str) -> PyResult<Object> {
        json::object_of_py(&self.required(name)?)
    }

    fn value(&mut self, name: &str) -> PyResult<Value> {
        // `None` is a value here, and not an argument that is left out.
        match self.0.get_item(name)? {
            Some(value) => json::of_py(&value),
            None => Err(PyTypeError::new_err(format!("the argument {name:?} is missing"))),
        }
    }

    fn references(&mut self, name: &str) -> PyResult<Vec<Reference>> {
        let read = |reference: PyResult<Bound<'_, PyAny>>| {
            let reference = reference?;
            if let Ok(pair) = reference.cast::<PyTuple>() {
                let (target, kind) = pair.extract()?;
                return Ok(Reference { target, kind });
            }
            Ok(Reference { target: reference.extract()?, kind: None })
        };
        self.required(name)?.try_iter()?.map(read).collect()
    }

    fn position(&mut self, name: &str) -> PyResult<Position> {
        Ok(Position::new(self.required(name)?.extract()?))
    }

    fn optional_position(&mut self, name: &str) -> PyResult<Option<Position>> {
        self.get(name)?.map(|it| Ok(Position::new(it.extract()?))).transpose()
    }
}

/// A command, or one that takes the bytes of a document.
enum Given {
    Command(Command),
    Content { document_id: String, content: Vec<u8> },
    Resolution { document_id: String, content: Vec<u8> },
}

impl Given {
    fn new(operation: &str, arguments: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut arguments = Arguments(arguments);
        let mut of_content = || -> PyResult<(String, Vec<u8>)> {
            let content = arguments.required("content")?;
            let content =
                content.cast::<PyBytes>().map_err(|_| PyTypeError::new_err("content is bytes"))?;
            Ok((arguments.text("document_id")?, content.as_bytes().to_vec()))
        };
        match operation {
            "set_content" => {
                let (document_id, content) = of_content()?;
                Ok(Self::Content { document_id, content })
            }
            "resolve_conflict_with" => {
                let (document_id, content) = of_content()?;
                Ok(Self::Resolution { document_id, content })
            }
            _ => {
                let command = Command::from_fields(operation, &mut arguments)?;
                let unknown = || PyValueError::new_err(format!("no operation {operation:?}"));
                command.map(Self::Command).ok_or_else(unknown)
            }
        }
    }

    fn execute(
        self,
        service: &SpaceService,
        space_id: &str,
    ) -> Result<command::Outcome, CommandError> {
        match self {
            Self::Command(command) => service.execute(space_id, command),
            Self::Content { document_id, content } => {
                service.set_content(space_id, document_id, content)
            }
            Self::Resolution { document_id, content } => {
                service.resolve_conflict_with(space_id, document_id, content)
            }
        }
    }

    fn add_to(self, batch: command::Batch) -> command::Batch {
        match self {
            Self::Command(command) => batch.then(command),
            Self::Content { document_id, content } => batch.set_content(document_id, content),
            Self::Resolution { document_id, content } => {
                batch.resolve_conflict_with(document_id, content)
            }
        }
    }
}

/// The service, with what `options` add to what it records: source, correlation_id, tags, extra,
/// timestamp, key, only_if.
fn service_with(service: &SpaceService, options: &Bound<'_, PyDict>) -> PyResult<SpaceService> {
    let arguments = Arguments(options);
    let mut service = service.clone();
    if let Some(source) = arguments.get("source")? {
        service = service.with_source(source.extract::<String>()?);
    }
    if let Some(id) = arguments.get("correlation_id")? {
        service = service.with_correlation_id(id.extract::<String>()?);
    }
    if let Some(tags) = arguments.get("tags")? {
        service = service.with_tags(tags.extract::<Vec<String>>()?);
    }
    if let Some(extra) = arguments.get("extra")? {
        for (key, value) in json::object_of_py(&extra)?.iter() {
            service = service.with_extra(key, value.clone());
        }
    }
    if let Some(time) = arguments.get("timestamp")? {
        service = service.with_timestamp(times::of_any(&time, &mut times::LocalTime::default())?);
    }
    if let Some(key) = arguments.get("key")? {
        service = service.with_key(key.extract::<String>()?);
    }
    if let Some(condition) = arguments.get("only_if")? {
        let condition = condition.cast::<AppendCondition>()?;
        service = service.only_if(condition.get().0.clone());
    }
    Ok(service)
}

/// Executes one command.
pub(crate) fn execute(
    py: Python<'_>,
    service: &SpaceService,
    space_id: &str,
    operation: &str,
    arguments: &Bound<'_, PyDict>,
    options: &Bound<'_, PyDict>,
) -> PyResult<Outcome> {
    let service = service_with(service, options)?;
    let given = Given::new(operation, arguments)?;
    calls::detached(py, || given.execute(&service, space_id))?.or_raise(py).map(Outcome)
}

/// Executes commands on one space together.
pub(crate) fn execute_all(
    py: Python<'_>,
    service: &SpaceService,
    space_id: &str,
    commands: &Bound<'_, PyAny>,
    options: &Bound<'_, PyDict>,
) -> PyResult<Outcome> {
    let service = service_with(service, options)?;
    let mut all = Vec::new();
    for command in commands.try_iter()? {
        let (operation, arguments): (String, Bound<'_, PyDict>) = command?.extract()?;
        all.push(Given::new(&operation, &arguments)?);
    }
    let commit = || {
        let batch = all.into_iter().fold(service.batch(space_id), |batch, it| it.add_to(batch));
        batch.commit()
    };
    calls::detached(py, commit)?.or_raise(py).map(Outcome)
}

/// A render under way: dropped before it ended, it fails the render.
#[pyclass(frozen, module = "spacefold._native")]
pub(crate) struct RenderGuard {
    started: u64,
    guard: Kept<Mutex<Option<command::RenderGuard>>>,
}

impl RenderGuard {
    /// Begins a render, or begins one in place of the one that began at `instead_of`.
    pub(crate) fn start(
        py: Python<'_>,
        service: &SpaceService,
        space_id: &str,
        document_id: Option<String>,
        instead_of: Option<u64>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let service = service_with(service, options)?;
        let document_id = document_id.map_or(Presence::Absent, Presence::Value);
        let start = || match instead_of {
            None => service.render(space_id, document_id),
            Some(started) => service.take_over(space_id, document_id, Position::new(started)),
        };
        let guard = calls::detached(py, start)?.or_raise(py)?;
        Ok(Self { started: guard.started().get(), guard: Kept::new(Mutex::new(Some(guard))) })
    }

    fn end(
        &self,
        py: Python<'_>,
        end: impl FnOnce(command::RenderGuard) -> Result<command::Outcome, CommandError> + Send,
    ) -> PyResult<Outcome> {
        let guard = self.guard.get(py)?;
        let ended = calls::detached(py, || {
            let guard = guard.lock().unwrap_or_else(PoisonError::into_inner).take();
            guard.map(end)
        })?;
        let ended = ended.ok_or_else(|| errors::closed(py, "the render has ended"))?;
        ended.or_raise(py).map(Outcome)
    }
}

#[pymethods]
impl RenderGuard {
    /// The position of its start.
    #[getter]
    fn started(&self) -> u64 {
        self.started
    }

    /// Says that it ended well.
    #[pyo3(signature = (output_hash = None))]
    fn complete(&self, py: Python<'_>, output_hash: Option<String>) -> PyResult<Outcome> {
        let hash = output_hash.map_or(Presence::Absent, Presence::Value);
        self.end(py, |guard| guard.complete(hash))
    }

    /// Says that it failed.
    #[pyo3(signature = (error = None))]
    fn fail(&self, py: Python<'_>, error: Option<String>) -> PyResult<Outcome> {
        let error = error.map_or(Presence::Absent, Presence::Value);
        self.end(py, |guard| guard.fail(error))
    }
}
