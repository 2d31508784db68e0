//! `/healthz` and `/readyz`

use axum::{extract::State, response::Response};
use serde::Serialize;
use spacefold::{Position, log::ReadRequest};

use crate::{
    answer::json, app::App, entity_tag::CacheRule, problem::HttpProblem, served_store::ServedStore,
};

#[derive(Serialize)]
struct PrintedHealth {
    status: &'static str,
}

#[derive(Serialize)]
struct PrintedReadiness {
    ready: bool,
    /// Whether appends are taken.
    appends: bool,
}

/// The process answers: nothing else is looked at.
pub(super) async fn live() -> Result<Response, HttpProblem> {
    json(&PrintedHealth { status: "ok" }, CacheRule::NoStore)
}

/// Requests are welcome: the store is open, and this is not the end.
pub(super) async fn ready(State(app): State<App>) -> Result<Response, HttpProblem> {
    if app.settings().drain.has_started() {
        return Err(HttpProblem::unavailable("draining", "the server is about to end"));
    }
    let is_writable = app.writable().is_ok();
    let appends = app
        .ask(move |store| {
            // A store that is closed says so.
            store.log().read(&ReadRequest::from(Position::new(1)).limit(1))?;
            Ok(match store {
                ServedStore::Open(spaces) => is_writable && spaces.log().known_refusal().is_none(),
                ServedStore::Followed(_) => false,
            })
        })
        .await?;
    json(&PrintedReadiness { ready: true, appends }, CacheRule::NoStore)
}
