//! The rules that commands are checked against.

use spacefold_event_core::{LimitExceeded, PayloadError, Position, UnknownEventType};
use spacefold_state::{RenderStatus, SpaceStatus};

use crate::{
    condition::{FailedPrecondition, joined},
    idempotency_key::IdempotencyKey,
};

/// Why a command was refused: the rule that it breaks, and what was found. Nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A space is created that is there, and not deleted.
    #[error("the space exists already, its status is {status}")]
    SpaceExists {
        /// Its status.
        status: SpaceStatus,
    },
    /// The space has had no event, or none of the 21 that the contract names.
    #[error("there is no such space")]
    NoSuchSpace,
    /// The space is deleted: it can only be created again.
    #[error("the space is deleted")]
    SpaceDeleted,
    /// The space is archived: it can only be activated or deleted, and renders and synchronisations
    /// that were under way can end.
    #[error("the space is archived")]
    SpaceArchived,
    /// The space has the status already.
    #[error("the space is {status} already")]
    StatusUnchanged {
        /// Its status.
        status: SpaceStatus,
    },
    /// A name, path, target or hash is empty.
    #[error("the {what} is empty")]
    Empty {
        /// What is empty.
        what: &'static str,
    },
    /// A document is added whose id the space has already.
    #[error("document {document_id:?} exists already, at {path:?}")]
    DocumentExists {
        /// The id.
        document_id: String,
        /// The path of the document that has it.
        path: String,
    },
    /// The space has no such document.
    #[error("there is no document {document_id:?}")]
    UnknownDocument {
        /// The id.
        document_id: String,
    },
    /// Another document is at the path.
    #[error("document {document_id:?} is at {path:?} already")]
    PathTaken {
        /// The path.
        path: String,
        /// The document that is there.
        document_id: String,
    },
    /// The space has no such variable.
    #[error("there is no variable {name:?}")]
    UnknownVariable {
        /// Its name.
        name: String,
    },
    /// A render is started while one is running: it has to end first.
    #[error("{} is being rendered since position {started}", rendered(document_id.as_deref()))]
    RenderRunning {
        /// Of which document; without it, of the space.
        document_id: Option<String>,
        /// The position of the start of the one that is running.
        started: Position,
    },
    /// A render ends that is not running.
    #[error("{} is not being rendered{}", rendered(document_id.as_deref()), last_render(*found))]
    RenderNotRunning {
        /// Of which document; without it, of the space.
        document_id: Option<String>,
        /// How the last one ended, when there was one.
        found: Option<RenderStatus>,
    },
    /// A render ends whose place another one has taken.
    #[error(
        "the render that started at position {started} has ended: one that started at position \
         {running} is running"
    )]
    RenderSuperseded {
        /// The position of the start of the one that was to end.
        started: Position,
        /// The position of the start of the one that is running.
        running: Position,
    },
    /// A synchronisation is started while one is running: it has to complete first.
    #[error("a synchronisation is running since position {started}")]
    SyncRunning {
        /// The position of the start of the one that is running.
        started: Position,
    },
    /// No synchronisation is running that could complete or find a conflict.
    #[error("no synchronisation is running")]
    SyncNotRunning,
    /// A synchronisation goes on or ends whose place another one has taken.
    #[error(
        "the synchronisation that started at position {started} has ended: one that started at \
         position {running} is running"
    )]
    SyncSuperseded {
        /// The position of the start of the one that was to go on or end.
        started: Position,
        /// The position of the start of the one that is running.
        running: Position,
    },
    /// The document has no open conflict.
    #[error("document {document_id:?} has no open conflict")]
    NoConflict {
        /// The document.
        document_id: String,
    },
    /// The idempotency key was given to another command.
    #[error(
        "idempotency key {key:?} was given to another command: its {type_name} in space \
         {space_id:?} is at position {position}", key = key.as_str()
    )]
    KeyReused {
        /// The key.
        key: IdempotencyKey,
        /// The space of the event that it stands for.
        space_id: String,
        /// The name of the type of that event.
        type_name: String,
        /// The position of that event.
        position: Position,
    },
    /// An event of the application's own is recorded under a name that no such type can have.
    #[error(transparent)]
    UnknownType(#[from] UnknownEventType),
    /// An event is recorded of a type that only spacefold itself records.
    #[error("events of type {name:?} are recorded by spacefold alone")]
    ReservedType {
        /// The name of the type.
        name: &'static str,
    },
    /// A key that is to be added to the payload of each event is one that the contract names.
    #[error(transparent)]
    ExtraKey(#[from] PayloadError),
    /// A key that is to be added to the payload of each event is in the payload that is recorded.
    #[error("payload key {key:?} is to be added to what is recorded, which has it already")]
    KeyInPayload {
        /// The key.
        key: String,
    },
    /// The condition that the command was given on does not hold: see
    /// [`SpaceService::only_if`](crate::SpaceService::only_if) and
    /// [`SpaceService::if_unchanged_since`](crate::SpaceService::if_unchanged_since).
    #[error("the condition does not hold: {}", joined(failed))]
    ConditionFailed {
        /// Every part that does not hold, with what was found instead.
        failed: Vec<FailedPrecondition>,
    },
    /// Something is past its limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl Refusal {
    /// The name of the rule, for programs that have it from elsewhere.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SpaceExists { .. } => "space_exists",
            Self::NoSuchSpace => "no_such_space",
            Self::SpaceDeleted => "space_deleted",
            Self::SpaceArchived => "space_archived",
            Self::StatusUnchanged { .. } => "status_unchanged",
            Self::Empty { .. } => "empty",
            Self::DocumentExists { .. } => "document_exists",
            Self::UnknownDocument { .. } => "unknown_document",
            Self::PathTaken { .. } => "path_taken",
            Self::UnknownVariable { .. } => "unknown_variable",
            Self::RenderRunning { .. } => "render_running",
            Self::RenderNotRunning { .. } => "render_not_running",
            Self::RenderSuperseded { .. } => "render_superseded",
            Self::SyncRunning { .. } => "sync_running",
            Self::SyncNotRunning => "sync_not_running",
            Self::SyncSuperseded { .. } => "sync_superseded",
            Self::NoConflict { .. } => "no_conflict",
            Self::KeyReused { .. } => "key_reused",
            Self::UnknownType(_) => "unknown_type",
            Self::ReservedType { .. } => "reserved_type",
            Self::ExtraKey(_) => "extra_key",
            Self::KeyInPayload { .. } => "key_in_payload",
            Self::ConditionFailed { .. } => "condition_failed",
            Self::Limit(_) => "limit",
        }
    }
}

fn rendered(document_id: Option<&str>) -> String {
    document_id.map_or_else(|| "the space".to_owned(), |id| format!("document {id:?}"))
}

fn last_render(found: Option<RenderStatus>) -> String {
    found.map_or_else(String::new, |status| format!(": its last render is {status}"))
}
