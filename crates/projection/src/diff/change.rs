//! One typed change between two states.

use spacefold_event_core::{Object, Value, write_string, write_value};

use crate::space_state::{Reference, RenderStatus, SpaceStatus, SyncStatus};

/// What a space is, apart from what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceHeader {
    /// Its name.
    pub name: Option<String>,
    /// Its status.
    pub status: SpaceStatus,
    /// Its metadata.
    pub metadata: Object,
}

/// What a document is, but for where its events stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentContent {
    /// Its path.
    pub path: String,
    /// The hash of its content.
    pub content_hash: Option<String>,
    /// Its attributes.
    pub attributes: Object,
}

/// How a rendering stands, but for where its event does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderOutcome {
    /// Where it stands.
    pub status: RenderStatus,
    /// The hash of what it gave.
    pub output_hash: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// The two sides of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictHashes {
    /// The content hash here.
    pub local_hash: Option<String>,
    /// The content hash at the other side.
    pub remote_hash: Option<String>,
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
        before: Option<String>,
        /// The new hash.
        after: Option<String>,
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
        let mut json = String::new();
        self.write_json(&mut json);
        json
    }

    /// Appends what [`Change::to_json`] gives.
    pub fn write_json(&self, json: &mut String) {
        json.push_str("{\"kind\":");
        write_string(json, self.kind());
        for (key, value) in self.key() {
            json.push(',');
            write_string(json, key);
            json.push(':');
            write_value(json, &value);
        }
        let (before, after) = self.sides();
        json.push_str(",\"before\":");
        write_value(json, &before);
        json.push_str(",\"after\":");
        write_value(json, &after);
        json.push('}');
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

    /// What tells the change from others of its kind.
    fn key(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::SpaceCreated { .. }
            | Self::SpaceDeleted { .. }
            | Self::StatusChanged { .. }
            | Self::Renamed { .. }
            | Self::MetadataChanged { .. }
            | Self::SyncChanged { .. } => Vec::new(),
            Self::DocumentAdded { document_id, .. }
            | Self::DocumentRemoved { document_id, .. }
            | Self::DocumentMoved { document_id, .. }
            | Self::ContentChanged { document_id, .. }
            | Self::AttributesChanged { document_id, .. }
            | Self::ConflictOpened { document_id, .. }
            | Self::ConflictClosed { document_id, .. }
            | Self::MarkedStale { document_id }
            | Self::UnmarkedStale { document_id } => vec![("document_id", text(document_id))],
            Self::RenderChanged { document_id, .. } => vec![("document_id", maybe(document_id))],
            Self::VariableSet { name, .. } | Self::VariableDeleted { name, .. } => {
                vec![("name", text(name))]
            }
            Self::ReferenceAdded { document_id, reference }
            | Self::ReferenceRemoved { document_id, reference } => vec![
                ("document_id", text(document_id)),
                ("target", text(&reference.target)),
                // `kind` is taken by the kind of the change.
                ("reference_kind", maybe(&reference.kind)),
            ],
        }
    }

    /// What was there before and after.
    fn sides(&self) -> (Value, Value) {
        match self {
            Self::SpaceCreated { after } => (Value::Null, header(after)),
            Self::SpaceDeleted { before } => (header(before), Value::Null),
            Self::StatusChanged { before, after } => (text(before.name()), text(after.name())),
            Self::Renamed { before, after } => (maybe(before), maybe(after)),
            Self::MetadataChanged { before, after }
            | Self::AttributesChanged { before, after, .. } => {
                (Value::Object(before.clone()), Value::Object(after.clone()))
            }
            Self::DocumentAdded { after, .. } => (Value::Null, document(after)),
            Self::DocumentRemoved { before, .. } => (document(before), Value::Null),
            Self::DocumentMoved { before, after, .. } => (text(before), text(after)),
            Self::ContentChanged { before, after, .. } => (maybe(before), maybe(after)),
            Self::VariableSet { before, after, .. } => {
                (before.clone().unwrap_or(Value::Null), after.clone())
            }
            Self::VariableDeleted { before, .. } => (before.clone(), Value::Null),
            Self::ReferenceAdded { reference: to, .. } => (Value::Null, reference(to)),
            Self::ReferenceRemoved { reference: to, .. } => (reference(to), Value::Null),
            Self::RenderChanged { before, after, .. } => {
                let side =
                    |outcome: &Option<RenderOutcome>| outcome.as_ref().map_or(Value::Null, render);
                (side(before), side(after))
            }
            Self::SyncChanged { before, after } => (text(before.name()), text(after.name())),
            Self::ConflictOpened { before, after, .. } => {
                (before.as_ref().map_or(Value::Null, hashes), hashes(after))
            }
            Self::ConflictClosed { before, .. } => (hashes(before), Value::Null),
            Self::MarkedStale { .. } => (Value::from(false), Value::from(true)),
            Self::UnmarkedStale { .. } => (Value::from(true), Value::from(false)),
        }
    }
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn maybe(text: &Option<String>) -> Value {
    text.as_deref().map_or(Value::Null, Value::from)
}

fn object<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    Value::Object(members.into_iter().collect())
}

fn header(header: &SpaceHeader) -> Value {
    object([
        ("name", maybe(&header.name)),
        ("status", text(header.status.name())),
        ("metadata", Value::Object(header.metadata.clone())),
    ])
}

fn document(content: &DocumentContent) -> Value {
    object([
        ("path", text(&content.path)),
        ("content_hash", maybe(&content.content_hash)),
        ("attributes", Value::Object(content.attributes.clone())),
    ])
}

fn reference(reference: &Reference) -> Value {
    object([("target", text(&reference.target)), ("kind", maybe(&reference.kind))])
}

fn render(outcome: &RenderOutcome) -> Value {
    object([
        ("status", text(outcome.status.name())),
        ("output_hash", maybe(&outcome.output_hash)),
        ("error", maybe(&outcome.error)),
    ])
}

fn hashes(hashes: &ConflictHashes) -> Value {
    object([("local_hash", maybe(&hashes.local_hash)), ("remote_hash", maybe(&hashes.remote_hash))])
}
