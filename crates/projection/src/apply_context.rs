//! What a projection may ask for beside the event and its table.

use std::fmt;

use spacefold_event_core::{ContentError, ContentHash, ContentStore, Position, StorageError};
use spacefold_state::{Effect, Effects};

use crate::{
    apply_error::{ApplyError, MAX_APPLY_CONTENT_BYTES},
    table::TableError,
};

/// What the events of a page are folded with.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) effects: Option<&'a Effects>,
    pub(crate) content: Option<&'a dyn ContentStore>,
}

/// What a projection may ask for beside the event and its table.
///
/// An [effect](Self::effect) is as good as the event: it follows from the log. Content does not:
/// [`ApplyContext::content`] says what may be relied on.
pub struct ApplyContext<'a> {
    position: Position,
    around: Around<'a>,
}

impl<'a> ApplyContext<'a> {
    pub(crate) const fn new(position: Position, around: Around<'a>) -> Self {
        Self { position, around }
    }

    /// What the event did to its space: whether it counts.
    ///
    /// # Errors
    /// [`ApplyError::Refused`] when the projection does not say that it
    /// [uses effects](crate::Projection::uses_effects).
    pub fn effect(&self) -> Result<&'a Effect, ApplyError> {
        let undeclared = "it asks for an effect, which Projection::uses_effects is to say";
        let effects = self.around.effects.ok_or_else(|| ApplyError::refused(undeclared))?;
        let position = self.position;
        let unknown = || ApplyError::refused(format_args!("position {position} has no effect"));
        effects.of(position).ok_or_else(unknown)
    }

    /// The content with this hash, up to [`MAX_APPLY_CONTENT_BYTES`]; `None` where it is not in the
    /// store, as that of an event of another store, or one that is not there yet, or was collected.
    ///
    /// # What may be relied on
    /// The answer depends on when it is asked, but for content that was durable before the event that
    /// names it, which is how `SpaceService` stores it: content that an
    /// event names is not collected, so that it is found whenever that event is folded. Rows that
    /// depend on no other content can be verified by a rebuild. A projection that keeps something
    /// else for `None` than it would for the content is to be rebuilt when content has come after its
    /// event, as by a copy of content from another store, and a check calls it diverged until then.
    ///
    /// # Errors
    /// [`ApplyError::ContentPastLimit`]; [`ApplyError::Refused`] when the content is damaged, or there
    /// is no content store; [`ApplyError::Table`] when the storage failed: the event is tried again.
    pub fn content(&self, hash: &str) -> Result<Option<Vec<u8>>, ApplyError> {
        let none = "it asks for content, and there is no content store";
        let store = self.around.content.ok_or_else(|| ApplyError::refused(none))?;
        let Ok(hash) = hash.parse::<ContentHash>() else {
            return Ok(None);
        };
        match store.get(&hash, MAX_APPLY_CONTENT_BYTES) {
            Ok(content) => Ok(Some(content)),
            Err(ContentError::Missing { .. }) => Ok(None),
            Err(ContentError::PastLimit { bytes, .. }) => {
                Err(ApplyError::ContentPastLimit { hash, bytes })
            }
            Err(error @ ContentError::Damaged { .. }) => Err(ApplyError::refused(error)),
            Err(ContentError::Storage(error)) => Err(TableError::from(error).into()),
            Err(error) => Err(TableError::from(StorageError::new("reading content", error)).into()),
        }
    }
}

impl fmt::Debug for ApplyContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyContext").field("position", &self.position).finish_non_exhaustive()
    }
}
#[cfg(test)]
mod tests;
