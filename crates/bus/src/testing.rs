//! What the tests of this crate share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use spacefold_event_core::{
    AppendRequest, EventLog, LogReader, LogWriter, MemoryLog, Page, Position, ReadError,
    ReadRequest, Revision, SpaceEvent, StorageError, Timestamp, testing,
};

use crate::{
    Delivery, Subscriber,
    place_store::{PlaceFile, PlaceStore},
};

/// Appends one event a space, each a space's activation; answers the last position.
pub(crate) fn activate(log: &dyn LogWriter, spaces: &[&str]) -> Position {
    let events: Vec<SpaceEvent> =
        spaces.iter().map(|space| SpaceEvent::space_activated(*space)).collect();
    log.append(&AppendRequest::new(&events)).unwrap().last_position()
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

/// How long anything may take.
pub(crate) const LONG: Duration = Duration::from_secs(60);

type StoredPlaces = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store in memory that notes what its syncs have made to outlive a kill.
pub(crate) struct SyncedStore {
    places: PlaceFile,
    synced: Mutex<Synced>,
    changed: Condvar,
}

impl Default for SyncedStore {
    fn default() -> Self {
        let places = PlaceFile::in_memory();
        Self { places, synced: Mutex::default(), changed: Condvar::new() }
    }
}

#[derive(Default)]
struct Synced {
    places: StoredPlaces,
    /// How often a sync was asked for.
    syncs: usize,
    fails: bool,
}

impl SyncedStore {
    fn synced(&self) -> MutexGuard<'_, Synced> {
        self.synced.lock().unwrap()
    }

    pub(crate) fn fail_syncs(&self, fails: bool) {
        self.synced().fails = fails;
    }

    pub(crate) fn syncs(&self) -> usize {
        self.synced().syncs
    }

    pub(crate) fn is_synced(&self, key: &[u8], value: &[u8]) -> bool {
        self.synced().places.get(key).is_some_and(|synced| synced == value)
    }

    fn wait(&self, is_there: impl Fn(&Synced) -> bool) -> bool {
        let is_missing = |synced: &mut Synced| !is_there(synced);
        let waited = self.changed.wait_timeout_while(self.synced(), LONG, is_missing);
        !waited.unwrap().1.timed_out()
    }

    /// Waits until so many syncs were asked for.
    pub(crate) fn wait_for_syncs(&self, syncs: usize) -> bool {
        self.wait(|synced| synced.syncs >= syncs)
    }

    /// Waits until what a kill would leave is so.
    pub(crate) fn wait_until(&self, is_so: impl Fn(&StoredPlaces) -> bool) -> bool {
        self.wait(|synced| is_so(&synced.places))
    }

    pub(crate) fn wait_until_synced(&self, key: &[u8], value: &[u8]) -> bool {
        self.wait_until(|places| places.get(key).is_some_and(|synced| synced == value))
    }

    /// What a kill would leave.
    pub(crate) fn after_a_kill(&self) -> Arc<Self> {
        let left = Self::default();
        for (key, value) in &self.synced().places {
            left.places.put(key, value).unwrap();
        }
        Arc::new(left)
    }
}

impl PlaceStore for SyncedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.places.get(key)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.places.put(key, value)
    }

    fn remove(&self, key: &[u8]) -> Result<(), StorageError> {
        self.places.remove(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
        self.places.keys(prefix)
    }

    fn sync(&self) -> Result<(), StorageError> {
        let mut synced = self.synced();
        synced.syncs += 1;
        self.changed.notify_all();
        if synced.fails {
            return Err(StorageError::new("syncing", "the disk is gone"));
        }
        let mut places = StoredPlaces::new();
        for key in self.places.keys(b"")? {
            places.extend(self.places.get(&key)?.map(|value| (key, value)));
        }
        synced.places = places;
        Ok(())
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

impl testing::LogWrapper for FailingLog {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.check()?;
        // In short stretches, so that it notices being closed.
        let head = self.log.wait_durable(position, timeout.min(Duration::from_millis(1)))?;
        self.check()?;
        Ok(head)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
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
