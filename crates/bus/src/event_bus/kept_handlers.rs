//! The filters of the named handlers of a durable bus, kept between runs: a handler that comes back
//! under its name with another filter has missed what only that passes, and is told so.

use std::{collections::BTreeMap, sync::Arc};

use bincode::{Decode, Encode};
use spacefold_event_core::{EventFilter, Position, StorageError, lock::Lock};

use super::{bus_error::BusError, registry::MAX_HANDLERS};
use crate::{
    places::Places,
    sealed::{seal, unseal},
    subscribed_filter::{StoredFilter, key_of_handlers},
};

const SCHEMA_VERSION: u32 = 1;

#[derive(Encode, Decode)]
struct StoredHandlers {
    schema_version: u32,
    handlers: Vec<(String, StoredFilter)>,
}

/// The filters by the names of their handlers.
pub(crate) struct KeptHandlers {
    places: Arc<Places>,
    bus: String,
    filters: Lock<BTreeMap<String, EventFilter>>,
}

impl KeptHandlers {
    pub(crate) fn load(places: &Arc<Places>, bus: &str) -> Result<Self, StorageError> {
        let filters = match places.get(&key_of_handlers(bus))? {
            None => BTreeMap::new(),
            Some(bytes) => decode(&bytes).unwrap_or_else(|| {
                tracing::error!(bus, "the filters of the handlers of a bus do not decode");
                BTreeMap::new()
            }),
        };
        let (places, bus) = (Arc::clone(places), bus.to_owned());
        Ok(Self { places, bus, filters: Lock::new(filters) })
    }

    /// Keeps the filters of these handlers; none of them when one is kept with another filter. The
    /// bus is at `position`.
    pub(crate) fn admit<'a>(
        &self,
        handlers: impl Iterator<Item = (&'a str, &'a EventFilter)> + Clone,
        position: Position,
    ) -> Result<(), BusError> {
        let mut filters = self.filters.lock();
        for (handler, asked) in handlers.clone() {
            if let Some(kept) = filters.get(handler).filter(|kept| *kept != asked) {
                return Err(BusError::OtherFilter {
                    handler: handler.to_owned(),
                    position,
                    kept: Box::new(kept.clone()),
                    asked: Box::new(asked.clone()),
                });
            }
        }
        let new = handlers.clone().filter(|(handler, _)| !filters.contains_key(*handler));
        let new: Vec<(String, EventFilter)> =
            new.map(|(handler, filter)| (handler.to_owned(), filter.clone())).collect();
        if new.is_empty() {
            return Ok(());
        }
        if filters.len() + new.len() > MAX_HANDLERS {
            let present: Vec<&str> = handlers.map(|(handler, _)| handler).collect();
            filters.retain(|handler, _| present.contains(&handler.as_str()));
        }
        filters.extend(new);
        Ok(self.keep(&filters)?)
    }

    /// Forgets the filter of a handler.
    pub(crate) fn forget(&self, handler: &str) -> Result<(), StorageError> {
        let mut filters = self.filters.lock();
        if filters.remove(handler).is_none() {
            return Ok(());
        }
        self.keep(&filters)
    }

    fn keep(&self, filters: &BTreeMap<String, EventFilter>) -> Result<(), StorageError> {
        let stored = filters.iter().map(|(name, filter)| (name.clone(), StoredFilter::of(filter)));
        let stored = StoredHandlers { schema_version: SCHEMA_VERSION, handlers: stored.collect() };
        self.places.put(&key_of_handlers(&self.bus), &seal(&stored))
    }
}

fn decode(bytes: &[u8]) -> Option<BTreeMap<String, EventFilter>> {
    let stored: StoredHandlers = unseal(bytes)?;
    if stored.schema_version != SCHEMA_VERSION {
        return None;
    }
    stored.handlers.into_iter().map(|(name, filter)| Some((name, filter.filter()?))).collect()
}

#[cfg(test)]
mod tests;
