//! What tests of logs and of their readers share.

use std::time::Duration;

pub use crate::{
    log::spaces_of,
    record::planted::{EARLIER, LATER},
};

use crate::{
    condition::{AppendCondition, FailedCondition},
    event::RecordedEvent,
    event_id::EventId,
    log::{
        AppendError, AppendRequest, EventLog, Ingested, LogIdentity, LogOrigin, LogReader,
        LogWriter, Page, PendingAppend, ReadRequest, Receipt,
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

    /// What is read, where that is another one's.
    fn reader(&self) -> &dyn LogReader {
        self.inner()
    }

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
        self.reader().head()
    }

    fn durable_head(&self) -> Position {
        self.reader().durable_head()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.reader().wait_durable(position, timeout)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        self.reader().read(read)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        self.reader().read_space(space_id, from, limit)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.reader().revision(space_id)
    }

    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.reader().newest_revision(space_id)
    }

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        self.reader().failed_parts(condition)
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        self.reader().find_event(id)
    }

    fn find_events(&self, ids: &[EventId]) -> Result<Vec<Option<Position>>, ReadError> {
        self.reader().find_events(ids)
    }

    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError> {
        self.reader().find_origins(origins)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.reader().position_as_of(time)
    }

    fn identity(&self) -> LogIdentity {
        self.reader().identity()
    }

    fn origin(&self) -> Option<LogOrigin> {
        self.reader().origin()
    }

    fn comes_from(&self, origin: &LogOrigin) -> bool {
        self.reader().comes_from(origin)
    }

    fn spaces_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        self.reader().spaces_after(after, limit)
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

    fn origin(&self) -> Option<LogOrigin> {
        LogWrapper::origin(self)
    }

    fn comes_from(&self, origin: &LogOrigin) -> bool {
        LogWrapper::comes_from(self, origin)
    }

    fn spaces_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        LogWrapper::spaces_after(self, after, limit)
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
