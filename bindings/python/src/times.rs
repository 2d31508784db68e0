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
    /// The same of local time.
    naive_epoch: Py<PyAny>,
    no_micros: Py<PyDict>,
    no_zone: Py<PyDict>,
}

static CLOCK: PyOnceLock<Clock> = PyOnceLock::new();

fn clock(py: Python<'_>) -> PyResult<&Clock> {
    CLOCK.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let (datetime, timedelta) = (module.getattr("datetime")?, module.getattr("timedelta")?);
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let epoch = datetime.call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
        let naive_epoch = datetime.call1((1970, 1, 1))?;
        let no_zone = PyDict::new(py);
        no_zone.set_item("tzinfo", py.None())?;
        let no_micros = PyDict::new(py);
        no_micros.set_item("microsecond", 0)?;
        Ok(Clock {
            datetime: datetime.unbind(),
            timedelta: timedelta.unbind(),
            epoch: epoch.unbind(),
            naive_epoch: naive_epoch.unbind(),
            no_zone: no_zone.unbind(),
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

/// Seconds within which the offset of local time does not change twice.
const QUARTER_SECONDS: i64 = 15 * 60;

/// How far local time is from UTC, as long as one call lasts: that of many events is looked up once.
#[derive(Default)]
pub(crate) struct LocalTime {
    /// The quarter of an hour that was asked for last, in local time, and its offset in microseconds.
    last: Option<(i64, i64)>,
}

impl LocalTime {
    /// The instant that a `datetime` is; one without an offset is local.
    pub(crate) fn instant(&mut self, time: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
        let py = time.py();
        let clock = clock(py)?;
        let zone = time.getattr(intern!(py, "tzinfo"))?;
        let is_naive = zone.is_none() || time.call_method0(intern!(py, "utcoffset"))?.is_none();
        let micros = if !is_naive {
            micros_of(&time.sub(clock.epoch.bind(py))?)?
        } else if zone.is_none() {
            let local = micros_of(&time.sub(clock.naive_epoch.bind(py))?)?;
            local.saturating_sub(self.offset(time, local)?)
        } else {
            // It has a zone, which knows no offset for it.
            let no_zone = clock.no_zone.bind(py);
            let time = time.call_method(intern!(py, "replace"), (), Some(no_zone))?;
            return self.instant(&time);
        };
        Timestamp::from_micros(micros).ok_or_else(|| {
            PyValueError::new_err(format!("{time} is not within the years 1 to 9999 in UTC"))
        })
    }

    /// The offset of a local time, which is so many microseconds after 1970 began here.
    fn offset(&mut self, time: &Bound<'_, PyAny>, local: i64) -> PyResult<i64> {
        let py = time.py();
        let quarter = local.div_euclid(QUARTER_SECONDS * MICROS_PER_SECOND);
        let is_second = time.getattr(intern!(py, "fold"))?.is_truthy()?;
        if let Some((known, offset)) = self.last
            && known == quarter
            && !is_second
        {
            return Ok(offset);
        }
        let offset = offset_of(time, local)?;
        // Known for all of the quarter where its ends agree.
        let clock = clock(py)?;
        let mut ends_agree = !is_second;
        for end in [quarter, quarter + 1] {
            let seconds = end.saturating_mul(QUARTER_SECONDS);
            let since = clock.timedelta.bind(py).call1((0, seconds))?;
            let local = seconds.saturating_mul(MICROS_PER_SECOND);
            ends_agree = ends_agree
                && clock
                    .naive_epoch
                    .bind(py)
                    .add(since)
                    .and_then(|end| offset_of(&end, local))
                    .is_ok_and(|at_end| at_end == offset);
        }
        self.last = ends_agree.then_some((quarter, offset));
        Ok(offset)
    }
}

/// The microseconds of a `timedelta`.
fn micros_of(since: &Bound<'_, PyAny>) -> PyResult<i64> {
    let py = since.py();
    let days: i64 = since.getattr(intern!(py, "days"))?.extract()?;
    let seconds: i64 = since.getattr(intern!(py, "seconds"))?.extract()?;
    let micros: i64 = since.getattr(intern!(py, "microseconds"))?.extract()?;
    let seconds = days.saturating_mul(86_400).saturating_add(seconds);
    Ok(seconds.saturating_mul(MICROS_PER_SECOND).saturating_add(micros))
}

/// The offset of a local time, as Python has it.
fn offset_of(time: &Bound<'_, PyAny>, local: i64) -> PyResult<i64> {
    let py = time.py();
    // Of whole seconds, since the float of a timestamp does not hold every microsecond.
    let no_micros = clock(py)?.no_micros.bind(py);
    let whole = time.call_method(intern!(py, "replace"), (), Some(no_micros))?;
    let seconds = whole.call_method0(intern!(py, "timestamp"))?;
    let seconds: i64 = seconds.call_method0(intern!(py, "__trunc__"))?.extract()?;
    Ok(local
        .div_euclid(MICROS_PER_SECOND)
        .saturating_sub(seconds)
        .saturating_mul(MICROS_PER_SECOND))
}

/// The instant that a `datetime` is; one without an offset is local.
pub(crate) fn of_datetime(time: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    LocalTime::default().instant(time)
}

/// The instant that a `datetime` or a text of ISO 8601 is.
pub(crate) fn of_any(time: &Bound<'_, PyAny>, local: &mut LocalTime) -> PyResult<Timestamp> {
    let py = time.py();
    let clock = clock(py)?;
    if time.is_instance(clock.datetime.bind(py))? {
        return local.instant(time);
    }
    let parsed = clock.datetime.bind(py).call_method1(intern!(py, "fromisoformat"), (time,))?;
    local.instant(&parsed)
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
