//! Tables, handed over as Arrow streams by the PyCapsule interface.

mod event_batches;

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Date32Array, RecordBatch, RecordBatchIterator, RecordBatchReader, StringArray,
    TimestampMicrosecondArray, UInt64Array,
    cast::AsArray,
    ffi_stream::FFI_ArrowArrayStream,
    types::{Date32Type, TimestampMicrosecondType, UInt64Type},
};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use pyo3::{
    IntoPyObjectExt,
    exceptions::PyValueError,
    prelude::*,
    types::{PyCapsule, PyDict, PyList},
};
use spacefold::Timestamp;

pub(crate) use self::event_batches::EventBatches;
use crate::times;

/// Instants: microseconds, in UTC.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A stream of batches as the capsule that Arrow's libraries take.
pub(crate) fn capsule<'py>(
    py: Python<'py>,
    reader: Box<dyn RecordBatchReader + Send>,
) -> PyResult<Bound<'py, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), c"arrow_array_stream")
}

pub(crate) fn raised(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A column of a table: its name and its values.
pub(crate) struct Column {
    field: Field,
    values: ArrayRef,
}

impl Column {
    fn new(name: &str, values: ArrayRef) -> Self {
        let field = Field::new(name, values.data_type().clone(), true);
        Self { field, values }
    }

    pub(crate) fn texts<S: AsRef<str>>(
        name: &str,
        texts: impl IntoIterator<Item = Option<S>>,
    ) -> Self {
        Self::new(name, Arc::new(texts.into_iter().collect::<StringArray>()))
    }

    pub(crate) fn numbers(name: &str, numbers: impl IntoIterator<Item = Option<u64>>) -> Self {
        Self::new(name, Arc::new(numbers.into_iter().collect::<UInt64Array>()))
    }

    pub(crate) fn times(name: &str, times: impl IntoIterator<Item = Option<Timestamp>>) -> Self {
        let micros = times.into_iter().map(|time| time.map(Timestamp::as_micros));
        let times = micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
        Self::new(name, Arc::new(times))
    }

    pub(crate) fn days(name: &str, days: impl IntoIterator<Item = Option<i32>>) -> Self {
        Self::new(name, Arc::new(days.into_iter().collect::<Date32Array>()))
    }
}

/// Rows with named columns, in memory. `polars.DataFrame(table)`, `pyarrow.table(table)` and their
/// like take it without a copy through Python objects; iterated over, it gives a `dict` a row.
#[pyclass(frozen, module = "spacefold")]
pub(crate) struct Table {
    batch: RecordBatch,
}

impl Table {
    pub(crate) fn new(columns: Vec<Column>) -> PyResult<Self> {
        let (fields, values): (Vec<_>, Vec<_>) =
            columns.into_iter().map(|it| (it.field, it.values)).unzip();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), values).map_err(raised)?;
        Ok(Self { batch })
    }

    /// The table as a stream of one batch.
    pub(crate) fn stream<'py>(
        &self,
        py: Python<'py>,
        _requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // Asked for another schema one may answer with one's own.
        let batches = [Ok(self.batch.clone())];
        capsule(py, Box::new(RecordBatchIterator::new(batches, self.batch.schema())))
    }

    fn row<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (field, values) in self.batch.schema_ref().fields().iter().zip(self.batch.columns()) {
            dict.set_item(field.name(), cell(py, values, row)?)?;
        }
        Ok(dict)
    }
}

fn cell<'py>(py: Python<'py>, values: &ArrayRef, row: usize) -> PyResult<Bound<'py, PyAny>> {
    if values.is_null(row) {
        return Ok(py.None().into_bound(py));
    }
    match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value(row).into_bound_py_any(py),
        DataType::UInt64 => values.as_primitive::<UInt64Type>().value(row).into_bound_py_any(py),
        DataType::Date32 => {
            let days = values.as_primitive::<Date32Type>().value(row);
            let date = py.import("datetime")?.getattr("date")?;
            date.call_method1("fromordinal", (i64::from(days) + DAYS_BEFORE_1970,))
        }
        DataType::Timestamp(..) => {
            let micros = values.as_primitive::<TimestampMicrosecondType>().value(row);
            let time = Timestamp::from_micros(micros);
            times::to_datetime(py, time.ok_or_else(|| PyValueError::new_err("a time"))?)
        }
        other => Err(PyValueError::new_err(format!("a column of {other} has no objects"))),
    }
}

/// The ordinal of 1970-01-01, as Python counts days.
const DAYS_BEFORE_1970: i64 = 719_163;

#[pymethods]
impl Table {
    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// All rows, each a `dict`.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for row in 0..self.batch.num_rows() {
            rows.append(self.row(py, row)?)?;
        }
        Ok(rows)
    }

    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.rows(py)?.try_iter().map(Bound::into_any)
    }

    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        self.stream(py, requested_schema)
    }

    fn __repr__(&self) -> String {
        format!("<Table: {} rows of {}>", self.batch.num_rows(), self.columns().join(", "))
    }
}
