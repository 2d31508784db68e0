//! How a store is opened.

use std::{path::PathBuf, time::Duration};

use pyo3::{exceptions::PyValueError, prelude::*};
use spacefold::{CachePlace, Durability, Folding, Options, log::StoreOptions};

use super::Store;
use crate::{calls, errors::OrRaise, opened::Opened};

/// When appends become durable: `"sync"`, `"os"`, or a number of milliseconds.
fn durability(given: Option<&Bound<'_, PyAny>>) -> PyResult<Durability> {
    let Some(given) = given else { return Ok(Durability::Sync) };
    if let Ok(ms) = given.extract::<u64>() {
        return Ok(Durability::Interval(Duration::from_millis(ms)));
    }
    match given.extract::<String>().as_deref() {
        Ok("sync") => Ok(Durability::Sync),
        Ok("os") => Ok(Durability::Os),
        _ => Err(PyValueError::new_err(
            "durability is \"sync\", \"os\", or a number of milliseconds",
        )),
    }
}

fn folding(given: &str) -> PyResult<Folding> {
    match given {
        "live" => Ok(Folding::Live),
        "on_demand" => Ok(Folding::OnDemand),
        other => {
            let message = format!("folding is \"live\" or \"on_demand\", not {other:?}");
            Err(PyValueError::new_err(message))
        }
    }
}

/// Opens the store in a folder, and creates it where the folder is absent or empty, unless `create`
/// is false.
#[pyfunction]
#[pyo3(signature = (path, *, create = true, durability = None, folding = "live"))]
pub(crate) fn open(
    py: Python<'_>,
    path: PathBuf,
    create: bool,
    durability: Option<&Bound<'_, PyAny>>,
    folding: &str,
) -> PyResult<Store> {
    let store = StoreOptions::default().durability(self::durability(durability)?);
    let options = Options::new(&path).store(store).folding(self::folding(folding)?);
    let options = if create { options } else { options.existing_only() };
    let opened = calls::interruptible(py, move |_| options.open())?.or_raise(py)?;
    Ok(Store::new(Opened::owned(opened), Some(path.display().to_string())))
}

/// Makes an empty store in memory, for tests: it is gone when it is closed.
#[pyfunction]
pub(crate) fn in_memory(py: Python<'_>) -> PyResult<Store> {
    let opened = calls::detached(py, || Options::in_memory().open())?.or_raise(py)?;
    Ok(Store::new(Opened::owned(opened), None))
}

/// Follows the store in a folder, which another process may have open: all that reads. What is folded
/// is kept in `cache`, `"user"` (the user's cache), `"memory"`, or a folder.
#[pyfunction]
#[pyo3(signature = (path, *, cache = None, folding = "live"))]
pub(crate) fn follow(
    py: Python<'_>,
    path: PathBuf,
    cache: Option<PathBuf>,
    folding: &str,
) -> PyResult<Store> {
    let cache = match cache {
        None => CachePlace::User,
        Some(place) if place.as_os_str() == "user" => CachePlace::User,
        Some(place) if place.as_os_str() == "memory" => CachePlace::Memory,
        Some(folder) => CachePlace::Folder(folder),
    };
    let options = Options::new(&path).cache(cache).folding(self::folding(folding)?);
    let followed = calls::interruptible(py, move |_| options.follow())?.or_raise(py)?;
    Ok(Store::new(Opened::followed(followed), Some(path.display().to_string())))
}
