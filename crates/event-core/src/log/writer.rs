//! The writing half of a log.

use super::{AppendError, AppendRequest, Receipt, ingest::Ingested};
use crate::{
    event::RecordedEvent,
    pending::{Awaited, Pending},
};

/// An append that was handed over and has not been answered yet: see [`LogWriter::submit`].
pub type PendingAppend = Pending<Result<Receipt, AppendError>>;

/// The future of an append that is awaited.
pub type AppendFuture = Awaited<Result<Receipt, AppendError>>;

/// What can be written to an ordered log of space events.
///
/// The events of one append are together, whole or not at all. Calls may be made from any thread.
/// [`append`](LogWriter::append) and [`ingest`](LogWriter::ingest) block until the events are durable,
/// [`submit`](LogWriter::submit) does not.
pub trait LogWriter: Send + Sync {
    /// Appends events, all or none, at consecutive positions, and waits until they are durable.
    ///
    /// Checked in this order: limits, ids, origins, the condition. An id is there once in a log, for
    /// ever, and so is an origin. An append whose events are all stored already, one after the other and with the same content,
    /// succeeds with the old positions and writes nothing, whatever its condition; one of which some
    /// id is stored otherwise is refused.
    ///
    /// # Errors
    /// [`AppendError`]; after every variant but [`AppendError::OutcomeUnknown`], nothing of this
    /// append is stored.
    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError>;

    /// Hands an append over, and answers at once: does not wait for it to become durable. Appends
    /// happen in the order in which they were handed over. As provided, for a log that waits for
    /// nothing, it appends.
    ///
    /// # Errors
    /// As [`LogWriter::append`], of what is known without the log; nothing of the append is stored
    /// then. The rest is the answer of the handle.
    fn submit(&self, append: &AppendRequest<'_>) -> Result<PendingAppend, AppendError> {
        Ok(Pending::answered(self.append(append)))
    }

    /// Takes events as another log recorded them, with their ids, positions, revisions and times, all
    /// or none, and waits until they are durable: for what restores, copies or follows that log. An
    /// append is numbered and timed by the log that takes it; only this is not.
    ///
    /// Events that the log has already, equal in all of this, are skipped and counted, so that a
    /// call can be made again; it is answered once they are durable. No event is nothing to do.
    ///
    /// # Errors
    /// - [`AppendError::DoesNotFollow`] names the first event whose position is not the next one,
    ///   whose revision is not the next of its space, that was recorded before its predecessor, or in
    ///   whose place the log has another.
    /// - [`AppendError::DuplicateEventId`] of an id twice among the events, and
    ///   [`AppendError::EventIdReused`] of one that is stored at another position.
    /// - [`AppendError::DuplicateOrigin`] and [`AppendError::OriginReused`] of origins likewise.
    /// - Every other [`AppendError`] as of an append, its limits among them.
    ///
    /// After every variant but [`AppendError::OutcomeUnknown`], nothing of the events is stored.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{
    ///     AppendError, Position, SpaceEvent, log::{AppendRequest, MemoryLog, ReadRequest}, prelude::*,
    /// };
    /// let log = MemoryLog::new();
    /// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
    /// log.append(&AppendRequest::new(&[SpaceEvent::space_activated("handbook")]))?;
    ///
    /// let copy = MemoryLog::new();
    /// for page in log.pages(ReadRequest::from(Position::new(1))) {
    ///     let page = page?;
    ///     let events = page.events().map(|event| Ok(event?.to_owned_event()));
    ///     let events = events.collect::<Result<Vec<_>, spacefold::ReadError>>()?;
    ///     copy.ingest(&events)?;
    ///     // Made again, it changes nothing.
    ///     assert_eq!(copy.ingest(&events)?.skipped(), 2);
    ///     // The second alone does not follow an empty log.
    ///     let refused = MemoryLog::new().ingest(&events[1..]);
    ///     assert!(matches!(refused, Err(AppendError::DoesNotFollow { .. })));
    /// }
    /// assert_eq!(copy.head(), log.head());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn ingest(&self, records: &[RecordedEvent]) -> Result<Ingested, AppendError>;
}
