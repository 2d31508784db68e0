//! Events that a handler could not process, set aside.

use std::{collections::BTreeMap, sync::Arc};

use bincode::{Decode, Encode};
use spacefold_event_core::{
    EventId, EventType, Position, ReadError, RecordedEvent, StorageError, lock::Lock,
};

use crate::{
    places::Places,
    sealed::{seal, unseal},
};

/// How many events are parked at the most.
pub(crate) const MAX_PARKED_EVENTS: usize = 10_000;
/// Bytes of a reason that are kept.
const MAX_REASON_BYTES: usize = 1_024;

const SCHEMA_VERSION: u32 = 2;

/// What the key of every parked event of a subscription begins with. The length keeps names apart
/// of which one begins with the other.
pub(crate) fn prefix(name: &str) -> Vec<u8> {
    [b"parked/", &name.len().to_be_bytes()[..], name.as_bytes()].concat()
}

/// Names a parked event of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParkedId(u64);

/// An event that a handler could not process, however often it was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedEvent {
    /// What to retry or discard it by.
    pub id: ParkedId,
    /// The name of the handler.
    pub handler: String,
    /// Where the event stands; 0 when it is not stored.
    pub position: Position,
    /// The id of the event.
    pub event_id: EventId,
    /// The name of its type.
    pub type_name: String,
    /// The space it happened to.
    pub space_id: String,
    /// How often the handler was tried.
    pub attempts: u32,
    /// What it answered last, the first 1,024 bytes.
    pub reason: String,
}

/// As it is stored; in version 1 the type was its code.
#[derive(Encode, Decode)]
struct StoredParkedEvent<T> {
    schema_version: u32,
    handler: String,
    position: u64,
    event_id: [u8; EventId::LEN],
    event_type: T,
    space_id: String,
    attempts: u32,
    reason: String,
}

/// The parked events of a bus; those of a durable one are in the store too.
pub(crate) struct Parked {
    state: Lock<ParkedState>,
    kept: Option<ParkedStore>,
}

/// The parked events of a subscription, as they are kept between runs.
pub(crate) struct ParkedStore {
    places: Arc<Places>,
    name: String,
}

#[derive(Default)]
struct ParkedState {
    entries: BTreeMap<ParkedId, ParkedEntry>,
    last_id: u64,
}

#[derive(Clone)]
pub(crate) struct ParkedEntry {
    pub(crate) parked: ParkedEvent,
    /// The event, when no log has it.
    pub(crate) event: Option<Arc<RecordedEvent>>,
}

/// Why an event was not parked. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParkError {
    /// There are as many as may be: discard some.
    #[error("{MAX_PARKED_EVENTS} events are parked already")]
    Full,
    /// There is no event at the position.
    #[error("there is no event at position {position} to be parked")]
    NoEvent {
        /// The position.
        position: Position,
    },
    /// The event could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store of places failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Parked {
    pub(crate) fn in_memory() -> Self {
        Self { state: Lock::default(), kept: None }
    }

    /// The parked events of a durable subscription, as they were left.
    pub(crate) fn kept_in(places: &Arc<Places>, name: &str) -> Result<Self, StorageError> {
        let kept = ParkedStore::of(places, name);
        let mut state = ParkedState { entries: BTreeMap::new(), last_id: kept.last_id()? };
        for parked in kept.list()? {
            state.entries.insert(parked.id, ParkedEntry::stored(parked));
        }
        Ok(Self { state: Lock::new(state), kept: Some(kept) })
    }

    /// Whether what is parked outlives the bus.
    pub(crate) const fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    pub(crate) fn list(&self) -> Vec<ParkedEvent> {
        self.state.lock().entries.values().map(|entry| entry.parked.clone()).collect()
    }

    /// Sets an event aside. In memory the oldest one goes when there are too many; what is kept in
    /// a store is never dropped so.
    pub(crate) fn park(
        &self,
        handler: &str,
        event: &Arc<RecordedEvent>,
        attempts: u32,
        reason: &str,
    ) -> Result<(), ParkError> {
        let mut state = self.state.lock();
        if state.entries.len() >= MAX_PARKED_EVENTS {
            if self.kept.is_some() {
                return Err(ParkError::Full);
            }
            if let Some((_, oldest)) = state.entries.pop_first() {
                let ParkedEvent { handler, event_id, .. } = oldest.parked;
                tracing::error!(handler, %event_id, "too many events are parked: the oldest goes");
            }
        }
        let id = ParkedId(state.last_id + 1);
        let parked = ParkedEvent::of(id, handler, event, (attempts, reason));
        self.put(&parked)?;
        state.last_id += 1;
        let event = (event.position == Position::START).then(|| Arc::clone(event));
        state.entries.insert(parked.id, ParkedEntry { parked, event });
        Ok(())
    }

    /// Takes one out to be tried again, so that nobody else does; it stays in the store.
    pub(crate) fn take(&self, id: ParkedId) -> Option<ParkedEntry> {
        self.state.lock().entries.remove(&id)
    }

    /// Puts one back that was tried in vain.
    pub(crate) fn put_back(&self, mut entry: ParkedEntry, reason: Option<&str>) {
        if let Some(reason) = reason {
            entry.parked.attempts = entry.parked.attempts.saturating_add(1);
            entry.parked.reason = cut(reason);
            if let Err(error) = self.put(&entry.parked) {
                tracing::warn!(%error, "a parked event keeps the reason it had");
            }
        }
        self.state.lock().entries.insert(entry.parked.id, entry);
    }

    /// Forgets one that was taken out.
    pub(crate) fn forget(&self, id: ParkedId) -> Result<(), StorageError> {
        match &self.kept {
            Some(kept) => kept.remove(id),
            None => Ok(()),
        }
    }

    /// Keeps one between runs, if its event can be read again.
    fn put(&self, parked: &ParkedEvent) -> Result<(), StorageError> {
        match &self.kept {
            Some(kept) if parked.position > Position::START => kept.put(parked),
            _ => Ok(()),
        }
    }
}

impl ParkedEvent {
    fn of(
        id: ParkedId,
        handler: &str,
        event: &RecordedEvent,
        (attempts, reason): (u32, &str),
    ) -> Self {
        Self {
            id,
            handler: handler.to_owned(),
            position: event.position,
            event_id: event.event.event_id,
            type_name: event.event.type_name().to_owned(),
            space_id: event.event.space_id.clone(),
            attempts,
            reason: cut(reason),
        }
    }
}

impl ParkedStore {
    pub(crate) fn of(places: &Arc<Places>, name: &str) -> Self {
        Self { places: Arc::clone(places), name: name.to_owned() }
    }

    /// Those that decode, in the order in which they were parked.
    pub(crate) fn list(&self) -> Result<Vec<ParkedEvent>, StorageError> {
        let mut listed = Vec::new();
        for (id, key) in self.ids()? {
            let bytes = self.places.get(&key)?;
            match bytes.as_deref().and_then(|bytes| decode(id, bytes)) {
                Some(parked) => listed.push(parked),
                None => {
                    let ParkedStore { name, .. } = self;
                    tracing::error!(name, id = id.0, "a parked event does not decode");
                }
            }
        }
        Ok(listed)
    }

    /// Parks an event once more where this handler has, and else anew.
    pub(crate) fn park_again(
        &self,
        handler: &str,
        event: &RecordedEvent,
        reason: &str,
    ) -> Result<ParkedId, ParkError> {
        let listed = self.list()?;
        let is_it =
            |it: &&ParkedEvent| it.event_id == event.event.event_id && it.handler == handler;
        let (id, attempts) = match listed.iter().find(is_it) {
            Some(before) => (before.id, before.attempts.saturating_add(1)),
            None if listed.len() >= MAX_PARKED_EVENTS => return Err(ParkError::Full),
            None => (ParkedId(self.last_id()? + 1), 1),
        };
        self.put(&ParkedEvent::of(id, handler, event, (attempts, reason)))?;
        Ok(id)
    }

    pub(crate) fn remove(&self, id: ParkedId) -> Result<(), StorageError> {
        self.places.remove(&self.key(id))
    }

    fn put(&self, parked: &ParkedEvent) -> Result<(), StorageError> {
        self.places.put(&self.key(parked.id), &encode(parked))
    }

    /// The greatest id that is in use, of those that do not decode too.
    fn last_id(&self) -> Result<u64, StorageError> {
        Ok(self.ids()?.last().map_or(0, |(id, _)| id.0))
    }

    fn ids(&self) -> Result<Vec<(ParkedId, Vec<u8>)>, StorageError> {
        let prefix = prefix(&self.name);
        let keys = self.places.keys(&prefix)?.into_iter();
        let of_key = |key: Vec<u8>| {
            let id: [u8; 8] = key.strip_prefix(&prefix[..])?.try_into().ok()?;
            Some((ParkedId(u64::from_be_bytes(id)), key))
        };
        Ok(keys.filter_map(of_key).collect())
    }

    fn key(&self, id: ParkedId) -> Vec<u8> {
        [&prefix(&self.name)[..], &id.0.to_be_bytes()].concat()
    }
}

impl ParkedEntry {
    const fn stored(parked: ParkedEvent) -> Self {
        Self { parked, event: None }
    }
}

fn encode(parked: &ParkedEvent) -> Vec<u8> {
    seal(&StoredParkedEvent {
        schema_version: SCHEMA_VERSION,
        handler: parked.handler.clone(),
        position: parked.position.get(),
        event_id: *parked.event_id.as_bytes(),
        event_type: parked.type_name.clone(),
        space_id: parked.space_id.clone(),
        attempts: parked.attempts,
        reason: parked.reason.clone(),
    })
}

fn decode(id: ParkedId, bytes: &[u8]) -> Option<ParkedEvent> {
    let stored = unseal::<StoredParkedEvent<String>>(bytes);
    if let Some(stored) = stored.filter(|stored| stored.schema_version == SCHEMA_VERSION) {
        return Some(stored.into_parked(id, |type_name| type_name));
    }
    let stored: StoredParkedEvent<u8> = unseal(bytes)?;
    let event_type = EventType::from_code(stored.event_type)?;
    let is_of_version_1 = stored.schema_version == 1;
    is_of_version_1.then(|| stored.into_parked(id, |_| event_type.name().to_owned()))
}

impl<T> StoredParkedEvent<T> {
    fn into_parked(self, id: ParkedId, type_name: impl FnOnce(T) -> String) -> ParkedEvent {
        ParkedEvent {
            id,
            handler: self.handler,
            position: Position::new(self.position),
            event_id: EventId::from_bytes(self.event_id),
            type_name: type_name(self.event_type),
            space_id: self.space_id,
            attempts: self.attempts,
            reason: self.reason,
        }
    }
}

fn cut(reason: &str) -> String {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default().to_owned()
}
