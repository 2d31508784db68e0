//! The conformance suite over a log that its owner writes and a follower reads: whatever a case reads, it
//! reads from the files.

use std::time::Duration;

use conformance::{LogFactory, conformance_suite};
use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, EventId, EventLog, EventOrigin, FailedCondition,
    Ingested, LogIdentity, LogOrigin, LogReader, LogWriter, Page, PendingAppend, Position,
    ReadError, ReadRequest, Receipt, RecordedEvent, Revision, Timestamp,
};
use spacefold_store::{EmbeddedLog, Follower, FollowerOptions};
use tempfile::TempDir;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

struct Followed {
    folder: TempDir,
}

/// What is appended goes to the owner, what is read comes from beside it.
struct FollowedLog {
    owner: EmbeddedLog,
    beside: Follower,
}

impl LogFactory for Followed {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Box<dyn EventLog> {
        let path = self.folder.path().join("store");
        let owner = EmbeddedLog::open(&path).unwrap();
        let beside = Follower::open(&path, &FollowerOptions::default()).unwrap();
        Box::new(FollowedLog { owner, beside })
    }

    fn reopen(&self, log: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        // The last handle closes the store.
        drop(log);
        Some(self.open())
    }

    fn model_cases() -> u32 {
        12
    }
}

conformance_suite!(followed, super::Followed);

impl FollowedLog {
    /// The follower, once it shows what was durable when this was called.
    fn beside(&self) -> &Follower {
        let durable = self.owner.durable_head();
        let shown = self.beside.wait_durable(durable, LONG).unwrap();
        assert!(shown >= durable, "{shown} is shown, though {durable} is durable");
        &self.beside
    }
}

impl LogWriter for FollowedLog {
    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        self.owner.append(append)
    }

    fn submit(&self, append: &AppendRequest<'_>) -> Result<PendingAppend, AppendError> {
        self.owner.submit(append)
    }

    fn ingest(&self, records: &[RecordedEvent]) -> Result<Ingested, AppendError> {
        self.owner.ingest(records)
    }
}

impl LogReader for FollowedLog {
    fn head(&self) -> Position {
        self.beside().head()
    }

    fn durable_head(&self) -> Position {
        self.beside().durable_head()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.beside.wait_durable(position, timeout)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        self.beside().read(read)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        self.beside().read_space(space_id, from, limit)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.beside().revision(space_id)
    }

    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.beside().newest_revision(space_id)
    }

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        self.beside().failed_parts(condition)
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        self.beside().find_event(id)
    }

    fn find_events(&self, ids: &[EventId]) -> Result<Vec<Option<Position>>, ReadError> {
        self.beside().find_events(ids)
    }

    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError> {
        self.beside().find_origins(origins)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.beside().position_as_of(time)
    }

    fn identity(&self) -> LogIdentity {
        self.beside().identity()
    }

    fn origin(&self) -> Option<LogOrigin> {
        self.beside().origin()
    }

    fn comes_from(&self, origin: &LogOrigin) -> bool {
        self.beside().comes_from(origin)
    }

    fn spaces_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        self.beside().spaces_after(after, limit)
    }
}
