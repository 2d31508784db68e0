//! `POST /v1/spaces/{space}/{operation}`, and several of them at once.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use spacefold::{
    CommandError, Refusal, Value,
    command::{Outcome, PendingOutcome},
    event::{MAX_APPEND_EVENTS, Object},
};

use crate::{
    accept::MediaType,
    access::CallerAccess,
    answer::json,
    app::App,
    body::WholeBody,
    command_fields::{PrintedCommand, command_of, object_of, service_for},
    condition,
    entity_tag::CacheRule,
    parameters::Parameters,
    path_ids::PathIds,
    problem::HttpProblem,
    tokens::TokenRight,
};

/// `POST /v1/spaces/{space}/{operation}`
pub(super) async fn one(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    let operation = ids.text("operation").to_owned();
    command(app, &access, &ids, &uri, headers, body, move |service, space_id, given| {
        Ok(service.submit(space_id, command_of(&operation, given)?))
    })
    .await
}

/// `POST /v1/spaces/{space}/batch`: `{"commands": [{"operation": …, …}]}`
pub(super) async fn batch(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    command(app, &access, &ids, &uri, headers, body, |service, space_id, mut given| {
        let mut batch = service.batch(space_id);
        for (index, command) in commands_of(&mut given)?.into_iter().enumerate() {
            let command = batched(command).map_err(|problem| problem.field("command", index))?;
            batch = batch.then(command);
        }
        Ok(batch.submit())
    })
    .await
}

fn commands_of(given: &mut Object) -> Result<Vec<Value>, HttpProblem> {
    let malformed = |detail: &str| HttpProblem::bad_request("invalid_body", detail);
    let commands = given.remove("commands");
    let Some(Value::Array(commands)) = commands else {
        return Err(malformed("a batch is an object with a list of commands"));
    };
    if !given.is_empty() {
        return Err(malformed("a batch has commands, and what is said of all of them"));
    }
    if commands.len() > MAX_APPEND_EVENTS {
        let detail = format_args!("a batch has at most {MAX_APPEND_EVENTS} commands");
        return Err(HttpProblem::bad_request("limit_exceeded", detail));
    }
    Ok(commands)
}

fn batched(command: Value) -> Result<spacefold::command::Command, HttpProblem> {
    let malformed = || {
        let detail = "a command of a batch is an object with its operation, a text";
        HttpProblem::bad_request("invalid_body", detail)
    };
    let Value::Object(mut command) = command else { return Err(malformed()) };
    let Some(Value::String(operation)) = command.remove("operation") else {
        return Err(malformed());
    };
    let made = command_of(&operation, command);
    made.map_err(|problem| match problem.code() {
        "unknown_operation" => problem.status(StatusCode::BAD_REQUEST),
        _ => problem,
    })
}

async fn command(
    app: App,
    access: &CallerAccess,
    ids: &PathIds,
    uri: &Uri,
    headers: HeaderMap,
    body: Body,
    submit: impl FnOnce(&spacefold::SpaceService, &str, Object) -> Result<PendingOutcome, HttpProblem>
    + Send
    + 'static,
) -> Result<Response, HttpProblem> {
    let space_id = ids.id("space")?;
    access.require_of(TokenRight::Command, &space_id)?;
    let granted = access.clone();
    Parameters::of(uri)?.finish()?;
    let service = app.writable()?.service().clone();
    let (_, body) = WholeBody::read(&app, &headers, body, &[MediaType::Json]).await?;
    let pending = app
        .ask(move |_| {
            let mut given = object_of(&body)?;
            let of_headers = condition::of_headers(&headers, || Ok(space_id.clone()))?;
            let service = service_for(&service, &headers, &mut given, of_headers, &granted)?;
            submit(&service, &space_id, given)
        })
        .await?;
    let outcome: Outcome = pending.await.map_err(|error| shown(error, access))?;
    json(
        &PrintedCommand {
            events: outcome.events(),
            revision: outcome.revision(),
            unchanged: outcome.is_unchanged(),
            durable: outcome.is_durable(),
            replayed: outcome.is_repeated(),
        },
        CacheRule::NoStore,
    )
}

/// Why a command did not happen, as its caller is told: keys are of the whole log, and what stands
/// under one may be of a space that the caller does not see.
fn shown(error: CommandError, access: &CallerAccess) -> HttpProblem {
    match error.refusal() {
        Some(Refusal::KeyReused { space_id, .. }) if !access.sees(space_id) => {
            let detail = "the idempotency key was given to another command";
            HttpProblem::new(StatusCode::CONFLICT, "key_reused", detail)
        }
        _ => error.into(),
    }
}
