//! `/v1/jobs`

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    access::CallerAccess,
    answer::json,
    app::App,
    entity_tag::CacheRule,
    jobs::{Job, PrintedJob},
    parameters::{Parameters, invalid},
    path_ids::PathIds,
    problem::HttpProblem,
    tokens::TokenRight,
};

#[derive(Serialize)]
struct PrintedJobs {
    jobs: Vec<PrintedJob>,
}

/// `GET /v1/jobs`
pub(super) async fn list(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    Parameters::of(&uri)?.finish()?;
    json(&PrintedJobs { jobs: app.jobs().list() }, CacheRule::NoStore)
}

/// `GET /v1/jobs/{id}`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    let mut given = Parameters::of(&uri)?;
    let wait = given.duration("wait")?.unwrap_or_default();
    given.finish()?;
    let most = app.limits().max_wait;
    if wait > most {
        return Err(invalid("wait", format_args!("at most {} s are waited", most.as_secs())));
    }
    let job = app.jobs().of(ids.text("id"))?;
    if !wait.is_zero() {
        let _leave = app.stream()?;
        // Either way it is told how far it is.
        let _ = timeout(wait, job.ended()).await;
    }
    json(&job.printed(), CacheRule::NoStore)
}

/// `DELETE /v1/jobs/{id}`
pub(super) async fn cancel(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    Parameters::of(&uri)?.finish()?;
    let job = app.jobs().of(ids.text("id"))?;
    job.cancel();
    accepted(&job)
}

/// The answer to a request that goes on as a job.
pub(super) fn accepted(job: &Job) -> Result<Response, HttpProblem> {
    let printed = job.printed();
    let mut answer = json(&printed, CacheRule::NoStore)?;
    *answer.status_mut() = StatusCode::ACCEPTED;
    if let Ok(place) = HeaderValue::from_str(&printed.href) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    Ok(answer)
}
