//! Pages as answers: what is around them, and what they are where something is wrong.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use spacefold::event::id_text;
use spacefold_console::{PageFrame, RefusalPage, Section};

use crate::{
    access::CallerAccess, app::App, problem::HttpProblem, tokens::TokenRight, visitor::Visitor,
};

/// What a page may load: of this server alone.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'";

/// The frame of a page.
pub(super) fn frame(
    app: &App,
    access: &CallerAccess,
    visitor: &Visitor,
    section: Section,
) -> PageFrame {
    let store = app.store();
    let mut frame = PageFrame::new(id_text(store.store_id()), section);
    frame.durable_head = store.durable_head();
    frame.form_token.clone_from(&visitor.form_token);
    frame.is_logged_in = visitor.is_logged_in;
    frame.is_read_only =
        app.writable().is_err() || access.require_everywhere(TokenRight::Admin).is_err();
    frame
}

/// The frame of a page for somebody who is not known.
pub(super) fn closed_frame(app: &App) -> PageFrame {
    let mut frame = PageFrame::new("", Section::None);
    frame.form_token = app.sessions().visitor().form_token;
    frame
}

/// A page as an answer, which nobody keeps.
pub(super) fn html(status: StatusCode, page: String) -> Response {
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What leads to another page: relative to the one that was asked for.
pub(super) fn see_other(location: &str) -> Result<Response, HttpProblem> {
    let location = HeaderValue::from_str(location)
        .map_err(|error| HttpProblem::internal("internal", error))?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What is answered in the console where a request is refused: a page for people, a problem for scripts.
pub(crate) fn refused(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    problem: &HttpProblem,
) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if !accepts.is_some_and(|accept| accept.contains("text/html")) {
        return problem.clone().into_response();
    }
    // Forms are sent to addresses beneath that of their page.
    let root = "../".repeat(uri.path().matches('/').count().saturating_sub(1));
    if problem.code() == "unauthorized" && method == Method::GET {
        let whole = uri.path_and_query().map_or("/", |whole| whole.as_str());
        let next = utf8_percent_encode(whole.trim_start_matches('/'), NON_ALPHANUMERIC);
        if let Ok(response) = see_other(&format!("{root}login?next={next}")) {
            return response;
        }
    }
    let page = RefusalPage {
        status: problem.status_code().as_u16(),
        title: problem.status_code().canonical_reason().unwrap_or("Problem").to_owned(),
        detail: problem.detail().to_owned(),
    };
    let mut frame = closed_frame(app);
    frame.root = root;
    html(problem.status_code(), page.render(&frame))
}
