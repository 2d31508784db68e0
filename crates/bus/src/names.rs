//! Names that have one owner at a time.

use std::{collections::BTreeSet, sync::Arc};

use crate::{delivery::SubscribeError, source::Source};

/// Bytes of the name of a durable subscription.
pub(crate) const MAX_NAME_BYTES: usize = 512;

/// The names that somebody owns.
pub(crate) type Names = BTreeSet<String>;

/// Owns a name until it is dropped.
pub(crate) struct Owner {
    source: Arc<Source>,
    name: String,
}

impl Owner {
    pub(crate) fn of(source: &Arc<Source>, name: &str) -> Result<Self, SubscribeError> {
        let bytes = name.len();
        if bytes == 0 || bytes > MAX_NAME_BYTES {
            return Err(SubscribeError::NameLength { bytes, max: MAX_NAME_BYTES });
        }
        let name = name.to_owned();
        let mut owned = source.owned.lock();
        if !owned.insert(name.clone()) {
            return Err(SubscribeError::Owned { name });
        }
        Ok(Self { source: Arc::clone(source), name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.source.owned.lock().remove(&self.name);
    }
}
