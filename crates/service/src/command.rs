//! The operations as values, and what each may emit.

mod arguments;
mod held;
mod operation;

use spacefold_event_core::{Object, Payload, Position, Presence, Value};
use spacefold_state::Reference;

pub(crate) use self::held::Held;
pub use self::operation::{CommandFields, Field, FieldKind, Operation};
use crate::operations::operations;

macro_rules! commands {
    ($(
        $(#[$doc:meta])*
        $method:ident => $command:ident $({ $(
            $(#[$field_doc:meta])*
            $field:ident: $type:ty $(= $argument:ty $(=> $value:expr)?)?
        ),* $(,)? })?;
    )*) => {
        /// An operation on a space. Each becomes one event at the most, unless it says otherwise.
        ///
        /// An optional text is a [`Presence`]: it goes into the event as it is, absent or null.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Command {
            $( $(#[$doc])* $command $({ $( $(#[$field_doc])* $field: $type ),* })?, )*
        }
    };
}

operations!(commands);

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

    /// Whether an event that carries this, with these keys added, may have come from the command,
    /// whatever the state was.
    pub(crate) fn may_have_emitted(&self, payload: &Payload, added: &Object) -> bool {
        if !matches!(self, Self::Record { .. }) && payload.extra() != added {
            return false;
        }
        match (self, payload) {
            (
                Self::Record { type_name, payload: own },
                Payload::Application { name, extra, .. },
            ) => {
                let mut said = own.iter().chain(added.iter());
                type_name == name
                    && extra.len() == own.len() + added.len()
                    && said.all(|(key, value)| extra.get(key) == Some(value))
            }
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
