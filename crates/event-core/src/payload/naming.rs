//! What a payload names outside of itself: documents, and contents by their hash.
//!
//! The two tables have a line for every type, so that a new one cannot be forgotten: whoever needs
//! to know which documents or contents an event is about asks here.

use super::{EventType, Payload};

/// The documents that a payload names as those that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedDocuments<'a, S> {
    /// It is about no document.
    None,
    /// It is about one.
    One(&'a S),
    /// It is about these, of which there may be none.
    Several(&'a [S]),
}

impl<S: AsRef<str>> Payload<S> {
    /// The documents that it names as those that it is about.
    #[must_use]
    pub fn documents(&self) -> NamedDocuments<'_, S> {
        match self {
            Self::DocumentAdded { document_id, .. }
            | Self::DocumentUpdated { document_id, .. }
            | Self::DocumentRemoved { document_id, .. }
            | Self::DocumentMoved { document_id, .. }
            | Self::DocumentContentChanged { document_id, .. }
            | Self::ReferenceAdded { document_id, .. }
            | Self::SyncConflict { document_id, .. } => NamedDocuments::One(document_id),
            Self::ReferenceCleared { document_id, .. }
            | Self::RenderStarted { document_id, .. }
            | Self::RenderCompleted { document_id, .. }
            | Self::RenderFailed { document_id, .. } => {
                document_id.as_ref().map_or(NamedDocuments::None, NamedDocuments::One)
            }
            Self::CacheInvalidated { document_ids, .. } => NamedDocuments::Several(document_ids),
            Self::SpaceCreated { .. }
            | Self::SpaceUpdated { .. }
            | Self::SpaceDeleted { .. }
            | Self::SpaceActivated { .. }
            | Self::SpaceArchived { .. }
            | Self::VariableSet { .. }
            | Self::VariableDeleted { .. }
            | Self::SyncStarted { .. }
            | Self::SyncCompleted { .. }
            | Self::Application { .. } => NamedDocuments::None,
        }
    }

    /// Whether the payload names this document as one that it is about.
    #[must_use]
    pub fn names_document(&self, id: &str) -> bool {
        match self.documents() {
            NamedDocuments::None => false,
            NamedDocuments::One(document_id) => document_id.as_ref() == id,
            NamedDocuments::Several(ids) => ids.iter().any(|other| other.as_ref() == id),
        }
    }

    /// The hashes of contents that it names: what was there before and after a change, both sides
    /// of a conflict, what was rendered.
    pub fn content_hashes(&self) -> impl Iterator<Item = &S> {
        let (one, other) = match self {
            Self::DocumentContentChanged { old_hash, new_hash, .. } => {
                (old_hash.as_ref(), Some(new_hash))
            }
            Self::SyncConflict { local_hash, remote_hash, .. } => {
                (local_hash.as_ref(), remote_hash.as_ref())
            }
            Self::RenderStarted { output_hash, .. }
            | Self::RenderCompleted { output_hash, .. }
            | Self::RenderFailed { output_hash, .. } => (output_hash.as_ref(), None),
            Self::SpaceCreated { .. }
            | Self::SpaceUpdated { .. }
            | Self::SpaceDeleted { .. }
            | Self::SpaceActivated { .. }
            | Self::SpaceArchived { .. }
            | Self::DocumentAdded { .. }
            | Self::DocumentUpdated { .. }
            | Self::DocumentRemoved { .. }
            | Self::DocumentMoved { .. }
            | Self::ReferenceAdded { .. }
            | Self::ReferenceCleared { .. }
            | Self::VariableSet { .. }
            | Self::VariableDeleted { .. }
            | Self::SyncStarted { .. }
            | Self::SyncCompleted { .. }
            | Self::CacheInvalidated { .. }
            | Self::Application { .. } => (None, None),
        };
        [one, other].into_iter().flatten()
    }
}

impl EventType {
    /// Whether events of this type may name a content: whether
    /// [`content_hashes`](Payload::content_hashes) of one can give any.
    #[must_use]
    pub const fn may_name_content(self) -> bool {
        match self {
            Self::DocumentContentChanged
            | Self::SyncConflict
            | Self::RenderStarted
            | Self::RenderCompleted
            | Self::RenderFailed => true,
            Self::SpaceCreated
            | Self::SpaceUpdated
            | Self::SpaceDeleted
            | Self::SpaceActivated
            | Self::SpaceArchived
            | Self::DocumentAdded
            | Self::DocumentUpdated
            | Self::DocumentRemoved
            | Self::DocumentMoved
            | Self::ReferenceAdded
            | Self::ReferenceCleared
            | Self::VariableSet
            | Self::VariableDeleted
            | Self::SyncStarted
            | Self::SyncCompleted
            | Self::CacheInvalidated
            | Self::Application => false,
        }
    }
}
