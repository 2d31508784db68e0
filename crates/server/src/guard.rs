//! What a request has to be before anything is asked of it: for this server by name, not from a page of
//! another site, and from somebody who may.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    access::CallerAccess,
    app::App,
    console, entity_tag,
    problem::{HttpProblem, UnsentProblem},
    tokens::TokenGrant,
    visitor::Visitor,
};

/// Answers what is not meant for this server, and hands on the rest.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let is_console = app.settings().console && console::has_path(request.uri().path());
    let caller = match check(&app, request.uri(), request.headers()) {
        Ok(()) if is_console => visitor(&app, request.uri().path(), request.headers()).await,
        Ok(()) => caller(&app, request.uri().path(), request.headers())
            .await
            .map(|access| (access, app.sessions().visitor())),
        Err(problem) => Err(problem),
    };
    let asked = is_console
        .then(|| (request.method().clone(), request.uri().clone(), request.headers().clone()));
    let answered = match caller {
        Ok((access, visitor)) => {
            request.extensions_mut().insert(access);
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let Some((method, uri, headers)) = asked else { return answered };
    match answered.extensions().get::<UnsentProblem>() {
        Some(UnsentProblem(problem)) => console::refused(&app, &method, &uri, &headers, problem),
        None => answered,
    }
}

/// What anybody may ask: it says nothing of what is stored.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// What who asks may do.
async fn caller(app: &App, path: &str, headers: &HeaderMap) -> Result<CallerAccess, HttpProblem> {
    if app.settings().tokens.is_none() {
        return Ok(CallerAccess::Everything);
    }
    if OPEN_PATHS.contains(&path) {
        return Ok(CallerAccess::Granted(Arc::new(TokenGrant::new([], []))));
    }
    let said = entity_tag::text(headers, header::AUTHORIZATION)?;
    let bearer = said.and_then(|said| said.split_once(' '));
    let token = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = token else { return Err(unauthorized()) };
    granted(app, token.trim().to_owned()).await
}

/// What who looks at the console may do: what the token of the session grants now.
async fn visitor(
    app: &App,
    path: &str,
    headers: &HeaderMap,
) -> Result<(CallerAccess, Visitor), HttpProblem> {
    let nobody = app.sessions().visitor();
    if app.settings().tokens.is_none() {
        return Ok((CallerAccess::Everything, nobody));
    }
    if path.starts_with("/assets/") || console::OPEN_PATHS.contains(&path) {
        return Ok((CallerAccess::Granted(Arc::new(TokenGrant::new([], []))), nobody));
    }
    let Some((token, visitor)) = console::session_of(app, headers) else {
        return Err(unauthorized());
    };
    Ok((granted(app, token).await?, visitor))
}

/// What a token grants, where there are tokens.
async fn granted(app: &App, token: String) -> Result<CallerAccess, HttpProblem> {
    let Some(tokens) = app.settings().tokens.clone() else { return Ok(CallerAccess::Everything) };
    let grant = app.pool().run(move || tokens.grant(&token)).await?;
    let grant = grant.map_err(|error| {
        tracing::error!(%error, "nobody is let in");
        HttpProblem::internal("tokens_unusable", "the tokens of the server cannot be used")
    })?;
    grant.map(CallerAccess::Granted).ok_or_else(unauthorized)
}

/// Of a token that is wrong, expired or revoked nobody is told which.
fn unauthorized() -> HttpProblem {
    let detail = "a token is needed that is good: Authorization: Bearer sfk1_…";
    HttpProblem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"spacefold\""))
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
