//! What there is under which path: one file a resource.

mod append;
mod commands;
mod contents;
mod documents;
mod event_pages;
mod events;
mod health;
mod live_events;
mod positions;
mod read_models;
mod root;
mod space;
mod spaces;
mod store_info;

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    routing::{get, post},
};

pub(crate) use self::events::list as listed_events;
use crate::{app::App, problem::HttpProblem};

/// Every path that is answered.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
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
