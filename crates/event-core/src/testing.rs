//! What tests of logs and of their readers share.

use std::time::Duration;

pub use crate::record::planted::{EARLIER, LATER};

use crate::{
    condition::{AppendCondition, FailedCondition},
    event::RecordedEvent,
    event_id::EventId,
    log::{
        AppendError, AppendRequest, EventLog, Ingested, LogIdentity, LogReader, LogWriter, Page,
        PendingAppend, ReadRequest, Receipt,
    },
    origin::EventOrigin,
    position::{Position, Revision},
    read_error::ReadError,
    timestamp::Timestamp,
};

/// A log that does what another one does, but for what it says itself: one that withholds, counts,
/// fails or waits. Whatever implements it is an [`EventLog`].
#[allow(missing_docs, reason = "each method is that of `LogReader` or `LogWriter` of its name")]
pub trait LogWrapper: Send + Sync {
    /// The log that does the rest.
    fn inner(&self) -> &dyn EventLog;

    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        self.inner().append(append)
    }

    fn submit(&self, append: &AppendRequest<'_>) -> Result<PendingAppend, AppendError> {
        Ok(PendingAppend::answered(self.append(append)))
    }

    fn ingest(&self, records: &[RecordedEvent]) -> Result<Ingested, AppendError> {
        self.inner().ingest(records)
    }

    fn head(&self) -> Position {
        self.inner().head()
    }

    fn durable_head(&self) -> Position {
        self.inner().durable_head()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.inner().wait_durable(position, timeout)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        self.inner().read(read)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        self.inner().read_space(space_id, from, limit)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.inner().revision(space_id)
    }

    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.inner().newest_revision(space_id)
    }

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        self.inner().failed_parts(condition)
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        self.inner().find_event(id)
    }

    fn find_events(&self, ids: &[EventId]) -> Result<Vec<Option<Position>>, ReadError> {
        self.inner().find_events(ids)
    }

    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError> {
        self.inner().find_origins(origins)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.inner().position_as_of(time)
    }

    fn identity(&self) -> LogIdentity {
        self.inner().identity()
    }
}

impl<W: LogWrapper> LogReader for W {
    fn head(&self) -> Position {
        LogWrapper::head(self)
    }

    fn durable_head(&self) -> Position {
        LogWrapper::durable_head(self)
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        LogWrapper::wait_durable(self, position, timeout)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        LogWrapper::read(self, read)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        LogWrapper::read_space(self, space_id, from, limit)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        LogWrapper::revision(self, space_id)
    }

    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        LogWrapper::newest_revision(self, space_id)
    }

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        LogWrapper::failed_parts(self, condition)
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        LogWrapper::find_event(self, id)
    }

    fn find_events(&self, ids: &[EventId]) -> Result<Vec<Option<Position>>, ReadError> {
        LogWrapper::find_events(self, ids)
    }

    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError> {
        LogWrapper::find_origins(self, origins)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        LogWrapper::position_as_of(self, time)
    }

    fn identity(&self) -> LogIdentity {
        LogWrapper::identity(self)
    }
}

impl<W: LogWrapper> LogWriter for W {
    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        LogWrapper::append(self, append)
    }

    fn submit(&self, append: &AppendRequest<'_>) -> Result<PendingAppend, AppendError> {
        LogWrapper::submit(self, append)
    }

    fn ingest(&self, records: &[RecordedEvent]) -> Result<Ingested, AppendError> {
        LogWrapper::ingest(self, records)
    }
}
