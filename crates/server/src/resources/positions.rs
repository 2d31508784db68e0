//! `/v1/position`

use axum::{extract::State, http::Uri, response::Response};
use serde::Serialize;
use spacefold::{Position, Timestamp};

use crate::{
    access::CallerAccess,
    answer::json,
    app::App,
    entity_tag::CacheRule,
    parameters::{Parameters, invalid},
    problem::HttpProblem,
    tokens::TokenRight,
};

#[derive(Serialize)]
struct PrintedPosition {
    position: Position,
}

/// `GET /v1/position`: of the last event that was recorded at a time or before.
pub(super) async fn as_of(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let mut given = Parameters::of(&uri)?;
    let time: Option<Timestamp> = given.value("as_of")?;
    given.finish()?;
    let time = time.ok_or_else(|| invalid("as_of", "it is missing"))?;
    let position = app.ask(move |store| Ok(store.at(time).position()?)).await?;
    json(&PrintedPosition { position }, CacheRule::NoStore)
}
