//! A log whose events are all there already, and become durable when the bench says so.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use spacefold_event_core::{
    Append, AppendError, LogReader, LogWriter, MemoryLog, Page, Position, Read, ReadError, Receipt,
    Revision, Timestamp,
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

impl LogReader for PacedLog {
    fn head(&self) -> Position {
        self.log.head()
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

    fn read(&self, read: &Read) -> Result<Page, ReadError> {
        let durable_head = self.durable_head();
        self.log.read(&Read { to: read.to.min(durable_head), ..read.clone() })
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        self.log.read_space(space_id, from, limit)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.log.revision(space_id)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.log.position_as_of(time)
    }
}

impl LogWriter for PacedLog {
    fn append(&self, append: &Append<'_>) -> Result<Receipt, AppendError> {
        self.log.append(append)
    }
}
