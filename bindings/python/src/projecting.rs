//! Projections whose rows are made by Python.
//!
//! The engine folds, persists and rebuilds them as any other, in threads of its own. None of these
//! calls Python: for each event it leaves a [`Job`] and serves its questions to the table until that is
//! done, and a thread of Python takes the jobs, one after the other.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
};

use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyBytes, PyDict, PyList},
};
use spacefold::{
    Position, StorageError,
    admin::{RebuildMode, RebuildOptions},
    event::{self, EventTypes, RecordedEventRef},
    projection::{
        ApplyContext, ApplyError, MAX_ROW_KEY_BYTES, MAX_ROW_VALUE_BYTES, Projection,
        ProjectionHandle, Table, TableError,
    },
};

use crate::{
    calls,
    errors::{self, OrRaise},
    event::RecordedEvent,
    opened::{Kept, Opened},
    store::Store,
    table::{Column, Table as RowsTable},
    times,
};

thread_local! {
    /// Whether this thread has a job that is not done: the engine waits for it.
    static HAS_JOB: Cell<bool> = const { Cell::new(false) };
}

/// Refuses what would wait for the engine that waits for this thread.
pub(crate) fn check_no_job() -> PyResult<()> {
    if HAS_JOB.get() {
        let message = "a projection cannot wait for its store while it takes in an event";
        return Err(PyRuntimeError::new_err(message));
    }
    Ok(())
}

type Row = (Vec<u8>, Vec<u8>);
/// Rows to be set, and those to be removed.
type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What a job asks of the thread that has the table.
enum Request {
    Get(Vec<u8>, Sender<Result<Option<Vec<u8>>, TableError>>),
    Scan(Vec<u8>, Sender<Result<Vec<Row>, TableError>>),
    /// The event is taken in.
    Done(Writes),
    /// The projection refuses the event.
    Refused(String),
}

struct Task {
    event: event::RecordedEvent,
    requests: Sender<Request>,
}

/// The projection, as the engine knows it.
struct PyProjection {
    name: &'static str,
    version: u32,
    types: EventTypes,
    tasks: Sender<Task>,
}

impl Projection for PyProjection {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn event_types(&self) -> EventTypes {
        self.types
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        _context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        // Of no fault of the event: it is folded again once there is a thread for it.
        let gone = || {
            let doing = format!("folding projection {}", self.name);
            ApplyError::from(TableError::from(StorageError::closed(doing)))
        };
        let (requests, asked) = channel();
        let task = Task { event: event.to_owned_event(), requests };
        self.tasks.send(task).map_err(|_| gone())?;
        loop {
            // Who has asked and does not wait any more needs no answer.
            match asked.recv().map_err(|_| gone())? {
                Request::Get(key, answer) => drop(answer.send(table.get(key))),
                Request::Scan(prefix, answer) => {
                    let rows = table.scan(prefix).and_then(Iterator::collect);
                    drop(answer.send(rows));
                }
                Request::Done(writes) => {
                    for (key, value) in writes {
                        match value {
                            Some(value) => table.put(key, value)?,
                            None => table.remove(key)?,
                        }
                    }
                    return Ok(());
                }
                Request::Refused(reason) => return Err(ApplyError::refused(reason)),
            }
        }
    }
}

/// An event that a projection is to take in, and the rows that it sees.
#[pyclass(frozen, module = "spacefold._native")]
pub(crate) struct Job {
    event: Py<RecordedEvent>,
    requests: Mutex<Option<Sender<Request>>>,
    writes: Mutex<Writes>,
}

impl Job {
    /// Asks the thread that has the table.
    fn ask<T: Send>(
        &self,
        py: Python<'_>,
        request: impl FnOnce(Sender<Result<T, TableError>>) -> Request,
    ) -> PyResult<T> {
        let over = || errors::closed(py, "the table is that of an event that was taken in before");
        let (answer, answered) = channel();
        let sent = {
            let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.as_ref().ok_or_else(over)?.send(request(answer))
        };
        sent.map_err(|_| over())?;
        calls::detached(py, move || answered.recv())?.map_err(|_| over())?.or_raise(py)
    }

    fn end(&self, request: Request) {
        HAS_JOB.set(false);
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(requests) = requests {
            // Whoever folded is gone with its store: nothing is kept then.
            let _ = requests.send(request);
        }
    }
}

#[pymethods]
impl Job {
    /// The event.
    #[getter]
    fn event(&self, py: Python<'_>) -> Py<RecordedEvent> {
        self.event.clone_ref(py)
    }

    /// The value of a row, with what this event has written.
    fn get<'py>(&self, py: Python<'py>, key: Vec<u8>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let written = {
            let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
            writes.get(&key).cloned()
        };
        let value = match written {
            Some(value) => value,
            None => self.ask(py, |answer| Request::Get(key, answer))?,
        };
        Ok(value.map(|value| PyBytes::new(py, &value)))
    }

    /// Sets a row, or with `None` removes it, once the event is taken in.
    fn set(&self, py: Python<'_>, key: Vec<u8>, value: Option<Vec<u8>>) -> PyResult<()> {
        let bytes = value.as_ref().map_or(0, Vec::len);
        if key.len() > MAX_ROW_KEY_BYTES {
            return Err(TableError::KeyTooLong { bytes: key.len() }).or_raise(py);
        }
        if bytes > MAX_ROW_VALUE_BYTES {
            return Err(TableError::ValueTooLong { bytes }).or_raise(py);
        }
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value);
        Ok(())
    }

    /// The rows whose keys begin so, sorted, with what this event has written.
    fn scan<'py>(&self, py: Python<'py>, prefix: Vec<u8>) -> PyResult<Bound<'py, PyList>> {
        let begin = prefix.clone();
        let rows = self.ask(py, |answer| Request::Scan(prefix, answer))?;
        let mut rows: BTreeMap<_, _> = rows.into_iter().collect();
        {
            let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, value) in writes.iter().filter(|(key, _)| key.starts_with(&begin)) {
                match value {
                    Some(value) => rows.insert(key.clone(), value.clone()),
                    None => rows.remove(key),
                };
            }
        }
        rows_to_py(py, rows)
    }

    /// The event is taken in: what was written is kept, with the position.
    fn done(&self) {
        let writes =
            std::mem::take(&mut *self.writes.lock().unwrap_or_else(PoisonError::into_inner));
        self.end(Request::Done(writes));
    }

    /// The event is refused: the projection pauses in front of it.
    fn refuse(&self, reason: String) {
        self.end(Request::Refused(reason));
    }

    /// The event is left for another time.
    fn abandon(&self) {
        HAS_JOB.set(false);
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn rows_to_py(py: Python<'_>, rows: impl IntoIterator<Item = Row>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for (key, value) in rows {
        list.append((PyBytes::new(py, &key), PyBytes::new(py, &value)))?;
    }
    Ok(list)
}

/// A projection that is registered: its jobs for the thread that takes them, its rows for readers.
#[pyclass(frozen, module = "spacefold._native")]
pub(crate) struct Projecting {
    name: &'static str,
    store: Kept<Arc<Opened>>,
    handle: Kept<ProjectionHandle<PyProjection>>,
    /// `None` once no thread takes them any more: who folds is told at once then, and waits for nobody.
    tasks: Mutex<Option<Receiver<Task>>>,
}

#[pymethods]
impl Projecting {
    /// The next job; `None` when the store is closed: from then on jobs are refused.
    fn next_job(&self, py: Python<'_>) -> PyResult<Option<Job>> {
        let store = self.store.get(py)?;
        let received = calls::waiting(py, None, |slice| {
            let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(tasks) = &*tasks else { return Some(None) };
            match tasks.recv_timeout(slice) {
                Ok(task) => Some(Some(task)),
                Err(RecvTimeoutError::Timeout) if !store.is_closed() => None,
                Err(_) => Some(None),
            }
        });
        let task = match received {
            Err(_) if calls::is_exiting() => None,
            received => received?.flatten(),
        };
        let Some(Task { event, requests }) = task else {
            self.stop();
            return Ok(None);
        };
        let event = Py::new(py, RecordedEvent::owned(event))?;
        HAS_JOB.set(true);
        let (requests, writes) = (Mutex::new(Some(requests)), Mutex::default());
        Ok(Some(Job { event, requests, writes }))
    }

    /// Takes no more jobs: those that wait, and those that come, are left for another time.
    fn stop(&self) {
        drop(self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The position that the rows are of.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<u64> {
        let handle = self.handle.get(py)?;
        Ok(calls::detached(py, || handle.position())?.get())
    }

    /// How it is doing.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let handle = self.handle.get(py)?;
        let info = calls::detached(py, || handle.info())?;
        let told = PyDict::new(py);
        told.set_item("name", info.name)?;
        told.set_item("version", info.version)?;
        told.set_item("position", info.position.get())?;
        told.set_item("lag", info.lag)?;
        told.set_item("skipped", info.skipped.iter().map(|it| it.get()).collect::<Vec<_>>())?;
        told.set_item("paused_at", info.paused.as_ref().map(|it| it.position.get()))?;
        told.set_item("paused_because", info.paused.map(|it| it.reason))?;
        Ok(told)
    }

    /// The value of a row.
    fn get<'py>(&self, py: Python<'py>, key: Vec<u8>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let handle = self.handle.get(py)?;
        let value = calls::detached(py, || handle.read(|view| view.get(key)))?.or_raise(py)?;
        Ok(value.map(|value| PyBytes::new(py, &value)))
    }

    /// The rows whose keys begin so, sorted.
    fn scan<'py>(&self, py: Python<'py>, prefix: Vec<u8>) -> PyResult<Bound<'py, PyList>> {
        let handle = self.handle.get(py)?;
        let scan = || handle.read(|view| view.scan(prefix)?.collect::<Result<Vec<_>, _>>());
        rows_to_py(py, calls::detached(py, scan)?.or_raise(py)?)
    }

    /// All rows as a table: `key` and `value`, both texts.
    fn rows(&self, py: Python<'_>) -> PyResult<RowsTable> {
        let handle = self.handle.get(py)?;
        let scan = || handle.read(|view| view.scan([])?.collect::<Result<Vec<_>, _>>());
        let rows = calls::detached(py, scan)?.or_raise(py)?;
        let text = |bytes: &Vec<u8>| Some(String::from_utf8_lossy(bytes).into_owned());
        RowsTable::new(vec![
            Column::texts("key", rows.iter().map(|(key, _)| text(key))),
            Column::texts("value", rows.iter().map(|(_, value)| text(value))),
        ])
    }

    /// Waits until the rows are of a position or a later one; raises `WaitTimeout`, or what has paused
    /// the projection.
    #[pyo3(signature = (position, timeout = None))]
    fn wait(&self, py: Python<'_>, position: u64, timeout: Option<f64>) -> PyResult<u64> {
        check_no_job()?;
        let handle = self.handle.get(py)?;
        let (position, timeout) = (Position::new(position), times::timeout(timeout)?);
        let reached = calls::waiting(py, timeout, |slice| match handle.wait(position, slice) {
            Ok(reached) if reached < position => None,
            reached => Some(reached),
        })?;
        match reached {
            Some(reached) => Ok(reached.or_raise(py)?.get()),
            None => {
                let message = format!("projection {} is not at position {position} yet", self.name);
                Err(errors::timed_out(py, &message))
            }
        }
    }

    /// Tries the event again that it is paused in front of, and folds on.
    fn resume(&self, py: Python<'_>) -> PyResult<u64> {
        check_no_job()?;
        let (store, name) = (Arc::clone(self.store.get(py)?), self.name);
        let reached = calls::interruptible(py, move |_| store.projections().resume(name))?;
        Ok(reached.or_raise(py)?.get())
    }

    /// Leaves the event out that it is paused in front of, for ever, and folds on.
    fn skip_event(&self, py: Python<'_>) -> PyResult<u64> {
        check_no_job()?;
        let (store, name) = (Arc::clone(self.store.get(py)?), self.name);
        let reached = calls::interruptible(py, move |_| store.projections().skip_event(name))?;
        Ok(reached.or_raise(py)?.get())
    }

    /// Folds all rows anew and compares; answers what it came to.
    #[pyo3(signature = (*, replace = false))]
    fn rebuild(&self, py: Python<'_>, replace: bool) -> PyResult<&'static str> {
        check_no_job()?;
        let (store, name) = (Arc::clone(self.store.get(py)?), self.name.to_owned());
        let mode = if replace { RebuildMode::Replace } else { RebuildMode::Check };
        let rebuilt = calls::interruptible(py, move |_| {
            store.writer().map(|it| it.admin().rebuild(&[name], &RebuildOptions::new(mode)))
        })?;
        let outcomes = rebuilt.ok_or_else(|| errors::read_only(py))?.or_raise(py)?;
        Ok(outcomes.first().map_or("nothing to compare", |outcome| outcome.verdict.name()))
    }
}

/// Names of projections, which the engine keeps for the life of the process: each once.
static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

fn kept_name(name: &str) -> &'static str {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    let kept = &*Box::leak(name.to_owned().into_boxed_str());
    names.push(kept);
    kept
}

#[pymethods]
impl Store {
    /// Registers a projection: see `spacefold.projections.register`.
    fn _project(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        core_types: Option<Vec<String>>,
    ) -> PyResult<Projecting> {
        let store = self.get(py)?;
        let types = match core_types {
            None => EventTypes::ALL,
            Some(names) => {
                let mut types = EventTypes::NONE;
                for name in names {
                    let event_type = spacefold::EventType::of_name(&name);
                    let unknown =
                        |error: event::UnknownEventType| errors::invalid(py, &error.to_string());
                    types = types.with(event_type.map_err(unknown)?);
                }
                types
            }
        };
        let name = kept_name(name);
        let (tasks, taken) = channel();
        let projection = PyProjection { name, version, types, tasks };
        let handle = calls::detached(py, || store.projections().register(projection))?;
        Ok(Projecting {
            name,
            store: Kept::new(Arc::clone(store)),
            handle: Kept::new(handle.or_raise(py)?),
            tasks: Mutex::new(Some(taken)),
        })
    }
}
