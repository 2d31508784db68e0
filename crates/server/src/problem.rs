//! How requests fail: a problem in the form of RFC 9457, with a code for programs.

mod of_commands;
mod of_store;

use std::{error::Error, fmt, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not done, as its client is told.
#[derive(Clone, Debug)]
pub(crate) struct HttpProblem(Box<ProblemParts>);

#[derive(Clone, Debug)]
struct ProblemParts {
    status: StatusCode,
    code: &'static str,
    detail: String,
    is_retryable: bool,
    may_have_effects: bool,
    fields: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpProblem {
    /// A problem that had no effect, and that the same request meets again.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl fmt::Display) -> Self {
        Self(Box::new(ProblemParts {
            status,
            code,
            detail: detail.to_string(),
            is_retryable: false,
            may_have_effects: false,
            fields: Map::new(),
            headers: Vec::new(),
        }))
    }

    /// One that the same request may not meet again, after a second.
    pub(crate) fn unavailable(code: &'static str, detail: impl fmt::Display) -> Self {
        let second = HeaderValue::from_static("1");
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.retryable().header(header::RETRY_AFTER, second)
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// What other requests stand against.
    pub(crate) fn conflict(code: &'static str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(crate) fn not_found(code: &'static str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// What is no fault of the request.
    pub(crate) fn internal(code: &'static str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail)
    }

    pub(crate) fn retryable(mut self) -> Self {
        self.0.is_retryable = true;
        self
    }

    /// Says that it is not known whether the request was done.
    pub(crate) fn with_unknown_effects(mut self) -> Self {
        self.0.may_have_effects = true;
        self
    }

    /// The problem with a field of its own.
    pub(crate) fn field(mut self, name: &'static str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.0.fields.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    pub(crate) const fn code(&self) -> &'static str {
        self.0.code
    }

    pub(crate) const fn status_code(&self) -> StatusCode {
        self.0.status
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The problem as JSON, on one line.
    pub(crate) fn to_json(&self) -> String {
        Value::Object(self.printed()).to_string()
    }

    /// The same, of the request with an id.
    pub(crate) fn to_json_with(&self, request_id: &str) -> String {
        let mut printed = self.printed();
        printed.insert("request_id".to_owned(), request_id.into());
        Value::Object(printed).to_string()
    }

    fn printed(&self) -> Map<String, Value> {
        let parts = &*self.0;
        let mut printed = Map::new();
        let mut say = |key: &str, value: Value| drop(printed.insert(key.to_owned(), value));
        say("title", parts.status.canonical_reason().unwrap_or("Problem").into());
        say("status", parts.status.as_u16().into());
        say("code", parts.code.into());
        say("detail", parts.detail.as_str().into());
        say("retryable", parts.is_retryable.into());
        say("effects", if parts.may_have_effects { "unknown" } else { "none" }.into());
        printed.extend(parts.fields.iter().map(|(key, value)| (key.clone(), value.clone())));
        printed
    }
}

/// A problem whose body is still to be written, when it is known of which request it is.
#[derive(Clone, Debug)]
pub(crate) struct UnsentProblem(pub(crate) Arc<HttpProblem>);

impl fmt::Display for HttpProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl Error for HttpProblem {}

impl IntoResponse for HttpProblem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.0.headers.iter().cloned());
        response.extensions_mut().insert(UnsentProblem(Arc::new(self)));
        response
    }
}
