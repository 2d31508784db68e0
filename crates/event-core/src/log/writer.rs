//! The writing half of a log.

use crate::log::{Append, AppendError, Receipt};

/// What can be written to an ordered log of space events.
///
/// The events of one append stand together, whole or not at all. Calls block and may be made from any
/// thread.
pub trait LogWriter: Send + Sync {
    /// Appends events, all or none, at consecutive positions, and waits until they are durable.
    ///
    /// Checked in this order: limits, a retry of what is stored already, the condition. An append
    /// whose events are all stored already, in one run and with the same content, succeeds with
    /// the old positions and writes nothing.
    ///
    /// # Errors
    /// [`AppendError`]; after every variant but [`AppendError::OutcomeUnknown`], nothing of this
    /// append is stored.
    fn append(&self, append: &Append<'_>) -> Result<Receipt, AppendError>;
}
