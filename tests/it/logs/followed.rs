//! The conformance suite over a log that its owner writes and a follower reads: whatever a case reads, it
//! reads from the files.

use std::time::Duration;

use conformance::{LogFactory, conformance_suite};
use spacefold_event_core::{
    AppendError, AppendRequest, EventLog, LogReader, PendingAppend, Position, ReadError,
    testing::LogWrapper,
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

impl LogWrapper for FollowedLog {
    fn inner(&self) -> &dyn EventLog {
        &self.owner
    }

    fn submit(&self, append: &AppendRequest<'_>) -> Result<PendingAppend, AppendError> {
        self.owner.submit(append)
    }

    /// The follower, once it shows what was durable when this was called.
    fn reader(&self) -> &dyn LogReader {
        let durable = self.owner.durable_head();
        let shown = self.beside.wait_durable(durable, LONG).unwrap();
        assert!(shown >= durable, "{shown} is shown, though {durable} is durable");
        &self.beside
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.beside.wait_durable(position, timeout)
    }
}
