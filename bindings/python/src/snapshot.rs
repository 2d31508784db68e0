//! States of spaces, and what differs between two of them.

use pyo3::{
    IntoPyObjectExt,
    exceptions::PyIndexError,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyCapsule, PyDict, PyList},
};
use spacefold::{Change as EngineChange, state};

use crate::{
    json,
    table::{Column, Table},
    times,
};

/// The state of a space as of a position.
#[pyclass(frozen, eq, module = "spacefold")]
#[derive(PartialEq)]
pub(crate) struct Snapshot(pub(crate) spacefold::Snapshot);

/// A document of a space.
#[pyclass(frozen, eq, module = "spacefold")]
#[derive(PartialEq)]
pub(crate) struct Document {
    document_id: String,
    document: state::Document,
}

impl Document {
    fn new(document_id: &str, document: &state::Document) -> Self {
        Self { document_id: document_id.to_owned(), document: document.clone() }
    }
}

#[pymethods]
impl Document {
    /// Its id.
    #[getter]
    fn document_id(&self) -> &str {
        &self.document_id
    }

    /// Where it is.
    #[getter]
    fn path(&self) -> &str {
        self.document.path()
    }

    /// The hash of its content; `None` before it has any.
    #[getter]
    fn content_hash(&self) -> Option<String> {
        self.document.content_hash().map(|hash| hash.as_str().to_owned())
    }

    /// What `document.updated` has merged: a new `dict` each time.
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        json::object_to_py(py, self.document.attributes())
    }

    /// The position of the event that added it.
    #[getter]
    fn added_position(&self) -> u64 {
        self.document.added_position().get()
    }

    /// The position of the last event that changed it.
    #[getter]
    fn updated_position(&self) -> u64 {
        self.document.updated_position().get()
    }

    fn __repr__(&self) -> String {
        format!("Document(document_id={:?}, path={:?})", self.document_id, self.path())
    }
}

#[pymethods]
impl Snapshot {
    /// The space.
    #[getter]
    fn space_id(&self) -> &str {
        self.0.space_id()
    }

    /// Its name; `None` before it has one.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// `"created"`, `"active"`, `"archived"`, `"deleted"` or `"unknown"`.
    #[getter]
    fn status(&self) -> &'static str {
        self.0.status().name()
    }

    /// The position that the state is of.
    #[getter]
    fn position(&self) -> u64 {
        self.0.position().get()
    }

    /// The revision of the space: how many events it has had.
    #[getter]
    fn revision(&self) -> u64 {
        self.0.revision().get()
    }

    /// When it was created, in UTC.
    #[getter]
    fn created_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.created_at().map(|time| times::to_datetime(py, time)).transpose()
    }

    /// When its newest event was recorded, in UTC.
    #[getter]
    fn updated_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        times::to_datetime(py, self.0.updated_at())
    }

    /// What `space.updated` has merged: a new `dict` each time.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        json::object_to_py(py, self.0.metadata())
    }

    /// The documents, sorted by path.
    #[getter]
    fn documents(&self) -> Vec<Document> {
        let documents = self.0.documents();
        documents.into_iter().map(|(id, document)| Document::new(id, document)).collect()
    }

    /// The document with this id, or `None`.
    fn document(&self, document_id: &str) -> Option<Document> {
        self.0.document(document_id).map(|it| Document::new(document_id, it))
    }

    /// The document at this path, or `None`.
    fn document_at(&self, path: &str) -> Option<Document> {
        self.0.document_at(path).map(|(id, document)| Document::new(id, document))
    }

    /// Whether a document is at this path.
    fn has_path(&self, path: &str) -> bool {
        self.0.has_path(path)
    }

    /// The variables, by name.
    #[getter]
    fn variables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in self.0.variables() {
            dict.set_item(name, json::to_py(py, value)?)?;
        }
        Ok(dict)
    }

    /// Ids of documents that are marked stale.
    #[getter]
    fn stale_documents(&self) -> Vec<String> {
        self.0.stale_documents().into_iter().map(str::to_owned).collect()
    }

    /// Equal where states are.
    #[getter]
    fn state_hash(&self) -> String {
        self.0.state_hash().to_string()
    }

    /// All of the state as one line of JSON.
    fn to_json(&self) -> String {
        self.0.to_json()
    }

    /// All of the state as a `dict`: references, renders, the sync state and anomalies too.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::loads(py, &self.0.to_json())
    }

    fn __repr__(&self) -> String {
        format!(
            "Snapshot(space_id={:?}, name={:?}, status={:?}, position={}, revision={})",
            self.0.space_id(),
            self.0.name().unwrap_or_default(),
            self.status(),
            self.position(),
            self.revision()
        )
    }
}

/// One difference between two states of a space.
#[pyclass(frozen, module = "spacefold")]
pub(crate) struct Change {
    change: EngineChange,
    fields: PyOnceLock<Py<PyAny>>,
}

impl Change {
    fn new(change: EngineChange) -> Self {
        Self { change, fields: PyOnceLock::new() }
    }

    fn field<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let fields = self
            .fields
            .get_or_try_init(py, || json::loads(py, &self.change.to_json()).map(Bound::unbind))?;
        fields.bind(py).call_method1(intern!(py, "get"), (name,))
    }
}

#[pymethods]
impl Change {
    /// What kind of change: `"document_added"`, `"renamed"` and so on.
    #[getter]
    fn kind(&self) -> &'static str {
        self.change.kind()
    }

    /// The document that it is of, where it is of one.
    #[getter]
    fn document_id(&self) -> Option<&str> {
        self.change.document_id()
    }

    /// Of a variable, its name.
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.field(py, "name")
    }

    /// What was, as JSON; `None` where nothing was.
    #[getter]
    fn before<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.field(py, "before")
    }

    /// What is, as JSON; `None` where nothing is.
    #[getter]
    fn after<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.field(py, "after")
    }

    /// The change as one line of JSON.
    fn to_json(&self) -> String {
        self.change.to_json()
    }

    /// The change as a `dict`.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::loads(py, &self.change.to_json())
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.change == other.change
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (self.change.kind(), self.change.document_id()).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("<Change: {}>", self.change.to_json())
    }
}

/// What differs between two states of a space, sorted: a sequence of `Change`, and a table.
#[pyclass(frozen, sequence, module = "spacefold")]
pub(crate) struct Diff(pub(crate) Vec<EngineChange>);

impl Diff {
    fn table(&self, py: Python<'_>) -> PyResult<Table> {
        let mut lines = Vec::new();
        for change in &self.0 {
            lines.push(json::loads(py, &change.to_json())?);
        }
        let dumps = py.import("json")?.getattr("dumps")?;
        let side = |name: &str| -> PyResult<Vec<Option<String>>> {
            let texts = lines.iter().map(|line| {
                let value = line.get_item(name)?;
                if value.is_none() { Ok(None) } else { dumps.call1((value,))?.extract().map(Some) }
            });
            texts.collect()
        };
        let mut names = Vec::new();
        for line in &lines {
            names.push(line.call_method1("get", ("name",))?.extract::<Option<String>>()?);
        }
        Table::new(vec![
            Column::texts("kind", self.0.iter().map(|it| Some(it.kind()))),
            Column::texts("document_id", self.0.iter().map(EngineChange::document_id)),
            Column::texts("name", names),
            Column::texts("before", side("before")?),
            Column::texts("after", side("after")?),
        ])
    }
}

#[pymethods]
impl Diff {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __getitem__(&self, index: isize) -> PyResult<Change> {
        let len = isize::try_from(self.0.len()).unwrap_or(isize::MAX);
        let place = if index < 0 { index.saturating_add(len) } else { index };
        let change = usize::try_from(place).ok().and_then(|place| self.0.get(place));
        let change = change.ok_or_else(|| PyIndexError::new_err("there is no such change"))?;
        Ok(Change::new(change.clone()))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let list = PyList::empty(py);
        for change in &self.0 {
            list.append(Change::new(change.clone()).into_bound_py_any(py)?)?;
        }
        list.try_iter().map(Bound::into_any)
    }

    /// The changes as a table: kind, document_id, name, before and after, the last two as JSON text.
    fn to_table(&self, py: Python<'_>) -> PyResult<Table> {
        self.table(py)
    }

    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        self.table(py)?.stream(py, requested_schema)
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn __repr__(&self) -> String {
        format!("<Diff: {} changes>", self.0.len())
    }
}

/// One row a document of a state.
pub(crate) fn documents(snapshot: &spacefold::Snapshot) -> PyResult<Table> {
    let documents = snapshot.documents();
    let hashes = documents.iter().map(|(_, it)| it.content_hash());
    let attributes = documents
        .iter()
        .map(|(_, it)| Some(spacefold::Value::Object(it.attributes().clone()).to_string()));
    Table::new(vec![
        Column::texts("document_id", documents.iter().map(|(id, _)| Some(*id))),
        Column::texts("path", documents.iter().map(|(_, it)| Some(it.path()))),
        Column::texts("content_hash", hashes.map(|it| it.map(|it| it.as_str().to_owned()))),
        Column::texts("attributes", attributes),
        Column::numbers(
            "added_position",
            documents.iter().map(|(_, it)| Some(it.added_position().get())),
        ),
        Column::numbers(
            "updated_position",
            documents.iter().map(|(_, it)| Some(it.updated_position().get())),
        ),
    ])
}

/// One row a space.
pub(crate) fn spaces(snapshots: &[spacefold::Snapshot]) -> PyResult<Table> {
    let count = |len: usize| u64::try_from(len).ok();
    Table::new(vec![
        Column::texts("space_id", snapshots.iter().map(|it| Some(it.space_id()))),
        Column::texts("name", snapshots.iter().map(|it| it.name())),
        Column::texts("status", snapshots.iter().map(|it| Some(it.status().name()))),
        Column::numbers("revision", snapshots.iter().map(|it| Some(it.revision().get()))),
        Column::numbers("documents", snapshots.iter().map(|it| count(it.document_count()))),
        Column::times("created_at", snapshots.iter().map(|it| it.created_at())),
        Column::times("updated_at", snapshots.iter().map(|it| Some(it.updated_at()))),
        Column::texts("state_hash", snapshots.iter().map(|it| Some(it.state_hash().to_string()))),
    ])
}
