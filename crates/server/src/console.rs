//! The console: its pages, made of the store; who looks has a session, and what is changed is changed
//! by forms of its own.

mod forms;
mod health;
mod live;
mod login;
mod page;
mod projections;
mod space;
mod space_steps;
mod store;
mod subscriptions;
mod trace;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
    routing::{get, post},
};
use spacefold_console::Asset;

pub(crate) use self::{
    login::{OPEN_PATHS, session_of},
    page::refused,
};
use crate::{app::App, entity_tag::EntityTag, path_ids::PathIds, problem::HttpProblem, resources};

/// The pages, as navigation and forms name them.
const PAGES: [&str; 8] =
    ["/", "/space", "/live", "/trace", "/subscriptions", "/projections", "/health", "/login"];

/// Whether a path is one of the console.
pub(crate) fn has_path(path: &str) -> bool {
    PAGES.contains(&path) || path.starts_with("/console/") || path.starts_with("/assets/")
}

/// Every path of the console.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(store::get))
        .route("/space", get(space::get))
        .route("/live", get(live::get))
        .route("/trace", get(trace::get))
        .route("/subscriptions", get(subscriptions::get))
        .route("/projections", get(projections::get))
        .route("/health", get(health::get))
        .route("/login", get(login::ask))
        .route("/assets/{name}", get(asset))
        .route("/console/events", get(resources::listed_events))
        .route("/console/login", post(login::log_in))
        .route("/console/logout", post(login::log_out))
        .route("/console/subscriptions/{change}", post(subscriptions::change))
        .route("/console/projections/{change}", post(projections::change))
        .route("/console/verify", post(health::verify))
}

async fn asset(
    State(_): State<App>,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    let Some(asset) = Asset::named(ids.text("name")) else {
        return Err(HttpProblem::not_found(
            "unknown_path",
            format_args!("no asset at {}", uri.path()),
        ));
    };
    let tag = EntityTag::of_content(spacefold::content::ContentHash::of(asset.bytes));
    crate::answer::tagged(&headers, &tag, crate::entity_tag::CacheRule::Revalidate, || {
        let mut response = Response::new(Body::from(asset.bytes));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    })
}
