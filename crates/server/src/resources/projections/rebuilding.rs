//! Folding projections anew, or comparing them with the events, as a job.

use std::num::{NonZeroU64, NonZeroUsize};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use serde::{Deserialize, Serialize};
use spacefold::{
    Position, Spacefold,
    admin::{Divergence, RebuildError, RebuildMode, RebuildOptions, RebuildOutcome, Resume},
};

use super::info_of;
use crate::{
    accept::MediaType,
    access::CallerAccess,
    app::App,
    body::WholeBody,
    bounded::Bounded,
    jobs::{Job, JobEnd},
    parameters::Parameters,
    path_ids::PathIds,
    problem::HttpProblem,
    resources::jobs::accepted,
    served_store::ServedStore,
    tokens::TokenRight,
};

/// Names of projections in one request.
const MAX_NAMES: usize = 1_000;

/// Threads that fold for one request.
const MAX_THREADS: usize = 64;

/// Memory that new states may take, in bytes.
const MAX_MEMORY_BYTES: u64 = 64 << 30;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenRebuild {
    /// All, where there are none.
    names: Bounded<String, MAX_NAMES>,
    /// Compares only.
    check: bool,
    restart: bool,
    threads: Option<NonZeroUsize>,
    /// Events in a second.
    max_rate: Option<NonZeroU64>,
    memory_bytes: Option<NonZeroU64>,
}

#[derive(Serialize)]
struct RebuildResult {
    head: Position,
    projections: Vec<RebuiltProjection>,
}

#[derive(Serialize)]
struct RebuiltProjection {
    name: &'static str,
    version: u32,
    events: u64,
    seconds: f64,
    entries: u64,
    old_hash: Option<String>,
    new_hash: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_divergence: Option<Divergence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_from: Option<Position>,
}

impl From<RebuildOutcome> for RebuiltProjection {
    fn from(outcome: RebuildOutcome) -> Self {
        Self {
            name: outcome.name,
            version: outcome.version,
            events: outcome.events,
            seconds: outcome.seconds,
            entries: outcome.entries,
            old_hash: outcome.old_hash,
            new_hash: outcome.new_hash,
            verdict: outcome.verdict.name(),
            first_divergence: outcome.first_divergence,
            resumed_from: outcome.resumed_from,
        }
    }
}

/// `POST /v1/projections/{name}/rebuild`
pub(in crate::resources) async fn one(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    let name = ids.id("name")?;
    let mut how = written(&app, &uri, &headers, body).await?;
    if !how.names.0.is_empty() {
        let detail = "the projection is named by the path";
        return Err(HttpProblem::bad_request("invalid_body", detail));
    }
    how.names.0.push(name);
    start(&app, how).await
}

/// `POST /v1/projections/rebuild`
pub(in crate::resources) async fn several(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    let how = written(&app, &uri, &headers, body).await?;
    start(&app, how).await
}

async fn written(
    app: &App,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<WrittenRebuild, HttpProblem> {
    Parameters::of(uri)?.finish()?;
    let (_, body) = WholeBody::read(app, headers, body, &[MediaType::Json]).await?;
    let how: WrittenRebuild = body.parsed()?;
    let is_too_much = how.names.0.len() > MAX_NAMES
        || how.threads.is_some_and(|threads| threads.get() > MAX_THREADS)
        || how.memory_bytes.is_some_and(|bytes| bytes.get() > MAX_MEMORY_BYTES);
    if is_too_much {
        let detail = format_args!(
            "a rebuild has at most {MAX_NAMES} names, {MAX_THREADS} threads and {MAX_MEMORY_BYTES} \
             bytes of memory"
        );
        return Err(HttpProblem::bad_request("invalid_body", detail));
    }
    Ok(how)
}

async fn start(app: &App, how: WrittenRebuild) -> Result<Response, HttpProblem> {
    // What compares changes nothing, and reads a generation that only the owner has.
    let spaces = match app.store() {
        ServedStore::Open(spaces) if how.check => spaces.clone(),
        ServedStore::Followed(_) if how.check => {
            let detail = "a store that is followed has no projections of its own to be compared";
            return Err(HttpProblem::new(StatusCode::FORBIDDEN, "read_only", detail));
        }
        _ => app.writable()?.clone(),
    };
    let asked = how.names.0.clone();
    let head = app
        .ask(move |store| {
            asked.iter().try_for_each(|name| info_of(store, name).map(drop))?;
            Ok(store.durable_head())
        })
        .await?;
    let kind = if how.check { "check" } else { "rebuild" };
    let drain = &app.settings().drain;
    let work = move |job: &Job| rebuild(&spaces, &how, job);
    let job = app.jobs().start((kind, head.get()), drain, work)?;
    accepted(&job)
}

fn rebuild(spaces: &Spacefold, how: &WrittenRebuild, job: &Job) -> JobEnd {
    let mode = if how.check { RebuildMode::Check } else { RebuildMode::Replace };
    let defaults = RebuildOptions::new(mode);
    let progress = |events| job.progress(events);
    let options = RebuildOptions {
        threads: how.threads.unwrap_or(defaults.threads),
        progress: &progress,
        resume: if how.restart { Resume::Restart } else { Resume::GoOn },
        max_rate: how.max_rate,
        memory_bytes: how.memory_bytes.map_or(defaults.memory_bytes, NonZeroU64::get),
        cancel: Some(job.cancelled()),
        ..defaults
    };
    let head = spaces.durable_head();
    match spaces.admin().rebuild(&how.names.0, &options) {
        Ok(outcomes) => {
            let projections = outcomes.into_iter().map(RebuiltProjection::from).collect();
            let printed = serde_json::to_value(RebuildResult { head, projections });
            match printed {
                Ok(printed) => JobEnd::Done(printed),
                Err(error) => JobEnd::Failed(HttpProblem::internal("internal", error)),
            }
        }
        Err(RebuildError::Cancelled) => JobEnd::Cancelled,
        Err(error) => JobEnd::Failed(error.into()),
    }
}

impl From<RebuildError> for HttpProblem {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::UnknownProjection { name, known } => super::unknown(&name, &known),
            RebuildError::Undecodable { name, cause } => {
                let position = cause.position;
                let error = RebuildError::Undecodable { name, cause };
                Self::internal("projection_refuses", error)
                    .field("projection", name)
                    .field("position", position)
            }
            RebuildError::CatchUp(error) => error.into(),
            RebuildError::Read(error) => error.into(),
            RebuildError::Storage(error) => error.into(),
            other => Self::internal("projection", &other),
        }
    }
}
