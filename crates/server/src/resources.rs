//! What there is under which path: one file a resource.

mod append;
mod commands;
mod contents;
mod documents;
mod event_pages;
mod events;
mod health;
mod jobs;
mod live_events;
mod metrics;
mod open_problem_row;
mod positions;
mod projections;
mod read_models;
mod root;
mod space;
mod spaces;
mod store_info;
mod subscriptions;

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    routing::{get, post},
};

pub(crate) use self::events::list as listed_events;
use self::{
    projections::{rebuilding, rows},
    subscriptions::{parked, receiving},
};
use crate::{app::App, problem::HttpProblem};

/// Every path that is answered.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::get))
        .route("/v1", get(root::get))
        .route("/v1/info", get(store_info::get))
        .route("/v1/events", get(events::list))
        .route("/v1/events/query", post(events::query))
        .route("/v1/events/{position}", get(events::one))
        .route("/v1/append", post(append::append))
        .route("/v1/position", get(positions::as_of))
        .route("/v1/occurrences", get(read_models::occurrences))
        .route("/v1/activity", get(read_models::activity))
        .route("/v1/problems", get(read_models::open_problems))
        .route("/v1/spaces", get(spaces::list))
        .route("/v1/spaces/{space}", get(space::state))
        .route("/v1/spaces/{space}/diff", get(space::diff))
        .route("/v1/spaces/{space}/history", get(events::history))
        .route("/v1/spaces/{space}/blame", get(space::blame))
        .route("/v1/spaces/{space}/batch", post(commands::batch))
        .route("/v1/spaces/{space}/{operation}", post(commands::one))
        .route("/v1/spaces/{space}/documents/{document}", get(documents::get))
        .route("/v1/spaces/{space}/documents/{document}/content", get(documents::content))
        .route("/v1/contents/{hash}", get(contents::get).put(contents::put))
        .route("/v1/projections", get(projections::list))
        .route("/v1/projections/rebuild", post(rebuilding::several))
        .route("/v1/projections/{name}", get(projections::get))
        .route("/v1/projections/{name}/rows", get(rows::list))
        .route("/v1/projections/{name}/rebuild", post(rebuilding::one))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::get).delete(jobs::cancel))
        .route("/v1/subscriptions", get(subscriptions::list))
        .route(
            "/v1/subscriptions/{name}",
            get(subscriptions::get).put(subscriptions::put).delete(subscriptions::delete),
        )
        .route("/v1/subscriptions/{name}/events", get(receiving::events))
        .route("/v1/subscriptions/{name}/ack", post(receiving::ack))
        .route("/v1/subscriptions/{name}/parked", get(parked::list).post(parked::park))
        .route("/v1/subscriptions/{name}/parked/{position}/retry", post(parked::retry))
        .route("/v1/subscriptions/{name}/parked/{position}/discard", post(parked::discard))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_path(uri: Uri) -> HttpProblem {
    let path: String = uri.path().chars().take(80).collect();
    HttpProblem::not_found("unknown_path", format_args!("there is nothing at {path}; see /v1"))
}

async fn no_such_method(method: Method) -> HttpProblem {
    let detail = format_args!("{method} is not taken here; Allow says what is");
    HttpProblem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
