//! The errors of commands, as problems: each rule by its name, with what was found.

use axum::http::StatusCode;
use serde_json::{Value, json};
use spacefold::{
    CommandError, Refusal,
    command::{FailedPrecondition, MAX_SUBMITTED_BYTES, MAX_SUBMITTED_COMMANDS},
};

use super::{HttpProblem, of_store::failed_part};

impl From<CommandError> for HttpProblem {
    fn from(error: CommandError) -> Self {
        let said = error.to_string();
        match error {
            CommandError::Refused { space_id, index, refusal } => {
                let problem = refused(&refusal, &space_id, said).field("space_id", space_id);
                match index {
                    Some(index) => problem.field("command", index),
                    None => problem,
                }
            }
            CommandError::Conflict { space_id, attempts, read, found } => {
                Self::unavailable("conflict", said)
                    .field("space_id", space_id)
                    .field("attempts", attempts)
                    .field("read", read)
                    .field("found", found)
            }
            CommandError::State(error) => error.into(),
            CommandError::Content(error) => error.into(),
            CommandError::Append(error) => error.into(),
            CommandError::TooManySubmitted { commands, bytes } => {
                Self::unavailable("too_many_submitted", said)
                    .status(StatusCode::TOO_MANY_REQUESTS)
                    .field("commands", commands)
                    .field("bytes", bytes)
                    .field("max_commands", MAX_SUBMITTED_COMMANDS)
                    .field("max_bytes", MAX_SUBMITTED_BYTES)
            }
            CommandError::NoContentStore => Self::internal("no_content_store", said),
            _ => Self::internal("command", said),
        }
    }
}

/// What is answered for a command that a rule refused.
fn refused(refusal: &Refusal, space_id: &str, said: String) -> HttpProblem {
    if let Refusal::NoSuchSpace = refusal {
        return HttpProblem::unknown_space(space_id);
    }
    if let Refusal::ConditionFailed { failed } = refusal {
        return HttpProblem::condition_failed(
            said,
            failed.iter().map(failed_precondition).collect(),
        );
    }
    if let Refusal::Limit(limit) = refusal {
        return limit.into();
    }
    let (rule, found) = rule(refusal);
    let status = match refusal {
        Refusal::KeyReused { .. } => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let code = if status == StatusCode::CONFLICT { "key_reused" } else { "refused" };
    HttpProblem::new(status, code, said).field("rule", rule).field("found", found)
}

/// The name of the rule, and what was found.
fn rule(refusal: &Refusal) -> (&'static str, Value) {
    match refusal {
        Refusal::SpaceExists { status } => ("space_exists", json!({ "status": status })),
        Refusal::NoSuchSpace => ("no_such_space", json!({})),
        Refusal::SpaceDeleted => ("space_deleted", json!({})),
        Refusal::SpaceArchived => ("space_archived", json!({})),
        Refusal::StatusUnchanged { status } => ("status_unchanged", json!({ "status": status })),
        Refusal::Empty { what } => ("empty", json!({ "what": what })),
        Refusal::DocumentExists { document_id, path } => {
            ("document_exists", json!({ "document_id": document_id, "path": path }))
        }
        Refusal::UnknownDocument { document_id } => {
            ("unknown_document", json!({ "document_id": document_id }))
        }
        Refusal::PathTaken { path, document_id } => {
            ("path_taken", json!({ "path": path, "document_id": document_id }))
        }
        Refusal::UnknownVariable { name } => ("unknown_variable", json!({ "name": name })),
        Refusal::RenderRunning { document_id, started } => {
            ("render_running", json!({ "document_id": document_id, "started": started }))
        }
        Refusal::RenderNotRunning { document_id, found } => {
            ("render_not_running", json!({ "document_id": document_id, "last": found }))
        }
        Refusal::RenderSuperseded { started, running } => {
            ("render_superseded", json!({ "started": started, "running": running }))
        }
        Refusal::SyncRunning { started } => ("sync_running", json!({ "started": started })),
        Refusal::SyncNotRunning => ("sync_not_running", json!({})),
        Refusal::SyncSuperseded { started, running } => {
            ("sync_superseded", json!({ "started": started, "running": running }))
        }
        Refusal::NoConflict { document_id } => {
            ("no_conflict", json!({ "document_id": document_id }))
        }
        Refusal::KeyReused { key, space_id, type_name, position } => (
            "key_reused",
            json!({
                "key": key.as_str(),
                "space_id": space_id,
                "event_type": type_name,
                "position": position,
            }),
        ),
        Refusal::UnknownType(_) => ("unknown_type", json!({})),
        Refusal::ReservedType { name } => ("reserved_type", json!({ "event_type": name })),
        Refusal::ExtraKey(_) => ("extra_key", json!({})),
        Refusal::KeyInPayload { key } => ("key_in_payload", json!({ "key": key })),
        Refusal::ConditionFailed { .. } => ("condition_failed", json!({})),
        Refusal::Limit(_) => ("limit", json!({})),
        _ => ("other", json!({})),
    }
}

fn failed_precondition(part: &FailedPrecondition) -> Value {
    match part {
        FailedPrecondition::Append(part) => failed_part(part),
        FailedPrecondition::SpaceChanged { since, found } => {
            json!({ "space_unchanged_since": since, "position": found })
        }
        FailedPrecondition::DocumentChanged { document_id, since, found } => json!({
            "document_id": document_id,
            "document_unchanged_since": since,
            "position": found,
        }),
        FailedPrecondition::NotReached { since, head } => {
            json!({ "unchanged_since": since, "head": head })
        }
        other => json!({ "detail": other.to_string() }),
    }
}
