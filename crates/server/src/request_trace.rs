//! What is said of each request: its id, in the answer and in what is logged while it is answered, and
//! how long that took.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

use crate::{app::App, problem::UnsentProblem};

/// The header of the id, of requests and of answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id that a client gives.
const MAX_ID_CHARS: usize = 64;

/// Answers a request under its id: that of the client, or one that is made.
pub(crate) async fn trace(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = given_id(request.headers()).unwrap_or_else(|| app.request_ids().next());
    let method = request.method().clone();
    // The path as it is known by: what stands in it may be somebody's name.
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("unknown", MatchedPath::as_str);
    // Of a level that it is there at whichever level is logged.
    let span = tracing::error_span!("request", id = %id, %method, path);
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(UnsentProblem(problem)) = response.extensions_mut().remove() {
        *response.body_mut() = Body::from(problem.to_json_with(&id));
    }
    let _in_span = span.enter();
    tell(response.status(), begun.elapsed(), app.settings().slow_after);
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Logs a request in its span: its answer has begun by now.
fn tell(status: StatusCode, took: Duration, slow_after: Option<Duration>) {
    let (status, ms) = (status.as_u16(), took.as_secs_f64() * 1e3);
    if slow_after.is_some_and(|after| took >= after) {
        tracing::warn!(status, ms, "slow");
    } else if status >= 500 {
        tracing::warn!(status, ms, "failed");
    } else {
        tracing::info!(status, ms, "answered");
    }
}

/// The id that the client has given, if it is of a form that can stand anywhere.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_sane = (1..=MAX_ID_CHARS).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    is_sane.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_that_can_stand_anywhere() {
        let given = |id: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(id).unwrap());
            given_id(&headers)
        };
        let longest = "x".repeat(MAX_ID_CHARS);
        for sane in ["1", "a-B_c.d:9", &longest] {
            assert_eq!(given(sane.as_bytes()).as_deref(), Some(sane));
        }
        let longer = "x".repeat(MAX_ID_CHARS + 1);
        for other in ["", " ", "a b", "a\"", "a/b", "é", "\u{9b}", &longer] {
            assert_eq!(given(other.as_bytes()), None, "{other}");
        }
    }
}
