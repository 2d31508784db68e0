//! What is in the way of a call to an object storage, and what is known then.

use std::{error::Error, fmt};

use spacefold_event_core::StorageError;

/// What is known after a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectErrorKind {
    /// Nothing was changed. The same call may succeed later: the service is busy or not to be reached,
    /// or the disk is full.
    Unavailable,
    /// No answer came, or one that does not say: the object that was put or removed may be there or not,
    /// whole in any case. The same call may be made again.
    OutcomeUnknown,
    /// Nothing was changed, and the same call fails again until somebody mends what it is refused for:
    /// credentials, permissions, a bucket that is not there.
    Refused,
    /// The service takes a put that is to fail where an object is there, and replaces the object. Nothing
    /// that rests on conditions may be kept there. Nothing was changed.
    Unconditional,
}

/// A call to an object storage that failed: what was being done, where, and the cause.
#[derive(Clone, Debug)]
pub struct ObjectError {
    kind: ObjectErrorKind,
    cause: StorageError,
}

impl ObjectError {
    /// A failure, and what is known then.
    #[must_use]
    pub const fn new(kind: ObjectErrorKind, cause: StorageError) -> Self {
        Self { kind, cause }
    }

    /// What is known.
    #[must_use]
    pub const fn kind(&self) -> ObjectErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later, with nobody mending anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, ObjectErrorKind::Unavailable | ObjectErrorKind::OutcomeUnknown)
    }

    /// Whether what was to be changed may have been.
    #[must_use]
    pub const fn is_outcome_unknown(&self) -> bool {
        matches!(self.kind, ObjectErrorKind::OutcomeUnknown)
    }

    /// What was being done, and the cause.
    #[must_use]
    pub const fn cause(&self) -> &StorageError {
        &self.cause
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        match self.kind {
            ObjectErrorKind::OutcomeUnknown => f.write_str(" (it may have been done)"),
            _ => Ok(()),
        }
    }
}

impl Error for ObjectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
