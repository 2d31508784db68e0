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
    let status = match refusal {
        Refusal::KeyReused { .. } => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let code = if status == StatusCode::CONFLICT { "key_reused" } else { "refused" };
    HttpProblem::new(status, code, said)
        .field("rule", refusal.name())
        .field("refusal", refusal.to_string())
        .field("found", found(refusal))
}

/// What was found.
fn found(refusal: &Refusal) -> Value {
    match refusal {
        Refusal::SpaceExists { status } => json!({ "status": status }),
        Refusal::StatusUnchanged { status } => json!({ "status": status }),
        Refusal::Empty { what } => json!({ "what": what }),
        Refusal::DocumentExists { document_id, path } => {
            json!({ "document_id": document_id, "path": path })
        }
        Refusal::UnknownDocument { document_id } => {
            json!({ "document_id": document_id })
        }
        Refusal::PathTaken { path, document_id } => {
            json!({ "path": path, "document_id": document_id })
        }
        Refusal::UnknownVariable { name } => json!({ "name": name }),
        Refusal::RenderRunning { document_id, started } => {
            json!({ "document_id": document_id, "started": started })
        }
        Refusal::RenderNotRunning { document_id, found } => {
            json!({ "document_id": document_id, "last": found })
        }
        Refusal::RenderSuperseded { started, running } => {
            json!({ "started": started, "running": running })
        }
        Refusal::SyncRunning { started } => json!({ "started": started }),
        Refusal::SyncSuperseded { started, running } => {
            json!({ "started": started, "running": running })
        }
        Refusal::NoConflict { document_id } => {
            json!({ "document_id": document_id })
        }
        Refusal::KeyReused { key, space_id, type_name, position } => json!({
            "key": key.as_str(),
            "space_id": space_id,
            "event_type": type_name,
            "position": position,
        }),
        Refusal::ReservedType { name } => json!({ "event_type": name }),
        Refusal::KeyInPayload { key } => json!({ "key": key }),
        _ => json!({}),
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
