//! Errors that say what was being done.

use std::io;

use spacefold_event_core::StorageError;

/// Makes an I/O error say what was being done.
pub trait Doing<T> {
    /// The outcome, with an error that says what was being done; `what` is called for one alone.
    ///
    /// # Errors
    /// As the outcome.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StorageError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StorageError> {
        self.map_err(|error| StorageError::new(what(), error))
    }
}
