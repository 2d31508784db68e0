//! What the tests of this crate share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use spacefold_event_core::{
    Assignments, EventLog, LogReader, MemoryLog, MemoryStateStore, Page, Position, Read, ReadError,
    Records, Revision, StateStore, StorageError, testing,
};

use crate::{Projection, ProjectionHandle, Projections};

/// A projection, folded up to the head of a log.
pub(crate) fn folded<P: Projection>(log: &Arc<MemoryLog>, projection: P) -> ProjectionHandle<P> {
    let projections = Projections::new(log.clone(), Arc::new(MemoryStateStore::new()));
    let handle = projections.register(projection).unwrap();
    handle.catch_up().unwrap();
    handle
}

/// A log one of whose events does not decode.
pub(crate) struct CorruptLog {
    pub(crate) inner: Arc<MemoryLog>,
    pub(crate) corrupt: Position,
}

impl CorruptLog {
    fn check(&self, page: Page) -> Result<Page, ReadError> {
        if page.envelopes().any(|event| event.position == self.corrupt) {
            let cause = Records::decode(b"noise", 1, NO_ASSIGNMENTS).unwrap_err();
            let position = self.corrupt;
            return Err(ReadError::Corrupt { position, cause });
        }
        Ok(page)
    }
}

const NO_ASSIGNMENTS: Assignments = Assignments {
    first_position: Position::START,
    recorded_at: Vec::new(),
    base_revisions: Vec::new(),
};

impl testing::LogWrapper for CorruptLog {
    fn inner(&self) -> &dyn EventLog {
        &*self.inner
    }

    fn read(&self, read: &Read) -> Result<Page, ReadError> {
        // Small pages, so that there are many.
        self.check(self.inner.read(&read.clone().limit(read.limit.min(2)))?)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        self.check(self.inner.read_space(space_id, from, limit.min(2))?)
    }
}

/// A store that fails from a certain put or remove on.
pub(crate) struct FailingStore {
    pub(crate) inner: Arc<MemoryStateStore>,
    left: AtomicUsize,
}

impl FailingStore {
    pub(crate) fn new(inner: Arc<MemoryStateStore>, writes: usize) -> Self {
        let left = AtomicUsize::new(writes);
        Self { inner, left }
    }

    fn write(&self) -> Result<(), StorageError> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        left.map(drop).map_err(|_| StorageError::new("writing", "the power is out"))
    }
}

impl StateStore for FailingStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.inner.get(key)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.write()?;
        self.inner.put(key, value)
    }

    fn remove(&self, key: &[u8]) -> Result<(), StorageError> {
        self.write()?;
        self.inner.remove(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
        self.inner.keys(prefix)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.write()
    }
}

/// Everything that a store holds.
pub(crate) fn contents(store: &dyn StateStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let keys = store.keys(b"").unwrap().into_iter();
    keys.map(|key| {
        let value = store.get(&key).unwrap().unwrap();
        (key, value)
    })
    .collect()
}
