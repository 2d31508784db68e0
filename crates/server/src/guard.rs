//! What a request has to be before anything is asked of it: for this server by name, and not from a
//! page of another site.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{app::App, problem::HttpProblem};

/// Answers what is not meant for this server, and hands on the rest.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    match check(&app, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(), HttpProblem> {
    let authority = authority(uri, headers)?;
    let name = authority.host();
    // Exact, without a port: a name that only begins alike is somebody else's.
    if !app.settings().hosts.iter().any(|host| host.eq_ignore_ascii_case(name)) {
        let name: String = name.chars().take(80).collect();
        let detail = format_args!("the server does not answer as {name:?}");
        let status = StatusCode::FORBIDDEN;
        return Err(HttpProblem::new(status, "host_not_allowed", detail).field("host", name));
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        let is_own = [b"same-origin".as_slice(), b"none"].contains(&site.as_bytes());
        if !is_own {
            return Err(cross_site());
        }
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let of = origin.to_str().ok().and_then(|it| it.split_once("://"));
        if !of.is_some_and(|(_, of)| of.eq_ignore_ascii_case(authority.as_str())) {
            return Err(cross_site());
        }
    }
    Ok(())
}

/// Which server a request is for.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, HttpProblem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let said = first.and_then(|host| host.to_str().ok());
    let parsed = said.filter(|_| second.is_none()).and_then(|host| host.parse::<Authority>().ok());
    let named = parsed.filter(|authority| !authority.as_str().contains('@'));
    let host = named.ok_or_else(|| {
        HttpProblem::bad_request("invalid_host", "a request has one Host, a name and maybe a port")
    })?;
    match uri.authority() {
        Some(absolute) if *absolute != host => {
            Err(HttpProblem::bad_request("invalid_host", "Host is another than that of the URL"))
        }
        _ => Ok(host),
    }
}

fn cross_site() -> HttpProblem {
    let detail = "requests from pages of other origins are not answered";
    HttpProblem::new(StatusCode::FORBIDDEN, "cross_site", detail)
}
