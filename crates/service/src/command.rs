//! Operations as data.

use spacefold_event_core::{Object, Payload, Position, Presence, Value};
use spacefold_state::Reference;

/// An operation on a space. Each becomes one event at the most, unless it says otherwise.
///
/// An optional text is a [`Presence`]: it goes into the event as it is, absent or null.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Creates the space, or creates it again after it was deleted: `space.created`.
    CreateSpace {
        /// Its name.
        name: String,
    },
    /// Merges changes into the metadata: `space.updated`.
    UpdateSpace {
        /// Top-level keys to replace; null removes; a string `name` also renames.
        changes: Object,
    },
    /// Renames the space: `space.updated` with the name.
    RenameSpace {
        /// Its new name.
        name: String,
    },
    /// Makes the space active: `space.activated`.
    ActivateSpace,
    /// Archives the space: `space.archived`.
    ArchiveSpace,
    /// Deletes the space: `space.deleted` with the name that it had.
    DeleteSpace,
    /// Adds a document: `document.added`.
    AddDocument {
        /// Its id.
        document_id: String,
        /// Its path.
        path: String,
    },
    /// Merges changes into a document's attributes: `document.updated`.
    UpdateDocument {
        /// Which document.
        document_id: String,
        /// Top-level keys to replace; null removes.
        changes: Object,
    },
    /// Moves a document: `document.moved` with the path that it had. In a batch that also moves on who
    /// is in its way, there may be one more: see [`Batch`](crate::Batch).
    MoveDocument {
        /// Which document.
        document_id: String,
        /// Its new path.
        new_path: String,
    },
    /// Removes a document: `document.removed` with the path that it had.
    RemoveDocument {
        /// Which document.
        document_id: String,
    },
    /// Gives a document the content with this hash: `document.content_changed` with the hash that
    /// it had.
    SetContentHash {
        /// Which document.
        document_id: String,
        /// The hash of its new content.
        hash: String,
    },
    /// Sets a variable: `variable.set`.
    SetVariable {
        /// Its name.
        name: String,
        /// Its value.
        value: Value,
    },
    /// Deletes a variable: `variable.deleted`.
    DeleteVariable {
        /// Its name.
        name: String,
    },
    /// Adds a reference to a document: `reference.added`.
    AddReference {
        /// The document that refers.
        document_id: String,
        /// What it refers to.
        target: String,
        /// In which way.
        kind: Presence,
    },
    /// Makes these the references of a document. Those that are new become a `reference.added` each;
    /// when others have to go, a `reference.cleared` comes first, and all of these are added again.
    SetReferences {
        /// The document that refers.
        document_id: String,
        /// All that it refers to; what is named twice counts once.
        references: Vec<Reference>,
    },
    /// Clears the references of one document, or all of the space's: `reference.cleared`.
    ClearReferences {
        /// Whose; without it, all.
        document_id: Presence,
    },
    /// Says that a render began: `render.started`.
    StartRender {
        /// Of which document; without it, of the space.
        document_id: Presence,
    },
    /// Says that a render ended well: `render.completed`.
    CompleteRender {
        /// Of which document; without it, of the space.
        document_id: Presence,
        /// The hash of what was rendered.
        output_hash: Presence,
        /// The render that this is about, by where its start stands; without it, the one that runs.
        started: Option<Position>,
    },
    /// Says that a render failed: `render.failed`.
    FailRender {
        /// Of which document; without it, of the space.
        document_id: Presence,
        /// What went wrong.
        error: Presence,
        /// The render that this is about, by where its start stands; without it, the one that runs.
        started: Option<Position>,
    },
    /// Ends a render whose process is gone, and says that another began in its place: `render.failed`
    /// and `render.started`.
    TakeOverRender {
        /// Of which document; without it, of the space.
        document_id: Presence,
        /// The render that is given up, by where its start stands: of several who want to take it
        /// over, one does.
        started: Position,
    },
    /// Says that a synchronisation began: `sync.started`. It closes all open conflicts.
    StartSync {
        /// Which way.
        direction: Presence,
    },
    /// Says that another synchronisation began in place of a running one, whose process is gone:
    /// `sync.started`. It closes all open conflicts.
    TakeOverSync {
        /// Which way.
        direction: Presence,
        /// The synchronisation that is given up, by where its start stands: of several who want to take
        /// it over, one does.
        started: Position,
    },
    /// Says that a synchronisation ended: `sync.completed`. Open conflicts stay open.
    CompleteSync {
        /// The synchronisation that this is about, by where its start stands; without it, the one that
        /// runs.
        started: Option<Position>,
    },
    /// Records that a document differs here and at the other side: `sync.conflict`.
    RecordConflict {
        /// Which document; it may be unknown here.
        document_id: String,
        /// The content hash here.
        local_hash: Presence,
        /// The content hash there.
        remote_hash: Presence,
        /// The synchronisation that found it, by where its start stands; without it, the one that runs.
        started: Option<Position>,
    },
    /// Closes a document's open conflict by the content that it is to have, which may be the one
    /// that it has: `document.content_changed`.
    ResolveConflict {
        /// Which document.
        document_id: String,
        /// The hash of the content chosen.
        hash: String,
    },
    /// Marks documents stale, what was derived from them being out of date: `cache.invalidated`.
    InvalidateCache {
        /// Which documents.
        document_ids: Vec<String>,
        /// Why.
        reason: Presence,
    },
}

impl Command {
    /// Whether the command may become several events.
    pub(crate) const fn may_emit_several(&self) -> bool {
        matches!(self, Self::SetReferences { .. } | Self::TakeOverRender { .. })
    }

    /// Where the command puts a document: its id and the path.
    pub(crate) const fn target(&self) -> Option<(&String, &String)> {
        match self {
            Self::AddDocument { document_id, path }
            | Self::MoveDocument { document_id, new_path: path } => Some((document_id, path)),
            _ => None,
        }
    }

    /// Whether an event that carries this may have come from the command, whatever the state was.
    pub(crate) fn may_have_emitted(&self, payload: &Payload) -> bool {
        match (self, payload) {
            (Self::CreateSpace { name }, Payload::SpaceCreated { name: stored, .. }) => {
                name == stored
            }
            (Self::UpdateSpace { changes }, Payload::SpaceUpdated { changes: stored, .. }) => {
                changes == stored
            }
            (Self::RenameSpace { name }, Payload::SpaceUpdated { changes, .. }) => {
                changes.len() == 1
                    && changes.get("name").and_then(Value::as_str) == Some(name.as_str())
            }
            (Self::ActivateSpace, Payload::SpaceActivated { .. })
            | (Self::ArchiveSpace, Payload::SpaceArchived { .. })
            | (Self::DeleteSpace, Payload::SpaceDeleted { .. })
            | (Self::CompleteSync { .. }, Payload::SyncCompleted { .. }) => true,
            (Self::SetVariable { name, value }, Payload::VariableSet { name: n, value: v, .. }) => {
                name == n && value == v
            }
            (Self::DeleteVariable { name }, Payload::VariableDeleted { name: stored, .. }) => {
                name == stored
            }
            (
                Self::StartSync { direction } | Self::TakeOverSync { direction, .. },
                Payload::SyncStarted { direction: stored, .. },
            ) => direction == stored,
            (
                Self::InvalidateCache { document_ids, reason },
                Payload::CacheInvalidated { document_ids: ids, reason: r, .. },
            ) => document_ids == ids && reason == r,
            _ => self.may_have_emitted_of_document(payload),
        }
    }

    fn may_have_emitted_of_document(&self, payload: &Payload) -> bool {
        match (self, payload) {
            (
                Self::AddDocument { document_id, path },
                Payload::DocumentAdded { document_id: id, space_path, .. },
            ) => document_id == id && path == space_path,
            (
                Self::UpdateDocument { document_id, changes },
                Payload::DocumentUpdated { document_id: id, changes: stored, .. },
            ) => document_id == id && changes == stored,
            (
                Self::MoveDocument { document_id, new_path },
                Payload::DocumentMoved { document_id: id, new_path: path, .. },
            ) => document_id == id && new_path == path,
            (
                Self::RemoveDocument { document_id },
                Payload::DocumentRemoved { document_id: id, .. },
            ) => document_id == id,
            (
                Self::SetContentHash { document_id, hash }
                | Self::ResolveConflict { document_id, hash },
                Payload::DocumentContentChanged { document_id: id, new_hash, .. },
            ) => document_id == id && hash == new_hash,
            (
                Self::AddReference { document_id, target, kind },
                Payload::ReferenceAdded { document_id: id, target: t, kind: k, .. },
            ) => document_id == id && target == t && kind == k,
            (
                Self::SetReferences { document_id, references },
                Payload::ReferenceAdded { document_id: id, target, kind, .. },
            ) => {
                let is_it =
                    |to: &Reference| to.target == *target && to.kind.as_deref() == kind.as_deref();
                document_id == id && references.iter().any(is_it)
            }
            (
                Self::SetReferences { document_id, .. },
                Payload::ReferenceCleared { document_id: id, .. },
            ) => Some(document_id.as_str()) == id.as_deref(),
            (
                Self::ClearReferences { document_id },
                Payload::ReferenceCleared { document_id: id, .. },
            )
            | (
                Self::StartRender { document_id } | Self::TakeOverRender { document_id, .. },
                Payload::RenderStarted { document_id: id, .. },
            )
            | (
                Self::TakeOverRender { document_id, .. },
                Payload::RenderFailed { document_id: id, .. },
            ) => document_id == id,
            (
                Self::CompleteRender { document_id, output_hash, .. },
                Payload::RenderCompleted { document_id: id, output_hash: hash, .. },
            ) => document_id == id && output_hash == hash,
            (
                Self::FailRender { document_id, error, .. },
                Payload::RenderFailed { document_id: id, error: stored, .. },
            ) => document_id == id && error == stored,
            (
                Self::RecordConflict { document_id, local_hash, remote_hash, .. },
                Payload::SyncConflict { document_id: id, local_hash: l, remote_hash: r, .. },
            ) => document_id == id && local_hash == l && remote_hash == r,
            _ => false,
        }
    }
}
