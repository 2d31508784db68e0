//! The events of a store: one by one, or as a table.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::{prelude::*, types::PyCapsule};
use spacefold::{
    Position, ReadError,
    log::{Pages, ReadRequest},
};

use crate::{
    calls,
    errors::OrRaise,
    event::RecordedEvent,
    opened::{Kept, Opened},
    queue::Queue,
    table::{self, EventBatches},
};

/// Events that are looked at for a page, so that a rare filter does not keep Ctrl-C waiting.
const LOOK_EVENTS: usize = 1 << 17;

/// Events of a page: as many of the largest ones take 1 GiB, which a column of texts holds.
const PAGE_EVENTS: usize = 1_024;

/// Events that pass a filter, up to the durable head as it is when they are read.
#[pyclass(frozen, module = "spacefold")]
pub(crate) struct Events {
    store: Kept<Arc<Opened>>,
    read: ReadRequest,
    most: u64,
}

impl Events {
    pub(crate) fn new(store: &Arc<Opened>, read: ReadRequest, most: Option<u64>) -> Self {
        let read = read.looking_at(LOOK_EVENTS).limit(PAGE_EVENTS);
        Self { store: Kept::new(Arc::clone(store)), read, most: most.unwrap_or(u64::MAX) }
    }

    fn pages(&self, py: Python<'_>) -> PyResult<Pages<'static>> {
        Ok(self.store.get(py)?.pages(self.read.clone()))
    }
}

#[pymethods]
impl Events {
    fn __iter__(&self, py: Python<'_>) -> PyResult<EventIterator> {
        let reading = Reading { pages: self.pages(py)?, queue: Queue::default(), left: self.most };
        let store = Kept::new(Arc::clone(self.store.get(py)?));
        Ok(EventIterator { store, reading: Mutex::new(reading) })
    }

    /// The events as an Arrow stream: a table of one row an event, payloads as JSON text.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let store = Kept::new(Arc::clone(self.store.get(py)?));
        table::capsule(py, Box::new(EventBatches::new(store, self.pages(py)?, self.most)))
    }
}

struct Reading {
    pages: Pages<'static>,
    queue: Queue,
    left: u64,
}

impl Reading {
    fn pop(&mut self) -> Option<RecordedEvent> {
        if self.left == 0 {
            return None;
        }
        let event = self.queue.pop()?;
        self.left -= 1;
        Some(event)
    }

    /// Reads one page on; whether there may be more.
    fn read_on(&mut self) -> Result<bool, ReadError> {
        if self.left == 0 {
            return Ok(false);
        }
        match self.pages.next() {
            None => Ok(false),
            Some(page) => {
                self.queue.fill(&page?);
                Ok(true)
            }
        }
    }
}

/// Hands events out one by one.
#[pyclass(frozen, module = "spacefold._native")]
pub(crate) struct EventIterator {
    /// Held open, and what the pages are read from.
    store: Kept<Arc<Opened>>,
    reading: Mutex<Reading>,
}

#[pymethods]
impl EventIterator {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<RecordedEvent>> {
        let reading = &self.reading;
        loop {
            if let Ok(mut reading) = reading.try_lock()
                && let Some(event) = reading.pop()
            {
                return Ok(Some(event));
            }
            self.store.get(py)?;
            let read_on = || {
                let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
                // Another thread may have read on meanwhile.
                if reading.queue.is_empty() { reading.read_on() } else { Ok(reading.left > 0) }
            };
            if !calls::detached(py, read_on)?.or_raise(py)? {
                return Ok(None);
            }
            py.check_signals()?;
        }
    }
}

/// A read of what lies after a position, up to another one.
pub(crate) fn request(
    query: spacefold::event::EventQuery,
    after: u64,
    to: Option<u64>,
) -> ReadRequest {
    let read = ReadRequest::from(Position::new(after).next()).matching(query);
    match to {
        Some(to) => read.to(Position::new(to)),
        None => read,
    }
}
