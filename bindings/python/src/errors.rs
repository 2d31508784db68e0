//! The exceptions of the package, made of the engine's errors: each message is the engine's.

use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyList},
};
use spacefold::{
    AppendError, CommandError, OpenError, ReadError, Refusal, SnapshotError, StorageError,
    SubscribeError,
    admin::{ImportError, RebuildError},
    content::{ContentAtError, ContentError},
    event::{JsonError, LimitExceeded, PayloadError},
    log::{FailedCondition, StorageErrorKind},
    projection::{CatchUpError, RegisterError, TableError},
    subscribe::{AckError, ReceiveError},
};

/// The module that has the classes.
static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// An error of a class of `spacefold._errors`, with attributes.
fn make(
    py: Python<'_>,
    class: &str,
    message: &str,
    attributes: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
) -> PyErr {
    let made = || -> PyResult<Bound<'_, PyAny>> {
        let classes = CLASSES
            .get_or_try_init(py, || PyModule::import(py, "spacefold._errors").map(Bound::unbind))?;
        let named = PyDict::new(py);
        attributes(&named)?;
        classes.bind(py).getattr(class)?.call((message,), Some(&named))
    };
    match made() {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

fn plain(py: Python<'_>, class: &str, message: &str) -> PyErr {
    make(py, class, message, |_| Ok(()))
}

pub(crate) fn closed(py: Python<'_>, message: &str) -> PyErr {
    plain(py, "ClosedError", message)
}

pub(crate) fn storage(py: Python<'_>, message: &str) -> PyErr {
    make(py, "StorageError", message, |it| it.set_item("kind", StorageErrorKind::Other.name()))
}

pub(crate) fn timed_out(py: Python<'_>, message: &str) -> PyErr {
    plain(py, "WaitTimeout", message)
}

pub(crate) fn invalid(py: Python<'_>, message: &str) -> PyErr {
    plain(py, "InvalidEventError", message)
}

pub(crate) fn not_found(py: Python<'_>, message: &str) -> PyErr {
    plain(py, "NotFound", message)
}

pub(crate) fn read_only(py: Python<'_>) -> PyErr {
    let message = "the store is followed, which only reads: the process that has it open writes it";
    plain(py, "ReadOnlyError", message)
}

pub(crate) fn forked(py: Python<'_>, opened: u32, here: u32) -> PyErr {
    let message = format!(
        "it was opened in process {opened}, of which this process {here} is a fork: open the store \
         after the fork, or follow it"
    );
    plain(py, "ForkError", &message)
}

/// An error of the engine as an exception of Python.
pub(crate) trait ToPyErr {
    fn to_py_err(&self, py: Python<'_>) -> PyErr;
}

/// What an engine call answered, as Python is told.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T, E: ToPyErr> OrRaise<T> for Result<T, E> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| error.to_py_err(py))
    }
}

fn of_storage(py: Python<'_>, kind: StorageErrorKind, message: &str) -> PyErr {
    make(py, "StorageError", message, |it| it.set_item("kind", kind.name()))
}

fn limit(py: Python<'_>, message: &str) -> PyErr {
    plain(py, "LimitError", message)
}

fn damage(py: Python<'_>, message: &str) -> PyErr {
    plain(py, "DamageError", message)
}

impl ToPyErr for StorageError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        of_storage(py, self.kind(), &self.to_string())
    }
}

impl ToPyErr for LimitExceeded {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        limit(py, &self.to_string())
    }
}

impl ToPyErr for JsonError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Limit(_) | Self::TooLong { .. } => limit(py, &self.to_string()),
            _ => invalid(py, &self.to_string()),
        }
    }
}

impl ToPyErr for PayloadError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        invalid(py, &self.to_string())
    }
}

fn of_read(py: Python<'_>, error: &ReadError, message: &str) -> PyErr {
    match error {
        ReadError::Corrupt { .. } | ReadError::NothingGiven { .. } => damage(py, message),
        ReadError::Query(_) | ReadError::NothingAsked => limit(py, message),
        ReadError::Storage(error) => of_storage(py, error.kind(), message),
        ReadError::Closed => closed(py, message),
        _ => plain(py, "SpacefoldError", message),
    }
}

impl ToPyErr for ReadError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        of_read(py, self, &self.to_string())
    }
}

impl ToPyErr for OpenError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::NoStore { .. } => not_found(py, &message),
            Self::AlreadyOpen { pid, .. } => {
                make(py, "AlreadyOpenError", &message, |it| it.set_item("pid", pid))
            }
            Self::JournalDamaged { .. } | Self::PartsDiffer { .. } => damage(py, &message),
            Self::NoLocks { .. } => of_storage(py, StorageErrorKind::Other, &message),
            Self::Storage(error) => of_storage(py, error.kind(), &message),
            _ => plain(py, "SpacefoldError", &message),
        }
    }
}

fn failed_list<'py>(py: Python<'py>, failed: &[FailedCondition]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for part in failed {
        let entry = PyDict::new(py);
        entry.set_item("message", part.to_string())?;
        match part {
            FailedCondition::Revision { space_id, current, .. } => {
                entry.set_item("space_id", space_id)?;
                entry.set_item("revision", current.get())?;
            }
            FailedCondition::EventMatches { after, position, event_id } => {
                entry.set_item("after", after.get())?;
                entry.set_item("position", position.get())?;
                entry.set_item("event_id", event_id.to_string())?;
            }
            _ => {}
        }
        list.append(entry)?;
    }
    Ok(list)
}

fn conflict(py: Python<'_>, message: &str, failed: &[FailedCondition]) -> PyErr {
    make(py, "ConflictError", message, |it| it.set_item("failed", failed_list(py, failed)?))
}

fn of_append(py: Python<'_>, error: &AppendError, message: &str) -> PyErr {
    match error {
        AppendError::ConditionFailed { failed } => conflict(py, message, failed),
        AppendError::Limit { .. } => limit(py, message),
        AppendError::EventIdReused { .. } | AppendError::OriginReused { .. } => {
            conflict(py, message, &[])
        }
        AppendError::Empty
        | AppendError::ReservedType { .. }
        | AppendError::TimesMismatch { .. }
        | AppendError::DuplicateEventId { .. }
        | AppendError::DuplicateOrigin { .. } => invalid(py, message),
        AppendError::Refused { kind, .. } => of_storage(py, *kind, message),
        AppendError::OutcomeUnknown(cause) => {
            let kind = cause.kind().name();
            make(py, "OutcomeUnknownError", message, |it| it.set_item("kind", kind))
        }
        AppendError::Unreadable(error) => of_read(py, error, message),
        AppendError::Closed => closed(py, message),
        _ => plain(py, "SpacefoldError", message),
    }
}

impl ToPyErr for AppendError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        of_append(py, self, &self.to_string())
    }
}

fn of_snapshot(py: Python<'_>, error: &SnapshotError, message: &str) -> PyErr {
    match error {
        SnapshotError::UnknownSpace { .. } | SnapshotError::BeyondHead { .. } => {
            not_found(py, message)
        }
        SnapshotError::TimedOut { .. } => timed_out(py, message),
        SnapshotError::Read(error) => of_read(py, error, message),
        SnapshotError::Storage(error) => of_storage(py, error.kind(), message),
        _ => plain(py, "SpacefoldError", message),
    }
}

impl ToPyErr for SnapshotError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        of_snapshot(py, self, &self.to_string())
    }
}

fn of_content(py: Python<'_>, error: &ContentError, message: &str) -> PyErr {
    match error {
        ContentError::Missing { .. } => not_found(py, message),
        ContentError::Damaged { .. } => damage(py, message),
        ContentError::TooLarge | ContentError::PastLimit { .. } => limit(py, message),
        ContentError::Closed => closed(py, message),
        _ => of_storage(py, error.storage_kind().unwrap_or(StorageErrorKind::Other), message),
    }
}

impl ToPyErr for ContentError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        of_content(py, self, &self.to_string())
    }
}

impl ToPyErr for ContentAtError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Snapshot(error) => of_snapshot(py, error, &message),
            Self::Content(error) => of_content(py, error, &message),
            _ => not_found(py, &message),
        }
    }
}

/// The name of a rule: that of the variant, in snake case.
fn rule(refusal: &Refusal) -> String {
    let mut rule = String::new();
    for letter in format!("{refusal:?}").chars().take_while(|it| it.is_ascii_alphanumeric()) {
        if letter.is_ascii_uppercase() && !rule.is_empty() {
            rule.push('_');
        }
        rule.push(letter.to_ascii_lowercase());
    }
    rule
}

impl ToPyErr for CommandError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Refused { refusal: Refusal::ConditionFailed { .. }, .. }
            | Self::Conflict { .. } => conflict(py, &message, &[]),
            Self::Refused { refusal: Refusal::Limit(_), .. } | Self::TooManySubmitted { .. } => {
                limit(py, &message)
            }
            Self::Refused { refusal, index, space_id } => {
                let rule = rule(refusal);
                make(py, "Refused", &message, |it| {
                    it.set_item("rule", rule)?;
                    it.set_item("space_id", space_id)?;
                    it.set_item("index", index)
                })
            }
            Self::State(error) => of_snapshot(py, error, &message),
            Self::Content(error) => of_content(py, error, &message),
            Self::Append(error) => of_append(py, error, &message),
            _ => plain(py, "SpacefoldError", &message),
        }
    }
}

impl ToPyErr for SubscribeError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::BeyondHead { .. } | Self::Unknown { .. } => not_found(py, &message),
            Self::NameLength { .. } => limit(py, &message),
            Self::Owned { .. } | Self::OtherFilter { .. } => conflict(py, &message, &[]),
            Self::Unfit { .. } => damage(py, &message),
            Self::Read(error) => of_read(py, error, &message),
            Self::Storage(error) => of_storage(py, error.kind(), &message),
            _ => plain(py, "SpacefoldError", &message),
        }
    }
}

impl ToPyErr for ReceiveError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Read(error) => error.to_py_err(py),
            _ => closed(py, &self.to_string()),
        }
    }
}

impl ToPyErr for AckError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::NotReceived { .. } | Self::Backwards { .. } => conflict(py, &message, &[]),
            Self::ResultTooLong { .. } => limit(py, &message),
            Self::Read(error) => of_read(py, error, &message),
            Self::Storage(error) => of_storage(py, error.kind(), &message),
            _ => plain(py, "SpacefoldError", &message),
        }
    }
}

impl ToPyErr for CatchUpError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Paused(paused) => make(py, "PausedError", &message, |it| {
                it.set_item("position", paused.position.get())?;
                it.set_item("reason", &paused.reason)
            }),
            Self::UnknownProjection { .. } => not_found(py, &message),
            Self::Read(error) => of_read(py, error, &message),
            _ => plain(py, "SpacefoldError", &message),
        }
    }
}

impl ToPyErr for TableError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::KeyTooLong { .. } | Self::ValueTooLong { .. } => limit(py, &message),
            Self::Damaged { .. } => damage(py, &message),
            Self::Storage(error) => of_storage(py, error.kind(), &message),
            _ => plain(py, "SpacefoldError", &message),
        }
    }
}

impl ToPyErr for RegisterError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::NameTaken { .. } => conflict(py, &message, &[]),
            Self::InvalidName { .. } => limit(py, &message),
            Self::Read(error) => of_read(py, error, &message),
            _ => plain(py, "SpacefoldError", &message),
        }
    }
}

impl ToPyErr for RebuildError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::UnknownProjection { .. } => not_found(py, &message),
            Self::Read(error) => of_read(py, error, &message),
            Self::Storage(error) => of_storage(py, error.kind(), &message),
            _ => plain(py, "SpacefoldError", &message),
        }
    }
}

impl ToPyErr for ImportError {
    fn to_py_err(&self, py: Python<'_>) -> PyErr {
        let (message, line) = (self.to_string(), self.line());
        let appended = self.report().appended;
        make(py, "ImportLinesError", &message, |it| {
            it.set_item("line", line)?;
            it.set_item("appended", appended)
        })
    }
}

/// Something that cannot be, of this package's own.
pub(crate) fn never(message: &'static str) -> PyErr {
    PyRuntimeError::new_err(message)
}
