//! What the projections say that come with a store: where a content is, how many events there were, and
//! what is to be looked after.

use axum::{extract::State, http::Uri, response::Response};
use serde::Serialize;
use spacefold::{
    Position, Timestamp,
    event::{TypePattern, TypeSelection},
    projection::{ActivityFilter, OpenProblem, ProblemDetail, ProblemFilter, ProblemKind},
};

use crate::{
    accept::MediaType,
    access::CallerAccess,
    answer::{answer, printed},
    app::App,
    entity_tag::CacheRule,
    parameters::{Parameters, invalid},
    problem::HttpProblem,
    tokens::TokenRight,
};

/// `GET /v1/occurrences`: the documents that have or had a content.
pub(super) async fn occurrences(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let mut given = Parameters::of(&uri)?;
    let hash = given.text("hash")?.ok_or_else(|| invalid("hash", "it is missing"))?;
    given.finish()?;
    let body = app
        .ask(move |store| {
            let mut found = store.projections().occurrences(&hash)?;
            found.retain(|occurrence| access.sees(&occurrence.space_id));
            printed(&found)
        })
        .await?;
    Ok(answer(MediaType::Json, body, CacheRule::NoStore))
}

/// `GET /v1/activity`: how many events there were, by day, type and source.
pub(super) async fn activity(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    // It counts those of all spaces.
    access.require_everywhere(TokenRight::Read)?;
    let mut given = Parameters::of(&uri)?;
    let types = given.all("type");
    let types = types.iter().map(|name| name.parse::<TypePattern>());
    let types = types.collect::<Result<Vec<_>, _>>().map_err(|error| invalid("type", error))?;
    let filter = ActivityFilter {
        from: given.value("from")?,
        to: given.value("to")?,
        types: if types.is_empty() { TypeSelection::ALL } else { TypeSelection::of(types) },
        tag: given.text("tag")?,
    };
    given.finish()?;
    let body =
        app.ask(move |store| printed(&store.projections().activity()?.counts(&filter)?)).await?;
    Ok(answer(MediaType::Json, body, CacheRule::NoStore))
}

#[derive(Serialize)]
struct PrintedTrouble<'a> {
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

impl<'a> PrintedTrouble<'a> {
    fn of(problem: &'a OpenProblem) -> Self {
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

/// `GET /v1/problems`: what is to be looked after.
pub(super) async fn open_problems(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let mut given = Parameters::of(&uri)?;
    let space_id = given.text("space")?;
    let kind = given.text("kind")?;
    given.finish()?;
    if let Some(space_id) = &space_id {
        access.require_sight(space_id)?;
    }
    let kind = kind.map(|name| {
        let known = ProblemKind::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| invalid("kind", "there are no problems of this kind"))
    });
    let filter = ProblemFilter { space_id, kind: kind.transpose()? };
    let body = app
        .ask(move |store| {
            let found = store.projections().open_problems()?.problems(&filter)?;
            let seen = found.iter().filter(|problem| access.sees(&problem.space_id));
            printed(&seen.map(PrintedTrouble::of).collect::<Vec<_>>())
        })
        .await?;
    Ok(answer(MediaType::Json, body, CacheRule::NoStore))
}
