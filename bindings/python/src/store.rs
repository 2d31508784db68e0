//! A store, as Python has it open.

mod admin;
mod contents;
mod opening;
mod reading;
mod writing;

pub(crate) use self::{
    admin::{Problem, VerifyReport, verify},
    opening::{follow, in_memory, open},
    writing::operations,
};

use std::sync::Arc;

use pyo3::{prelude::*, types::PyTuple};
use spacefold::Spacefold;

use crate::{
    calls,
    errors::{self, OrRaise},
    opened::{Kept, Opened},
    projecting,
};

/// A store that is open, or followed beside whoever has it open.
#[pyclass(frozen, module = "spacefold")]
pub(crate) struct Store {
    opened: Kept<Arc<Opened>>,
    path: Option<String>,
}

impl Store {
    pub(crate) fn new(opened: Opened, path: Option<String>) -> Self {
        let opened = Arc::new(opened);
        calls::close_at_exit(&opened);
        Self { opened: Kept::new(opened), path }
    }

    /// The store; refused when it is closed, or was opened before a fork.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<&Arc<Opened>> {
        let opened = self.opened.get(py)?;
        if opened.is_closed() { Err(errors::closed(py, "the store is closed")) } else { Ok(opened) }
    }

    /// The store, to be written.
    fn writer(&self, py: Python<'_>) -> PyResult<&Spacefold> {
        self.get(py)?.writer().ok_or_else(|| errors::read_only(py))
    }
}

#[pymethods]
impl Store {
    /// The folder of the store; `None` of one in memory.
    #[getter]
    fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Whether it is followed: it cannot be written.
    #[getter]
    fn read_only(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.opened.get(py)?.writer().is_none())
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.opened.get(py)?.is_closed())
    }

    /// Closes the store for every object that uses it: whoever waits for its events is told. Closing
    /// it again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let opened = self.opened.get(py)?;
        if opened.is_closed() {
            return Ok(());
        }
        projecting::check_no_job()?;
        calls::detached(py, || opened.close())?.or_raise(py)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let opened = self.opened.get(py)?;
        let path = self.path.as_deref().unwrap_or("in memory");
        let state = if opened.is_closed() {
            "closed".to_owned()
        } else {
            format!("durable head {}", opened.durable_head())
        };
        Ok(format!("<Store {path}: {state}>"))
    }
}
