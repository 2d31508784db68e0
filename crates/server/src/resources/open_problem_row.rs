//! An open problem, as it is printed wherever it is listed.

use serde::Serialize;
use spacefold::{
    Position, Timestamp,
    projection::{OpenProblem, ProblemDetail},
};

/// An open problem: what only some kinds have is left out of the others.
#[derive(Serialize)]
pub(super) struct OpenProblemRow<'a> {
    space_id: &'a str,
    kind: &'static str,
    document_id: Option<&'a str>,
    since: Position,
    since_time: Timestamp,
    reported: Position,
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'a str>,
}

impl<'a> OpenProblemRow<'a> {
    pub(super) fn of(problem: &'a OpenProblem) -> Self {
        let mut printed = Self {
            space_id: &problem.space_id,
            kind: problem.kind().name(),
            document_id: problem.document_id.as_deref(),
            since: problem.since,
            since_time: problem.since_time,
            reported: problem.reported,
            source: problem.source.as_deref(),
            error: None,
            local_hash: None,
            remote_hash: None,
            reason: None,
            direction: None,
        };
        match &problem.detail {
            ProblemDetail::FailedRender { error } => printed.error = error.as_deref(),
            ProblemDetail::SyncConflict { local_hash, remote_hash } => {
                printed.local_hash = local_hash.as_deref();
                printed.remote_hash = remote_hash.as_deref();
            }
            ProblemDetail::StaleDocument { reason } => printed.reason = reason.as_deref(),
            ProblemDetail::RunningSync { direction } => printed.direction = direction.as_deref(),
            _ => {}
        }
        printed
    }
}
