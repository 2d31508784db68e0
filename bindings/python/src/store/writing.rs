//! What is written: appends and commands.

use std::{path::PathBuf, sync::Arc, sync::atomic::Ordering};

use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};
use spacefold::{
    admin::{ImportHooks, ImportOptions, ImportReport, MissingIds},
    command::Command,
    event::JsonReader,
    log::{AppendRequest, LogWriter},
};

use super::Store;
use crate::{
    calls, commands,
    commands::{Outcome, RenderGuard},
    errors::{self, OrRaise},
    event,
    filter::{AppendCondition, Receipt},
};

/// Ends an import that nobody waits for any more.
struct Interrupted<'a>(&'a std::sync::atomic::AtomicBool);

impl ImportHooks for Interrupted<'_> {
    fn progress(&mut self, _: &ImportReport) -> std::ops::ControlFlow<()> {
        if self.0.load(Ordering::Acquire) {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    }
}

#[pymethods]
impl Store {
    /// Appends an event or several, all or none, and waits until they are durable.
    ///
    /// An event is a `SpaceEvent`, a mapping in the interchange form, or a `RecordedEvent`. With a
    /// condition nothing is appended unless that holds: `ConflictError` says what failed. Events that
    /// are stored already are answered as the first time, unless they have to be new.
    #[pyo3(signature = (events, *, condition = None, only_new = false))]
    fn append(
        &self,
        py: Python<'_>,
        events: &Bound<'_, PyAny>,
        condition: Option<&AppendCondition>,
        only_new: bool,
    ) -> PyResult<Receipt> {
        let store = self.writer(py)?;
        let events = event::events_of_py(events)?;
        let condition = condition.map(|it| it.0.clone()).unwrap_or_default();
        let appended = calls::detached(py, || {
            if only_new {
                let request = AppendRequest::new(&events).on(condition).of_new_events();
                store.log().append(&request)
            } else {
                store.append_if(&events, condition)
            }
        })?;
        appended.or_raise(py).map(Receipt)
    }

    /// Executes a command: see `SpaceService`, which has a method for each.
    #[pyo3(signature = (space_id, operation, arguments, options))]
    fn _execute(
        &self,
        py: Python<'_>,
        space_id: &str,
        operation: &str,
        arguments: &Bound<'_, PyDict>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Outcome> {
        let service = self.writer(py)?.service();
        commands::execute(py, service, space_id, operation, arguments, options)
    }

    /// Executes commands on one space together, all or none.
    #[pyo3(signature = (space_id, commands, options))]
    fn _execute_all(
        &self,
        py: Python<'_>,
        space_id: &str,
        commands: &Bound<'_, PyAny>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Outcome> {
        commands::execute_all(py, self.writer(py)?.service(), space_id, commands, options)
    }

    /// Begins a render: see `SpaceService.render`.
    #[pyo3(signature = (space_id, document_id, instead_of, options))]
    fn _render(
        &self,
        py: Python<'_>,
        space_id: &str,
        document_id: Option<String>,
        instead_of: Option<u64>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<RenderGuard> {
        let service = self.writer(py)?.service();
        RenderGuard::start(py, service, space_id, document_id, instead_of, options)
    }

    /// Imports a file of events in the interchange form, one JSON object a line; events that are stored
    /// already are skipped. Times without an offset are taken to be at `naive_offset`. With
    /// `derive_ids`, a line without an id gets one made of what it says, so that it is known the next
    /// time.
    ///
    /// Raises `ImportLinesError` with the line that is no event; everything before it is stored.
    #[pyo3(signature = (path, *, naive_offset = "+00:00", derive_ids = false))]
    fn import_lines<'py>(
        &self,
        py: Python<'py>,
        path: PathBuf,
        naive_offset: &str,
        derive_ids: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.writer(py)?;
        let opened = Arc::clone(self.get(py)?);
        let offset = naive_offset.parse();
        let naive_offset = offset.map_err(|error| errors::invalid(py, &format!("{error}")))?;
        let reader = JsonReader { naive_offset, ..JsonReader::default() };
        let ids = if derive_ids { MissingIds::Derive } else { MissingIds::MakeUp };
        let options = ImportOptions { reader, ids, ..ImportOptions::default() };
        let input = std::io::BufReader::new(std::fs::File::open(path)?);
        let imported = calls::interruptible(py, move |given_up| {
            let store = opened.writer()?;
            Some(store.import(input, &options, &mut Interrupted(given_up)))
        })?;
        let report = imported.ok_or_else(|| errors::read_only(py))?.or_raise(py)?;
        let told = PyDict::new(py);
        told.set_item("read", report.read)?;
        told.set_item("appended", report.appended)?;
        told.set_item("already_present", report.already_present)?;
        told.set_item("ids_made_up", report.ids_made_up)?;
        told.set_item("ids_derived", report.ids_derived)?;
        told.set_item("clamped", report.clamped)?;
        told.set_item("head", report.head.get())?;
        Ok(told)
    }
}

/// The operations that a service has, each with its summary and its fields.
#[pyfunction]
pub(crate) fn operations(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for operation in Command::OPERATIONS {
        let fields: Vec<_> = operation.fields.iter().map(|field| field.name).collect();
        list.append((operation.name, operation.summary(), fields))?;
    }
    Ok(list)
}
