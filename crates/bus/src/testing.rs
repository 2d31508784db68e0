//! What the tests of this crate share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use spacefold_event_core::{
    Append, AppendError, EventLog, MemoryLog, Page, Position, Read, ReadError, Receipt, Revision,
    SpaceEvent, StorageError, Timestamp,
};

use crate::{Delivery, Subscriber};

/// Appends one event a space, each a space's activation; answers the last position.
pub(crate) fn activate(log: &dyn EventLog, spaces: &[&str]) -> Position {
    let events: Vec<SpaceEvent> =
        spaces.iter().map(|space| SpaceEvent::space_activated(*space)).collect();
    log.append(&Append::new(&events)).unwrap().position()
}

/// The positions on a page.
#[track_caller]
pub(crate) fn positions(delivery: Delivery) -> Vec<u64> {
    match delivery {
        Delivery::Events(page) => page.envelopes().map(|event| event.position.get()).collect(),
        other => panic!("{other:?} instead of events"),
    }
}

/// Receives all that is there, down to the end: the positions of the events.
pub(crate) fn drain(subscriber: &mut Subscriber) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(delivery) = subscriber.try_recv().unwrap() {
        if let Delivery::Events(_) = delivery {
            seen.extend(positions(delivery));
        }
    }
    seen
}

/// A waker that says whether it was woken.
#[derive(Default)]
pub(crate) struct Woken(AtomicBool);

impl Woken {
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    pub(crate) fn was_woken(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A log in memory whose storage fails while it is told to.
#[derive(Default)]
pub(crate) struct FailingLog {
    pub(crate) log: MemoryLog,
    pub(crate) fails: AtomicBool,
    pub(crate) is_closed: AtomicBool,
}

impl FailingLog {
    fn check(&self) -> Result<(), ReadError> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(ReadError::Closed);
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(StorageError::new("reading", "the disk is gone").into());
        }
        Ok(())
    }
}

impl EventLog for FailingLog {
    fn append(&self, append: &Append<'_>) -> Result<Receipt, AppendError> {
        self.log.append(append)
    }

    fn head(&self) -> Position {
        self.log.head()
    }

    fn durable_head(&self) -> Position {
        self.log.durable_head()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.check()?;
        // In short stretches, so that it notices being closed.
        let head = self.log.wait_durable(position, timeout.min(Duration::from_millis(1)))?;
        self.check()?;
        Ok(head)
    }

    fn read(&self, read: &Read) -> Result<Page, ReadError> {
        self.check()?;
        self.log.read(read)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        self.check()?;
        self.log.read_space(space_id, from, limit)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.check()?;
        self.log.revision(space_id)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.check()?;
        self.log.position_as_of(time)
    }
}
