//! Where one generation of a projection keeps its blobs.

use std::sync::Arc;

use spacefold_event_core::{StateStore, StorageError};

/// What the key of every blob of a registered projection begins with.
const PROJECTIONS: &[u8] = b"projection/";

const RUN_FOOTER: u8 = b'f';
const RUN_PAGE: u8 = b'p';

/// The part of a [`StateStore`] that belongs to one generation of a projection.
#[derive(Clone)]
pub(crate) struct Place {
    store: Arc<dyn StateStore>,
    prefix: Vec<u8>,
}

/// What a blob of a generation is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blob {
    /// What counts of the generation, and its checkpoint.
    Manifest,
    /// What there is to know of a run without its pages.
    RunFooter(u64),
    /// A page of a run.
    RunPage(u64, u32),
    /// A page of the trail.
    Trail(u64),
}

impl Place {
    pub(crate) fn new(store: Arc<dyn StateStore>, projection: &str, generation: u64) -> Self {
        Self { store, prefix: generation_prefix(projection, generation) }
    }

    pub(crate) fn get(&self, blob: Blob) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.get(&self.key(blob))
    }

    pub(crate) fn put(&self, blob: Blob, bytes: &[u8]) -> Result<(), StorageError> {
        self.store.put(&self.key(blob), bytes)
    }

    pub(crate) fn remove(&self, blob: Blob) -> Result<(), StorageError> {
        self.store.remove(&self.key(blob))
    }

    /// The runs that have a footer.
    pub(super) fn runs(&self) -> Result<Vec<u64>, StorageError> {
        let mut prefix = self.prefix.clone();
        prefix.push(RUN_FOOTER);
        let keys = self.store.keys(&prefix)?;
        let id = |key: &Vec<u8>| key.strip_prefix(prefix.as_slice())?.try_into().ok();
        Ok(keys.iter().filter_map(id).map(u64::from_be_bytes).collect())
    }

    /// Removes what there is of a run.
    pub(super) fn remove_run(&self, run: u64) -> Result<(), StorageError> {
        let mut prefix = self.prefix.clone();
        prefix.push(RUN_PAGE);
        prefix.extend_from_slice(&run.to_be_bytes());
        self.store.keys(&prefix)?.iter().try_for_each(|key| self.store.remove(key))?;
        match self.get(Blob::RunFooter(run))? {
            Some(_) => self.remove(Blob::RunFooter(run)),
            None => Ok(()),
        }
    }

    fn key(&self, blob: Blob) -> Vec<u8> {
        let mut key = self.prefix.clone();
        match blob {
            Blob::Manifest => key.push(b'm'),
            Blob::RunFooter(run) => {
                key.push(RUN_FOOTER);
                key.extend_from_slice(&run.to_be_bytes());
            }
            Blob::RunPage(run, page) => {
                key.push(RUN_PAGE);
                key.extend_from_slice(&run.to_be_bytes());
                key.extend_from_slice(&page.to_be_bytes());
            }
            Blob::Trail(page) => {
                key.push(b't');
                key.extend_from_slice(&page.to_be_bytes());
            }
        }
        key
    }
}

/// The key of what says which generation of a projection counts.
pub(crate) fn root_key(projection: &str) -> Vec<u8> {
    [PROJECTIONS, projection.as_bytes()].concat()
}

/// The keys of all blobs of all generations begin with this.
pub(crate) fn generations_prefix(projection: &str) -> Vec<u8> {
    let mut prefix = root_key(projection);
    prefix.push(b'/');
    prefix
}

/// The generation whose blob has this key, of a projection whose keys begin with `prefix`.
pub(crate) fn generation_of(prefix: &[u8], key: &[u8]) -> Option<u64> {
    let (generation, _) = key.strip_prefix(prefix)?.split_first_chunk()?;
    Some(u64::from_be_bytes(*generation))
}

fn generation_prefix(projection: &str, generation: u64) -> Vec<u8> {
    let mut prefix = generations_prefix(projection);
    prefix.extend_from_slice(&generation.to_be_bytes());
    prefix.push(b'/');
    prefix
}
