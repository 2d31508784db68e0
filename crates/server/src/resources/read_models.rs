//! What the projections say that come with a store: where a content is, how many events there were, and
//! what is to be looked after.

use axum::{extract::State, http::Uri, response::Response};
use spacefold::{
    event::{TypePattern, TypeSelection},
    projection::{ActivityFilter, ProblemFilter, ProblemKind},
};

use super::open_problem_row::OpenProblemRow;
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
            printed(&seen.map(OpenProblemRow::of).collect::<Vec<_>>())
        })
        .await?;
    Ok(answer(MediaType::Json, body, CacheRule::NoStore))
}
