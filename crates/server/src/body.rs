//! The bodies of requests that are read whole: typed, limited in bytes and in time.

use std::{future::poll_fn, pin::pin};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
};
use http_body::Body as _;
use serde::de::DeserializeOwned;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{accept::MediaType, app::App, bounded::ObjectOf, problem::HttpProblem};

/// The bytes of a body, and the room that is held for them.
pub(crate) struct WholeBody {
    pub(crate) bytes: Vec<u8>,
    _room: Vec<OwnedSemaphorePermit>,
}

pub(crate) fn too_large(limit: u64) -> HttpProblem {
    let detail = format_args!("the body has more than {limit} bytes, the limit here");
    HttpProblem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail).field("limit", limit)
}

pub(crate) fn too_slow() -> HttpProblem {
    let detail = "the body did not arrive in time";
    HttpProblem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail).retryable()
}

/// The next bytes of a body; `None` at its end.
pub(crate) async fn next_bytes(body: &mut Body) -> Result<Option<Bytes>, HttpProblem> {
    let mut body = pin!(body);
    loop {
        let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await else {
            return Ok(None);
        };
        let broken = |error| HttpProblem::bad_request("body_broken", error);
        // Trailers say nothing here.
        if let Ok(bytes) = frame.map_err(broken)?.into_data() {
            return Ok(Some(bytes));
        }
    }
}

impl WholeBody {
    /// Reads a body whose form is one of those that are taken.
    pub(crate) async fn read(
        app: &App,
        headers: &HeaderMap,
        body: Body,
        taken: &[MediaType],
    ) -> Result<(MediaType, Self), HttpProblem> {
        let media_type = content_type(headers, taken)?;
        let whole = timeout(app.limits().body_timeout, Self::collect(app, body)).await;
        Ok((media_type, whole.map_err(|_| too_slow())??))
    }

    async fn collect(app: &App, mut body: Body) -> Result<Self, HttpProblem> {
        let limit = app.limits().max_body_bytes;
        let mut whole = Self { bytes: Vec::new(), _room: Vec::new() };
        let mut room = 0;
        while let Some(bytes) = next_bytes(&mut body).await? {
            let total = whole.bytes.len().saturating_add(bytes.len());
            if total > limit {
                return Err(too_large(u64::try_from(limit).unwrap_or(u64::MAX)));
            }
            if total > room {
                // What a growing vector may take, so that few permits are held.
                let more = total.next_power_of_two().saturating_sub(room);
                whole._room.push(app.room_for(more)?);
                room += more;
            }
            whole.bytes.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    /// The body as JSON of a known form.
    pub(crate) fn parsed<T: DeserializeOwned>(&self) -> Result<T, HttpProblem> {
        let parsed = serde_json::from_slice::<ObjectOf<T>>(&self.bytes);
        parsed
            .map(|ObjectOf(parsed)| parsed)
            .map_err(|error| HttpProblem::bad_request("invalid_body", error))
    }
}

/// The form of the body, as `Content-Type` names it. There is no default: what a form of another site
/// may send without being asked names another one.
fn content_type(headers: &HeaderMap, taken: &[MediaType]) -> Result<MediaType, HttpProblem> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let said = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = said.split(';').next().unwrap_or_default().trim();
    let found = taken.iter().copied().find(|it| it.name().eq_ignore_ascii_case(name));
    found.filter(|_| values.next().is_none()).ok_or_else(|| {
        let names: Vec<&str> = taken.iter().map(|it| it.name()).collect();
        let detail = format!("the body is to be {}, as Content-Type says", names.join(" or "));
        HttpProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
            .field("taken", names)
    })
}
