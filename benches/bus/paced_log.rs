//! A log whose events are all there already, and become durable when the bench says so.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use spacefold_event_core::{
    EventLog, LogReader, MemoryLog, Page, Position, ReadError, ReadRequest, testing,
};

pub(crate) struct PacedLog {
    log: Arc<MemoryLog>,
    durable_head: Mutex<Position>,
    moved: Condvar,
}

impl PacedLog {
    pub(crate) fn over(log: Arc<MemoryLog>) -> Self {
        Self { log, durable_head: Mutex::new(Position::START), moved: Condvar::new() }
    }

    /// Makes everything up to a position durable.
    pub(crate) fn make_durable(&self, position: Position) {
        *self.durable_head.lock().unwrap() = position;
        self.moved.notify_all();
    }
}

impl testing::LogWrapper for PacedLog {
    fn inner(&self) -> &dyn EventLog {
        &*self.log
    }

    fn durable_head(&self) -> Position {
        *self.durable_head.lock().unwrap()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        let end = Instant::now() + timeout;
        let mut durable_head = self.durable_head.lock().unwrap();
        while *durable_head < position {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (durable_head, _) = self.moved.wait_timeout(durable_head, left).unwrap();
        }
        Ok(*durable_head)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        let durable_head = LogReader::durable_head(self);
        self.log.read(&ReadRequest { to: read.to.min(durable_head), ..read.clone() })
    }
}
