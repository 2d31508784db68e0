//! Operating a store.

use std::path::PathBuf;

use pyo3::{prelude::*, types::PyDict};
use spacefold::{
    CachePlace, Options,
    admin::{self, OnDamage, RebuildMode, RebuildOptions, VerifyDepth, VerifyOptions},
    content::CollectError,
};

use super::Store;
use crate::{
    calls,
    errors::{self, OrRaise, ToPyErr},
    projecting,
};

/// What a check found.
#[pyclass(frozen, get_all, module = "spacefold")]
pub(crate) struct VerifyReport {
    /// Events that were looked at.
    events: u64,
    /// Whether nothing is wrong, or all of it has been mended.
    ok: bool,
    /// Whether something is damaged that has not been mended.
    damaged: bool,
    /// Whether it was not closed and has not been opened since, as after a kill: nothing is damaged
    /// for that, the next opening puts it in order.
    needs_recovery: bool,
    /// What is wrong.
    problems: Vec<Py<Problem>>,
}

/// Something that is wrong.
#[pyclass(frozen, get_all, module = "spacefold")]
pub(crate) struct Problem {
    /// The first position that it concerns.
    position: Option<u64>,
    /// Which part of the store it is in.
    kind: &'static str,
    /// What it is.
    detail: String,
    /// Whether it has been mended.
    healed: bool,
}

#[pymethods]
impl VerifyReport {
    fn __repr__(&self) -> String {
        format!("<VerifyReport: {} events, {} problems>", self.events, self.problems.len())
    }
}

#[pymethods]
impl Problem {
    fn __repr__(&self) -> String {
        format!("<Problem: {}: {}>", self.kind, self.detail)
    }
}

impl VerifyReport {
    fn new(py: Python<'_>, report: &admin::VerifyReport) -> PyResult<Self> {
        let problem = |it: &admin::Problem| {
            let position = it.position.map(spacefold::Position::get);
            let (kind, detail) = (it.kind, it.detail.clone());
            Py::new(py, Problem { position, kind, detail, healed: it.healed })
        };
        Ok(Self {
            events: report.events,
            ok: report.is_ok(),
            damaged: report.is_damaged(),
            needs_recovery: report.needs_recovery,
            problems: report.problems.iter().map(problem).collect::<PyResult<_>>()?,
        })
    }
}

/// Checks the store in a folder, which must not be open: every byte of both copies, or with `quick`
/// the journal and the ends of files. With `heal` a wrong copy is made anew from the other one.
#[pyfunction]
#[pyo3(signature = (path, *, quick = false, heal = false))]
pub(crate) fn verify(
    py: Python<'_>,
    path: PathBuf,
    quick: bool,
    heal: bool,
) -> PyResult<VerifyReport> {
    let depth = if quick { VerifyDepth::Quick } else { VerifyDepth::Full };
    let damage = if heal { OnDamage::Heal } else { OnDamage::Report };
    let options = VerifyOptions { depth, damage };
    let report = calls::interruptible(py, move |_| admin::verify(&path, options))?;
    VerifyReport::new(py, &report.or_raise(py)?)
}

#[pymethods]
impl Store {
    /// The store at a glance: its id, format, heads, and the bytes of its parts.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let store = self.get(py)?;
        let info = calls::detached(py, || match (store.writer(), store.follower()) {
            (Some(store), _) => Some(store.admin().info()),
            (None, Some(followed)) => Some(followed.info()),
            (None, None) => None,
        })?;
        let info = info.ok_or_else(|| errors::never("a store is open or followed"))?;
        let told = PyDict::new(py);
        told.set_item("store_id", info.store_id)?;
        told.set_item("format_version", info.format_version)?;
        told.set_item("head", info.head.get())?;
        told.set_item("durable_head", info.durable_head.get())?;
        told.set_item("blocks", info.blocks)?;
        told.set_item("journal_bytes", info.journal_bytes)?;
        told.set_item("sealed_bytes", info.sealed_bytes)?;
        told.set_item("sled_bytes", info.sled_bytes)?;
        told.set_item("healed", info.healed)?;
        Ok(told)
    }

    /// Checks every event of this store while it is open. The copy that only its process may look at
    /// is not checked: `spacefold.verify` does, of a store that is not open.
    fn verify(&self, py: Python<'_>) -> PyResult<VerifyReport> {
        self.get(py)?;
        let Some(path) = self.path.clone() else {
            return Err(errors::not_found(py, "a store in memory has no files to verify"));
        };
        let report = calls::interruptible(py, move |_| {
            let options = Options::new(path).cache(CachePlace::Memory);
            let beside = options.folding(spacefold::Folding::OnDemand).follow();
            beside.map(|beside| beside.verify(VerifyDepth::Full))
        })?;
        VerifyReport::new(py, &report.or_raise(py)?.or_raise(py)?)
    }

    /// Folds all that is derived anew from the first event, and compares; with `replace` what is new
    /// takes the place of what was. Answers, by name, `"identical"` or what else it came to.
    #[pyo3(signature = (names = None, *, replace = false))]
    fn rebuild<'py>(
        &self,
        py: Python<'py>,
        names: Option<Vec<String>>,
        replace: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.writer(py)?;
        projecting::check_no_job()?;
        let store = std::sync::Arc::clone(self.get(py)?);
        let mode = if replace { RebuildMode::Replace } else { RebuildMode::Check };
        let names = names.unwrap_or_default();
        let rebuilt = calls::interruptible(py, move |_| {
            store.writer().map(|it| it.admin().rebuild(&names, &RebuildOptions::new(mode)))
        })?;
        let outcomes = rebuilt.ok_or_else(|| errors::read_only(py))?;
        let told = PyDict::new(py);
        for outcome in outcomes.or_raise(py)? {
            told.set_item(outcome.name, outcome.verdict.name())?;
        }
        Ok(told)
    }

    /// Removes the content that no event names; answers how many bytes that gave back.
    fn collect_garbage(&self, py: Python<'_>) -> PyResult<u64> {
        self.writer(py)?;
        let store = std::sync::Arc::clone(self.get(py)?);
        let collected = calls::interruptible(py, move |_| {
            store.writer().map(|it| it.admin().collect_garbage())
        })?;
        let report = collected.ok_or_else(|| errors::read_only(py))?;
        report.map(|report| report.freed_bytes).map_err(|error| match error {
            CollectError::Read(error) => error.to_py_err(py),
            CollectError::Content(error) => error.to_py_err(py),
            other => errors::storage(py, &other.to_string()),
        })
    }
}
