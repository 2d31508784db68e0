//! One typed change between two states. The fields of a side are printed in their order here, which is
//! that of their names.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};
use spacefold_event_core::{Object, RecordedHash, Value};

use crate::space_state::{Reference, RenderStatus, SpaceStatus, SyncStatus};

/// What a space is, apart from what is in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpaceHeader {
    /// Its metadata.
    pub metadata: Object,
    /// Its name.
    pub name: Option<String>,
    /// Its status.
    pub status: SpaceStatus,
}

/// What a document is, without the positions of its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DocumentContent {
    /// Its attributes.
    pub attributes: Object,
    /// The hash of its content.
    pub content_hash: Option<RecordedHash>,
    /// Its path.
    pub path: String,
}

/// How far a rendering is, without the position of its event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RenderOutcome {
    /// What went wrong.
    pub error: Option<String>,
    /// The hash of what it gave.
    pub output_hash: Option<String>,
    /// Its status.
    pub status: RenderStatus,
}

/// The two sides of a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConflictHashes {
    /// The content hash here.
    pub local_hash: Option<RecordedHash>,
    /// The content hash at the other side.
    pub remote_hash: Option<RecordedHash>,
}

/// One change between two states of a space: what it is of, and what was there before and after.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// The space came to be; what is in it follows as changes of their own.
    SpaceCreated {
        /// What it is.
        after: SpaceHeader,
    },
    /// The space does not exist any more, nor does anything that was in it.
    SpaceDeleted {
        /// What it was.
        before: SpaceHeader,
    },
    /// The status changed, to deleted too.
    StatusChanged {
        /// The old status.
        before: SpaceStatus,
        /// The new status.
        after: SpaceStatus,
    },
    /// The name changed.
    Renamed {
        /// The old name.
        before: Option<String>,
        /// The new name.
        after: Option<String>,
    },
    /// The metadata changed.
    MetadataChanged {
        /// All of the old metadata.
        before: Object,
        /// All of the new metadata.
        after: Object,
    },
    /// A document came to be.
    DocumentAdded {
        /// Its id.
        document_id: String,
        /// What it is.
        after: DocumentContent,
    },
    /// A document is gone.
    DocumentRemoved {
        /// Its id.
        document_id: String,
        /// What it was.
        before: DocumentContent,
    },
    /// A document is at another path.
    DocumentMoved {
        /// Its id.
        document_id: String,
        /// The old path.
        before: String,
        /// The new path.
        after: String,
    },
    /// A document has another content hash.
    ContentChanged {
        /// Its id.
        document_id: String,
        /// The old hash.
        before: Option<RecordedHash>,
        /// The new hash.
        after: Option<RecordedHash>,
    },
    /// A document's attributes changed.
    AttributesChanged {
        /// Its id.
        document_id: String,
        /// All of the old attributes.
        before: Object,
        /// All of the new attributes.
        after: Object,
    },
    /// A variable has another value.
    VariableSet {
        /// Its name.
        name: String,
        /// The old value; `None` when there was no such variable.
        before: Option<Value>,
        /// The new value.
        after: Value,
    },
    /// A variable is gone.
    VariableDeleted {
        /// Its name.
        name: String,
        /// The old value.
        before: Value,
    },
    /// A document came to refer to something.
    ReferenceAdded {
        /// The document that refers.
        document_id: String,
        /// To what.
        reference: Reference,
    },
    /// A document does not refer to something any more.
    ReferenceRemoved {
        /// The document that referred.
        document_id: String,
        /// To what.
        reference: Reference,
    },
    /// A render state changed, came or went.
    RenderChanged {
        /// Of which document; `None` for the space itself.
        document_id: Option<String>,
        /// The old state.
        before: Option<RenderOutcome>,
        /// The new state.
        after: Option<RenderOutcome>,
    },
    /// Synchronisation began or ended.
    SyncChanged {
        /// The old status.
        before: SyncStatus,
        /// The new status.
        after: SyncStatus,
    },
    /// A conflict was opened, or is about other contents.
    ConflictOpened {
        /// Of which document.
        document_id: String,
        /// What was open before.
        before: Option<ConflictHashes>,
        /// What is open now.
        after: ConflictHashes,
    },
    /// A conflict was closed.
    ConflictClosed {
        /// Of which document.
        document_id: String,
        /// What was open.
        before: ConflictHashes,
    },
    /// A document came to be stale.
    MarkedStale {
        /// Which document.
        document_id: String,
    },
    /// A document is not stale any more.
    UnmarkedStale {
        /// Which document.
        document_id: String,
    },
}

impl Change {
    /// The kind, as the text format names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SpaceCreated { .. } => "space_created",
            Self::SpaceDeleted { .. } => "space_deleted",
            Self::StatusChanged { .. } => "status_changed",
            Self::Renamed { .. } => "renamed",
            Self::MetadataChanged { .. } => "metadata_changed",
            Self::DocumentAdded { .. } => "document_added",
            Self::DocumentRemoved { .. } => "document_removed",
            Self::DocumentMoved { .. } => "document_moved",
            Self::ContentChanged { .. } => "content_changed",
            Self::AttributesChanged { .. } => "attributes_changed",
            Self::VariableSet { .. } => "variable_set",
            Self::VariableDeleted { .. } => "variable_deleted",
            Self::ReferenceAdded { .. } => "reference_added",
            Self::ReferenceRemoved { .. } => "reference_removed",
            Self::RenderChanged { .. } => "render_changed",
            Self::SyncChanged { .. } => "sync_changed",
            Self::ConflictOpened { .. } => "conflict_opened",
            Self::ConflictClosed { .. } => "conflict_closed",
            Self::MarkedStale { .. } => "marked_stale",
            Self::UnmarkedStale { .. } => "unmarked_stale",
        }
    }

    /// The change as one JSON object: `kind`, its key, `before`, `after`.
    ///
    /// The key is `document_id` (null for the space's own render state), `name` for a variable,
    /// `document_id`, `target` and `reference_kind` for a reference, and none for the space.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a change is valid JSON")
    }

    /// The document that the change is of; `None` when it is of none.
    #[must_use]
    pub fn document_id(&self) -> Option<&str> {
        match self {
            Self::DocumentAdded { document_id, .. }
            | Self::DocumentRemoved { document_id, .. }
            | Self::DocumentMoved { document_id, .. }
            | Self::ContentChanged { document_id, .. }
            | Self::AttributesChanged { document_id, .. }
            | Self::ConflictOpened { document_id, .. }
            | Self::ConflictClosed { document_id, .. }
            | Self::MarkedStale { document_id }
            | Self::UnmarkedStale { document_id }
            | Self::ReferenceAdded { document_id, .. }
            | Self::ReferenceRemoved { document_id, .. } => Some(document_id),
            Self::RenderChanged { document_id, .. } => document_id.as_deref(),
            _ => None,
        }
    }
}

/// A side on which there was, or is, nothing.
const NOTHING: () = ();

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = PrintedChange(serializer.serialize_map(None)?);
        json.0.serialize_entry("kind", self.kind())?;
        match self {
            Self::VariableSet { name, .. } | Self::VariableDeleted { name, .. } => {
                json.0.serialize_entry("name", name)?;
            }
            Self::RenderChanged { document_id, .. } => {
                json.0.serialize_entry("document_id", document_id)?;
            }
            _ => {
                if let Some(document_id) = self.document_id() {
                    json.0.serialize_entry("document_id", document_id)?;
                }
            }
        }
        if let Self::ReferenceAdded { reference, .. } | Self::ReferenceRemoved { reference, .. } =
            self
        {
            json.0.serialize_entry("target", &reference.target)?;
            // `kind` is taken by the kind of the change.
            json.0.serialize_entry("reference_kind", &reference.kind)?;
        }
        match self {
            Self::SpaceCreated { after } => json.end(NOTHING, after),
            Self::SpaceDeleted { before } => json.end(before, NOTHING),
            Self::StatusChanged { before, after } => json.end(before, after),
            Self::MetadataChanged { before, after }
            | Self::AttributesChanged { before, after, .. } => json.end(before, after),
            Self::DocumentAdded { after, .. } => json.end(NOTHING, after),
            Self::DocumentRemoved { before, .. } => json.end(before, NOTHING),
            Self::DocumentMoved { before, after, .. } => json.end(before, after),
            Self::Renamed { before, after } => json.end(before, after),
            Self::ContentChanged { before, after, .. } => json.end(before, after),
            Self::VariableSet { before, after, .. } => json.end(before, after),
            Self::VariableDeleted { before, .. } => json.end(before, NOTHING),
            Self::ReferenceAdded { reference, .. } => json.end(NOTHING, sorted(reference)),
            Self::ReferenceRemoved { reference, .. } => json.end(sorted(reference), NOTHING),
            Self::RenderChanged { before, after, .. } => json.end(before, after),
            Self::SyncChanged { before, after } => json.end(before, after),
            Self::ConflictOpened { before, after, .. } => json.end(before, after),
            Self::ConflictClosed { before, .. } => json.end(before, NOTHING),
            Self::MarkedStale { .. } => json.end(false, true),
            Self::UnmarkedStale { .. } => json.end(true, false),
        }
    }
}

/// A change that is printed up to its sides.
struct PrintedChange<M>(M);

impl<M: SerializeMap> PrintedChange<M> {
    fn end(mut self, before: impl Serialize, after: impl Serialize) -> Result<M::Ok, M::Error> {
        self.0.serialize_entry("before", &before)?;
        self.0.serialize_entry("after", &after)?;
        self.0.end()
    }
}

/// The keys of a side are sorted.
fn sorted(reference: &Reference) -> BTreeMap<&'static str, Option<&str>> {
    [("target", Some(&*reference.target)), ("kind", reference.kind.as_deref())].into()
}
