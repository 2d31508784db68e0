//! Names that have one owner at a time.

use std::{collections::BTreeSet, sync::Arc};

use spacefold_event_core::lock::Lock;

use crate::delivery::SubscribeError;

/// Bytes of the name of a durable subscription.
pub(crate) const MAX_NAME_BYTES: usize = 512;

/// The names that somebody owns.
#[derive(Default)]
pub(crate) struct Names(Lock<BTreeSet<String>>);

/// Owns a name until it is dropped.
pub(crate) struct NameOwner {
    names: Arc<Names>,
    name: String,
}

impl Names {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.lock().contains(name)
    }
}

impl NameOwner {
    pub(crate) fn of(names: &Arc<Names>, name: &str) -> Result<Self, SubscribeError> {
        let bytes = name.len();
        if bytes == 0 || bytes > MAX_NAME_BYTES {
            return Err(SubscribeError::NameLength { bytes, max: MAX_NAME_BYTES });
        }
        let name = name.to_owned();
        if !names.0.lock().insert(name.clone()) {
            return Err(SubscribeError::Owned { name });
        }
        Ok(Self { names: Arc::clone(names), name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for NameOwner {
    fn drop(&mut self) {
        self.names.0.lock().remove(&self.name);
    }
}
