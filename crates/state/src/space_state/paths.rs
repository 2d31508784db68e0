//! How many documents are at each path.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::parts::Document;
use crate::shared_map::{Key, SharedMap};

/// The number of documents at each path: derived from the documents, so that it is no part of a state.
#[derive(Clone)]
pub(super) enum PathCounts {
    Known(SharedMap<u64>),
    /// Of documents that were read and not changed since: counted when it is first asked for, once for
    /// all clones. Few states that are read get another document.
    Uncounted(Arc<OnceLock<SharedMap<u64>>>),
}

impl PathCounts {
    /// Those of no documents.
    pub(super) const fn none() -> Self {
        Self::Known(SharedMap::new())
    }

    /// Those of documents that are not looked at yet.
    pub(super) fn uncounted() -> Self {
        Self::Uncounted(Arc::default())
    }

    /// The counts, of these documents.
    pub(super) fn of(&self, documents: &SharedMap<Document>) -> &SharedMap<u64> {
        match self {
            Self::Known(counts) => counts,
            Self::Uncounted(counts) => counts.get_or_init(|| counted(documents)),
        }
    }

    /// Makes sure that the counts are known: before these documents change.
    pub(super) fn count(&mut self, documents: &SharedMap<Document>) {
        if let Self::Uncounted(_) = self {
            *self = Self::Known(self.of(documents).clone());
        }
    }

    /// Counts one more document at a path, and says whether there was one.
    pub(super) fn take(&mut self, path: Key<'_>) -> bool {
        let Self::Known(counts) = self else { return false };
        match counts.get_mut(path) {
            Some(count) => {
                *count += 1;
                true
            }
            None => {
                counts.insert_new(path, 1);
                false
            }
        }
    }

    /// Counts one document less at a path.
    pub(super) fn give_back(&mut self, path: Key<'_>) {
        let Self::Known(counts) = self else { return };
        match counts.get_mut(path) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(path);
            }
        }
    }
}

fn counted(documents: &SharedMap<Document>) -> SharedMap<u64> {
    let mut counts = SharedMap::new();
    documents.each(|_, document| *counts.get_or_insert_with(document.path(), || 0) += 1);
    counts
}

impl PartialEq for PathCounts {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for PathCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathCounts").finish_non_exhaustive()
    }
}
