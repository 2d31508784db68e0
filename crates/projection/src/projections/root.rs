//! Which generation of a projection counts.
//!
//! Bytes: number of the generation that counts, of the one that is being built beside it (0 for
//! none), of the next one (u64 each), BLAKE3 of all before.

use spacefold_event_core::{
    StateStore, StorageError,
    bytes::{ByteReader, put_u64},
};

use crate::{
    table::{generation_of, generations_prefix, root_key},
    wire::{seal, unseal},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) current: Option<u64>,
    pub(crate) building: Option<u64>,
    pub(crate) next: u64,
}

impl Root {
    /// What is persisted; where that is nothing or damaged, a root without generations.
    pub(crate) fn load(store: &dyn StateStore, projection: &str) -> Result<Self, StorageError> {
        if let Some(bytes) = store.get(&root_key(projection))? {
            if let Some(root) = Self::decode(&bytes) {
                return Ok(root);
            }
            tracing::warn!(projection, "what is persisted of a projection is damaged: refolding");
        }
        let prefix = generations_prefix(projection);
        let keys = store.keys(&prefix)?;
        let newest = keys.iter().filter_map(|key| generation_of(&prefix, key)).max();
        let next = newest.unwrap_or(0).saturating_add(1);
        Ok(Self { current: None, building: None, next })
    }

    pub(crate) fn store(
        &self,
        store: &dyn StateStore,
        projection: &str,
    ) -> Result<(), StorageError> {
        store.put(&root_key(projection), &self.encode())
    }

    /// The number of a new generation.
    pub(crate) const fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [self.current.unwrap_or(0), self.building.unwrap_or(0), self.next] {
            put_u64(&mut bytes, number);
        }
        seal(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader::new(unseal(bytes)?);
        let some = |number| (number > 0).then_some(number);
        let (current, building, next) = (some(reader.u64()?), some(reader.u64()?), reader.u64()?);
        reader.end(Self { current, building, next })
    }
}

/// Removes the blobs of every generation but these. What stays for a failure is in nobody's way,
/// and goes the next time.
pub(crate) fn sweep_generations(store: &dyn StateStore, projection: &str, kept: &[Option<u64>]) {
    let prefix = generations_prefix(projection);
    let swept = store.keys(&prefix).and_then(|keys| {
        let of_others = keys.iter().filter(|key| {
            let generation = generation_of(&prefix, key);
            generation.is_none() || !kept.contains(&generation)
        });
        of_others.into_iter().try_for_each(|key| store.remove(key))
    });
    if let Err(error) = swept {
        tracing::warn!(%error, projection, "old rows of a projection could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::MemoryStateStore;

    use super::*;

    #[test]
    fn a_root_reads_back_and_a_damaged_one_begins_behind_every_generation() {
        let store = MemoryStateStore::new();
        assert_eq!(Root::load(&store, "p").unwrap().next, 1);
        let root = Root { current: Some(3), building: None, next: 5 };
        root.store(&store, "p").unwrap();
        assert_eq!(Root::load(&store, "p").unwrap(), root);
        store.put(b"projection/p/\0\0\0\0\0\0\0\x07/m", b"").unwrap();
        let sealed = store.get(b"projection/p").unwrap().unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            store.put(b"projection/p", &damaged).unwrap();
            let found = Root::load(&store, "p").unwrap();
            assert_eq!(found, Root { current: None, building: None, next: 8 });
        }
        sweep_generations(&store, "p", &[None]);
        assert_eq!(store.keys(b"projection/p/").unwrap().len(), 0);
    }
}
