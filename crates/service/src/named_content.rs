//! Content on its way from a command to an event.

use spacefold_event_core::{ContentError, ContentStore, HashedContent};

/// The content that a command names: kept once it is decided that an event will name it.
pub(crate) struct NamedContent<'a> {
    store: &'a dyn ContentStore,
    content: HashedContent<'a>,
    is_kept: bool,
}

impl<'a> NamedContent<'a> {
    pub(crate) const fn new(store: &'a dyn ContentStore, content: HashedContent<'a>) -> Self {
        Self { store, content, is_kept: false }
    }

    /// Makes the content durable, for an event that is about to be appended.
    pub(crate) fn keep(&mut self) -> Result<(), ContentError> {
        if !self.is_kept {
            self.store.put_hashed(self.content)?;
            self.store.sync()?;
            self.is_kept = true;
        }
        Ok(())
    }

    /// Makes the content durable that an event names already: it is there, unless the event came
    /// from elsewhere.
    pub(crate) fn keep_missing(&mut self) -> Result<(), ContentError> {
        if self.is_kept || self.store.contains(&self.content.hash())? {
            Ok(())
        } else {
            self.keep()
        }
    }
}
