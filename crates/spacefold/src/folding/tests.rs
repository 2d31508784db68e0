//! Folding behind a log that goes wrong.

use std::{sync::mpsc, time::Instant};

use spacefold_bus::Feed;
use spacefold_event_core::{
    AppendRequest, EventLog, LogReader, LogWriter, MemoryContentStore, Revision, SpaceEvent,
    testing::LogWrapper,
};
use spacefold_projection::DerivedState;
use spacefold_store::{EmbeddedLog, StoreOptions};

use super::*;
use crate::{engine::StoredLog, options::Options};

/// A log that takes nothing any more, and tells when somebody has waited for more.
struct Failed {
    log: EmbeddedLog,
    waited: mpsc::SyncSender<Instant>,
}

impl LogWrapper for Failed {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn wait_durable(&self, position: Position, _: Duration) -> Result<Position, ReadError> {
        let durable = self.log.durable_head();
        if durable >= position {
            return Ok(durable);
        }
        // Nobody listens at the end.
        let _ = self.waited.send(Instant::now());
        Err(StorageError::new("appending", "the disk is full").into())
    }
}

impl StoredLog for Failed {
    fn spaces(&self) -> Result<Vec<(String, Revision)>, ReadError> {
        self.log.spaces()
    }

    fn stop_waiting(&self) {}
}

#[test]
fn a_log_that_takes_nothing_any_more_is_not_looked_at_without_end() {
    let log = EmbeddedLog::in_memory(&StoreOptions::default()).unwrap();
    let created = SpaceEvent::space_created("handbook", "Handbook");
    log.append(&AppendRequest::new(&[created])).unwrap();
    let (waited, heard) = mpsc::sync_channel(0);
    let log = Arc::new(Failed { log, waited });
    let feed = Feed::new(log.clone());
    let content = Arc::new(MemoryContentStore::new());
    let options = Options::in_memory();
    let engine = Engine::new(log, content, DerivedState::in_memory(), feed, &options);
    let engine = Arc::new(engine);
    start(&engine, None).unwrap();
    let (first, second) = (heard.recv().unwrap(), heard.recv().unwrap());
    // Between two looks the thread rests.
    assert!(second.duration_since(first) >= REST_AFTER_FAILURE / 2);
    engine.stop();
    drop(heard);
}
