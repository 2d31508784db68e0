//! `/v1/projections`: how they are doing, their rows, and folding them anew.

pub(super) mod rebuilding;
pub(super) mod rows;

use axum::{extract::State, http::Uri, response::Response};
use serde::Serialize;
use spacefold::{
    Position,
    projection::{PauseKind, ProjectionInfo},
};

use crate::{
    access::CallerAccess,
    answer::json,
    app::App,
    entity_tag::CacheRule,
    parameters::Parameters,
    path_ids::{PathIds, segment_of_id},
    problem::HttpProblem,
    served_store::ServedStore,
    tokens::TokenRight,
};

#[derive(Serialize)]
struct ListedProjection {
    name: &'static str,
    version: u32,
    position: Position,
    lag: u64,
    building: Option<PrintedBuilding>,
    paused: Option<PrintedProjectionPause>,
    skipped: Vec<Position>,
    href: String,
}

#[derive(Serialize)]
struct PrintedBuilding {
    version: u32,
    position: Position,
}

#[derive(Serialize)]
struct PrintedProjectionPause {
    position: Position,
    kind: PauseKind,
    /// It may quote an event: for who sees all.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct ListedProjections {
    projections: Vec<ListedProjection>,
}

impl ListedProjection {
    fn of(info: ProjectionInfo, access: &CallerAccess) -> Self {
        Self {
            href: format!("/v1/projections/{}", segment_of_id(info.name)),
            name: info.name,
            version: info.version,
            position: info.position,
            lag: info.lag,
            building: info
                .building
                .map(|it| PrintedBuilding { version: it.version, position: it.position }),
            paused: info.paused.map(|it| PrintedProjectionPause {
                position: it.position,
                kind: it.kind,
                reason: access.sees_everything().then_some(it.reason),
            }),
            skipped: info.skipped,
        }
    }
}

/// `GET /v1/projections`
pub(super) async fn list(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    Parameters::of(&uri)?.finish()?;
    let infos = app.ask(|store| Ok(store.projections().infos()?)).await?;
    let projections = infos.into_iter().map(|it| ListedProjection::of(it, &access)).collect();
    json(&ListedProjections { projections }, CacheRule::NoStore)
}

/// `GET /v1/projections/{name}`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let name = ids.id("name")?;
    Parameters::of(&uri)?.finish()?;
    let info = app.ask(move |store| info_of(store, &name)).await?;
    json(&ListedProjection::of(info, &access), CacheRule::NoStore)
}

fn info_of(store: &ServedStore, name: &str) -> Result<ProjectionInfo, HttpProblem> {
    let infos = store.projections().infos()?;
    let known: Vec<&str> = infos.iter().map(|info| info.name).collect();
    let unknown = unknown(name, &known);
    infos.into_iter().find(|info| info.name == name).ok_or(unknown)
}

fn unknown(name: &str, known: &[&str]) -> HttpProblem {
    let detail = format_args!("there is no projection {name:?}");
    HttpProblem::not_found("unknown_projection", detail).field("known", known)
}
