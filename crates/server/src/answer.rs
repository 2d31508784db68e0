//! Answers that went well.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use crate::{
    accept::MediaType,
    entity_tag::{CacheRule, EntityTag},
    problem::HttpProblem,
};

/// An answer of this form.
pub(crate) fn answer(media_type: MediaType, body: impl Into<Body>, cache: CacheRule) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type.name()));
    headers.insert(header::CACHE_CONTROL, cache.header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer that may be of another form for another `Accept`.
pub(crate) fn negotiated_answer(
    media_type: MediaType,
    body: impl Into<Body>,
    cache: CacheRule,
) -> Response {
    let mut response = answer(media_type, body, cache);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// An answer of JSON.
pub(crate) fn json(value: &impl Serialize, cache: CacheRule) -> Result<Response, HttpProblem> {
    Ok(answer(MediaType::Json, printed(value)?, cache))
}

/// A value as JSON, on one line.
pub(crate) fn printed(value: &impl Serialize) -> Result<Vec<u8>, HttpProblem> {
    serde_json::to_vec(value).map_err(|error| HttpProblem::internal("internal", error))
}

/// The answer with what it is known by, or, to a client that has it, that it still holds.
pub(crate) fn tagged(
    request: &HeaderMap,
    tag: &EntityTag,
    cache: CacheRule,
    answer: impl FnOnce() -> Result<Response, HttpProblem>,
) -> Result<Response, HttpProblem> {
    let mut response = if tag.is_known_to(request) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::CACHE_CONTROL, cache.header());
        response
    } else {
        answer()?
    };
    response.headers_mut().insert(header::ETAG, tag.header());
    Ok(response)
}
