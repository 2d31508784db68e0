//! Times: instants of the engine, `datetime` of Python. One without an offset is local time, as
//! `datetime.now()` gives it.

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyDict, PyInt},
};
use spacefold::{Moment, Position, Timestamp};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// What of `datetime` is used again and again.
struct Clock {
    datetime: Py<PyAny>,
    timedelta: Py<PyAny>,
    /// 1970-01-01T00:00:00+00:00.
    epoch: Py<PyAny>,
    microsecond: Py<PyAny>,
    no_micros: Py<PyDict>,
}

static CLOCK: PyOnceLock<Clock> = PyOnceLock::new();

fn clock(py: Python<'_>) -> PyResult<&Clock> {
    CLOCK.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let (datetime, timedelta) = (module.getattr("datetime")?, module.getattr("timedelta")?);
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let epoch = datetime.call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
        let microsecond = timedelta.call1((0, 0, 1))?;
        let no_micros = PyDict::new(py);
        no_micros.set_item("microsecond", 0)?;
        Ok(Clock {
            datetime: datetime.unbind(),
            timedelta: timedelta.unbind(),
            epoch: epoch.unbind(),
            microsecond: microsecond.unbind(),
            no_micros: no_micros.unbind(),
        })
    })
}

/// An instant as a `datetime` in UTC.
pub(crate) fn to_datetime<'py>(py: Python<'py>, time: Timestamp) -> PyResult<Bound<'py, PyAny>> {
    let clock = clock(py)?;
    let micros = time.as_micros();
    let (seconds, micros) =
        (micros.div_euclid(MICROS_PER_SECOND), micros.rem_euclid(MICROS_PER_SECOND));
    clock.epoch.bind(py).add(clock.timedelta.bind(py).call1((0, seconds, micros))?)
}

/// An instant as a `datetime` of local time without an offset, as the module `event_model` has it.
pub(crate) fn to_local<'py>(py: Python<'py>, time: Timestamp) -> PyResult<Bound<'py, PyAny>> {
    let clock = clock(py)?;
    let micros = time.as_micros();
    let (seconds, micros) =
        (micros.div_euclid(MICROS_PER_SECOND), micros.rem_euclid(MICROS_PER_SECOND));
    let whole = clock.datetime.bind(py).call_method1(intern!(py, "fromtimestamp"), (seconds,))?;
    if micros == 0 {
        return Ok(whole);
    }
    whole.add(clock.timedelta.bind(py).call1((0, 0, micros))?)
}

/// The instant that a `datetime` is; one without an offset is local.
pub(crate) fn of_datetime(time: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    let py = time.py();
    let clock = clock(py)?;
    let is_naive = time.call_method0(intern!(py, "utcoffset"))?.is_none();
    let micros: i64 = if is_naive {
        // Of whole seconds, since the float of a timestamp does not hold every microsecond.
        let no_micros = clock.no_micros.bind(py);
        let whole = time.call_method(intern!(py, "replace"), (), Some(no_micros))?;
        let seconds = whole.call_method0(intern!(py, "timestamp"))?;
        let seconds: i64 = seconds.call_method0(intern!(py, "__trunc__"))?.extract()?;
        let micros: i64 = time.getattr(intern!(py, "microsecond"))?.extract()?;
        seconds.saturating_mul(MICROS_PER_SECOND).saturating_add(micros)
    } else {
        let since = time.sub(clock.epoch.bind(py))?;
        since.floor_div(clock.microsecond.bind(py))?.extract()?
    };
    Timestamp::from_micros(micros).ok_or_else(|| {
        PyValueError::new_err(format!("{time} is not within the years 1 to 9999 in UTC"))
    })
}

/// The instant that a `datetime` or a text of ISO 8601 is.
pub(crate) fn of_any(time: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    let py = time.py();
    let clock = clock(py)?;
    if time.is_instance(clock.datetime.bind(py))? {
        return of_datetime(time);
    }
    let parsed = clock.datetime.bind(py).call_method1(intern!(py, "fromisoformat"), (time,))?;
    of_datetime(&parsed)
}

/// A moment: a position, or a `datetime`.
pub(crate) fn moment(at: &Bound<'_, PyAny>) -> PyResult<Moment> {
    if at.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err("a moment is a position or a datetime, not a bool"));
    }
    if at.is_instance_of::<PyInt>() {
        return Ok(Position::new(at.extract()?).into());
    }
    let clock = clock(at.py())?;
    if at.is_instance(clock.datetime.bind(at.py()))? {
        return Ok(of_datetime(at)?.into());
    }
    let found = at.get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("a moment is a position or a datetime, not {found}")))
}

/// A number of seconds as a duration; `None` waits for ever.
pub(crate) fn timeout(seconds: Option<f64>) -> PyResult<Option<std::time::Duration>> {
    let Some(seconds) = seconds else { return Ok(None) };
    std::time::Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|error| PyValueError::new_err(format!("timeout {seconds}: {error}")))
}
