//! `POST /v1/append`

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use spacefold::{
    AppendCondition, AppendError, Position, Receipt, Revision, SpaceEvent, Timestamp,
    event::{JsonReader, LimitExceeded, MAX_APPEND_EVENTS},
    log::{AppendRequest, LogReader},
};

use crate::{
    accept::MediaType,
    access::CallerAccess,
    answer::json,
    app::App,
    body::WholeBody,
    bounded::{Bounded, ObjectOf},
    condition::{self, WrittenCondition},
    entity_tag::CacheRule,
    parameters::Parameters,
    problem::HttpProblem,
    tokens::TokenRight,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAppend {
    events: Bounded<Box<RawValue>, MAX_APPEND_EVENTS>,
    #[serde(default)]
    condition: ObjectOf<WrittenCondition>,
}

#[derive(Serialize)]
pub(super) struct PrintedReceipt {
    first_position: Position,
    last_position: Position,
    revision: Revision,
    recorded_at: Timestamp,
    durable: bool,
    /// Whether the events were there before the request came.
    replayed: bool,
}

/// `POST /v1/append`
pub(super) async fn append(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Append)?;
    Parameters::of(&uri)?.finish()?;
    let log = app.writable()?.log().clone();
    if headers.contains_key("idempotency-key") {
        let detail = "an append is repeated under the ids of its events: give them event_id";
        return Err(HttpProblem::bad_request("unsupported_header", detail));
    }
    let taken = [MediaType::Json, MediaType::NdJson];
    let (media_type, body) = WholeBody::read(&app, &headers, body, &taken).await?;
    let (head, pending) = app
        .ask(move |_| {
            let (events, condition) = match media_type {
                MediaType::NdJson => (lines(&body.bytes)?, AppendCondition::none()),
                _ => written(&body, &access)?,
            };
            events.iter().try_for_each(|event| access.require_sight(&event.space_id))?;
            let condition = condition.and(condition::of_headers(&headers, || one_space(&events))?);
            let head = log.head();
            let pending = log.submit(&AppendRequest::new(&events).on(condition))?;
            Ok((head, pending))
        })
        .await?;
    let receipt = pending.await?;
    app.store().observe(&receipt);
    json(&PrintedReceipt::of(&receipt, head), CacheRule::NoStore)
}

impl PrintedReceipt {
    fn of(receipt: &Receipt, head_before: Position) -> Self {
        Self {
            first_position: receipt.first_position(),
            last_position: receipt.last_position(),
            revision: receipt.revision(),
            recorded_at: receipt.recorded_at(),
            durable: receipt.is_durable(),
            replayed: receipt.last_position() <= head_before,
        }
    }
}

fn written(
    body: &WholeBody,
    access: &CallerAccess,
) -> Result<(Vec<SpaceEvent>, AppendCondition), HttpProblem> {
    let written: WrittenAppend = body.parsed()?;
    let texts = written.events.0.iter().map(|event| event.get().as_bytes());
    Ok((events(texts)?, written.condition.0.condition(access)?))
}

/// The events of lines, of which empty ones are passed over.
fn lines(text: &[u8]) -> Result<Vec<SpaceEvent>, HttpProblem> {
    let lines = text.split(|byte| *byte == b'\n');
    events(lines.filter(|line| !line.trim_ascii().is_empty()))
}

fn events<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Result<Vec<SpaceEvent>, HttpProblem> {
    let reader = JsonReader::default();
    let mut events = Vec::new();
    for (index, text) in texts.enumerate() {
        if index == MAX_APPEND_EVENTS {
            // How many there are in all is not counted.
            let events = MAX_APPEND_EVENTS + 1;
            let limit = LimitExceeded::TooManyEvents { events };
            return Err(AppendError::Limit { index, limit }.into());
        }
        let read = reader.read(text);
        events.push(read.map_err(|error| HttpProblem::from(error).field("event", index))?.event);
    }
    Ok(events)
}

/// The space that all events are of.
fn one_space(events: &[SpaceEvent]) -> Result<String, HttpProblem> {
    let first = events.first().map(|event| &event.space_id);
    let is_one = first.is_some_and(|first| events.iter().all(|event| event.space_id == *first));
    first.filter(|_| is_one).cloned().ok_or_else(|| {
        let detail =
            "If-Match and If-None-Match are about one space: name several in the condition";
        HttpProblem::new(StatusCode::BAD_REQUEST, "invalid_condition", detail)
    })
}
