//! The errors of reading, appending and content, as problems.

use axum::http::StatusCode;
use serde_json::{Value, json};
use spacefold::{
    AppendError, Position, ReadError, SnapshotError, StorageError, SubscribeError,
    content::{ContentAtError, ContentError},
    event::{JsonError, LimitExceeded},
    log::{ExpectedRevision, FailedCondition, StorageErrorKind},
    projection::CatchUpError,
    subscribe::{ReceiveError, SnapshotStreamError},
};

use super::HttpProblem;

impl HttpProblem {
    pub(crate) fn beyond_head(asked: Position, head: Position) -> Self {
        let detail =
            format_args!("position {asked} is beyond the head of the log, which is {head}");
        Self::not_found("beyond_head", detail).field("asked", asked).field("head", head)
    }

    pub(crate) fn unknown_space(space_id: &str) -> Self {
        let detail = format_args!("there is no space {space_id:?}");
        Self::not_found("unknown_space", detail).field("space_id", space_id)
    }

    /// What is said of a store that takes nothing until it is opened again.
    fn refuses(kind: StorageErrorKind, detail: impl std::fmt::Display) -> Self {
        Self::unavailable("store_refuses", detail).field("reason", kind.name())
    }

    /// Parts of a condition that do not hold.
    pub(crate) fn condition_failed(detail: impl std::fmt::Display, failed: Vec<Value>) -> Self {
        let status = StatusCode::PRECONDITION_FAILED;
        Self::new(status, "condition_failed", detail).field("failed", failed)
    }
}

impl From<StorageError> for HttpProblem {
    fn from(error: StorageError) -> Self {
        Self::internal("storage", &error).retryable().field("reason", error.kind().name())
    }
}

impl From<ReadError> for HttpProblem {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Corrupt { position, .. } => {
                Self::internal("corrupt", &error).field("position", position)
            }
            ReadError::NothingGiven { position, to } => {
                Self::internal("nothing_given", &error).field("position", position).field("to", to)
            }
            ReadError::Query(limit) => limit.into(),
            ReadError::Storage(storage) => storage.clone().into(),
            ReadError::Closed => Self::unavailable("closed", &error),
            _ => Self::internal("read", &error),
        }
    }
}

/// What is beyond a limit is never stored.
impl From<&LimitExceeded> for HttpProblem {
    fn from(limit: &LimitExceeded) -> Self {
        let (status, code) = match limit {
            LimitExceeded::EventTooLarge { .. }
            | LimitExceeded::TooManyEvents { .. }
            | LimitExceeded::AppendTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded")
            }
            LimitExceeded::TypeName(_) => (StatusCode::BAD_REQUEST, "unknown_event_type"),
            _ => (StatusCode::BAD_REQUEST, "limit_exceeded"),
        };
        Self::new(status, code, limit)
    }
}

impl From<SnapshotError> for HttpProblem {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::UnknownSpace { space_id } => Self::unknown_space(&space_id),
            SnapshotError::BeyondHead { asked, head } => Self::beyond_head(asked, head),
            SnapshotError::Read(error) => error.into(),
            SnapshotError::TimedOut { position, durable_head } => {
                Self::unavailable("timed_out", SnapshotError::TimedOut { position, durable_head })
                    .field("position", position)
                    .field("durable_head", durable_head)
            }
            SnapshotError::Storage(error) => error.into(),
            other => Self::internal("state", other),
        }
    }
}

impl From<ContentError> for HttpProblem {
    fn from(error: ContentError) -> Self {
        match &error {
            ContentError::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &error)
            }
            ContentError::Missing { hash } => {
                Self::not_found("content_missing", &error).field("hash", hash)
            }
            ContentError::Damaged { hash, .. } => {
                Self::internal("content_damaged", &error).field("hash", hash)
            }
            ContentError::Refused { kind, .. } => Self::refuses(*kind, &error),
            ContentError::Storage(storage) => storage.clone().into(),
            ContentError::Closed => Self::unavailable("closed", &error),
            _ => Self::internal("content", &error),
        }
    }
}

impl From<ContentAtError> for HttpProblem {
    fn from(error: ContentAtError) -> Self {
        match error {
            ContentAtError::Snapshot(error) => error.into(),
            ContentAtError::Content(error) => error.into(),
            ContentAtError::UnknownDocument { .. } => Self::not_found("unknown_document", &error),
            ContentAtError::NoContent { .. } => Self::not_found("no_content", &error),
            ContentAtError::ForeignHash { .. } => Self::not_found("foreign_hash", &error),
            other => Self::internal("content", &other),
        }
    }
}

impl From<CatchUpError> for HttpProblem {
    fn from(error: CatchUpError) -> Self {
        match error {
            CatchUpError::Read(error) => error.into(),
            other => Self::internal("projection", &other),
        }
    }
}

impl From<SubscribeError> for HttpProblem {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::BeyondHead { asked, head } => Self::beyond_head(asked, head),
            SubscribeError::Read(error) => error.into(),
            SubscribeError::Storage(error) => error.into(),
            SubscribeError::Unknown { name } => {
                let detail = SubscribeError::Unknown { name: name.clone() };
                Self::not_found("unknown_subscription", detail).field("subscription", name)
            }
            other => Self::internal("subscribe", &other),
        }
    }
}

impl From<SnapshotStreamError> for HttpProblem {
    fn from(error: SnapshotStreamError) -> Self {
        match error {
            SnapshotStreamError::Snapshot(error) => error.into(),
            SnapshotStreamError::Subscribe(error) => error.into(),
            other => Self::internal("subscribe", &other),
        }
    }
}

impl From<ReceiveError> for HttpProblem {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Read(error) => error.into(),
            closed => Self::unavailable("closed", &closed),
        }
    }
}

impl From<AppendError> for HttpProblem {
    fn from(error: AppendError) -> Self {
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, &error);
        match &error {
            AppendError::Empty => Self::bad_request("empty_append", &error),
            AppendError::Limit { index, limit } => Self::from(limit).field("event", index),
            AppendError::ReservedType { index, name } => {
                let problem = Self::bad_request("reserved_type", &error);
                problem.field("event", index).field("event_type", name)
            }
            AppendError::DuplicateEventId { id } => {
                Self::bad_request("duplicate_event_id", &error).field("event_id", id)
            }
            AppendError::EventIdReused { id, position } => {
                conflict("event_id_reused").field("event_id", id).field("position", position)
            }
            AppendError::DuplicateOrigin { .. } => Self::bad_request("duplicate_origin", &error),
            AppendError::OriginReused { position, .. } => {
                conflict("origin_reused").field("position", position)
            }
            AppendError::ConditionFailed { failed } => {
                let parts = failed.iter().map(failed_part).collect();
                Self::condition_failed(&error, parts)
            }
            AppendError::Refused { kind, .. } => Self::refuses(*kind, &error),
            AppendError::OutcomeUnknown(cause) => Self::unavailable("outcome_unknown", &error)
                .with_unknown_effects()
                .field("reason", cause.kind().name()),
            AppendError::Unreadable(cause) => cause.clone().into(),
            AppendError::Closed => Self::unavailable("closed", &error),
            _ => Self::internal("append", &error),
        }
    }
}

impl From<JsonError> for HttpProblem {
    fn from(error: JsonError) -> Self {
        match &error {
            JsonError::Limit(limit) => limit.into(),
            JsonError::UnknownEventType(_) => Self::bad_request("unknown_event_type", &error),
            JsonError::TooLong { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &error)
            }
            _ => Self::bad_request("invalid_event", &error),
        }
    }
}

/// A part of a condition, with what was found instead.
pub(crate) fn failed_part(part: &FailedCondition) -> Value {
    match part {
        FailedCondition::Revision { space_id, expected, current } => json!({
            "space_id": space_id,
            "expected": match expected {
                ExpectedRevision::Any => json!("any"),
                ExpectedRevision::NoSpace => json!("none"),
                ExpectedRevision::Exists => json!("exists"),
                ExpectedRevision::Exact(revision) => json!(revision),
            },
            "revision": current,
        }),
        FailedCondition::EventMatches { after, position, event_id } => json!({
            "no_event_matching_after": after,
            "position": position,
            "event_id": event_id,
        }),
        other => json!({ "detail": other.to_string() }),
    }
}
