//! Logging in and out: a token is traded for a session, of which the browser has a cookie.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use spacefold_console::LoginPage;

use super::{PAGES, forms::SentForm, page};
use crate::{
    app::App, console_sessions::SESSION_TIME, parameters::Parameters, problem::HttpProblem,
    visitor::Visitor,
};

/// What anybody may ask of the console.
pub(crate) const OPEN_PATHS: [&str; 2] = ["/login", "/console/login"];

const COOKIE: &str = "spacefold_session";

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    let mut pairs =
        cookies.flat_map(|list| list.split(';')).filter_map(|it| it.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// The token of the session that a request is of, and who looks with it.
pub(crate) fn session_of(app: &App, headers: &HeaderMap) -> Option<(String, Visitor)> {
    app.sessions().find(cookie(headers)?)
}

/// `GET /login`
pub(super) async fn ask(State(app): State<App>, uri: Uri) -> Result<Response, HttpProblem> {
    let mut given = Parameters::of(&uri)?;
    let next = given.text("next")?.unwrap_or_default();
    let was_refused = given.flag("refused")?;
    given.finish()?;
    let login = LoginPage { next: page_named(&next).to_owned(), was_refused };
    Ok(page::html(StatusCode::OK, login.render(&page::closed_frame(&app))))
}

/// `POST /console/login`
pub(super) async fn log_in(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    let visitor = app.sessions().visitor();
    let mut form = SentForm::read(&app, &visitor, &headers, body).await?;
    let (token, next) = (form.text("token")?, form.text("next")?);
    form.finish()?;
    let Some(tokens) = app.settings().tokens.clone() else { return page::see_other("../") };
    let tried = token.trim().to_owned();
    let granted = app.pool().run(move || tokens.grant(&tried)).await?;
    let granted = granted.map_err(|error| {
        tracing::error!(%error, "nobody is let in");
        HttpProblem::internal("tokens_unusable", "the tokens of the server cannot be used")
    })?;
    let next = page_named(&next);
    if granted.is_none() {
        // Asked again where its relative links lead somewhere.
        let next = utf8_percent_encode(next, NON_ALPHANUMERIC);
        return page::see_other(&format!("../login?refused=1&next={next}"));
    }
    let cookie = app.sessions().begin(token.trim().to_owned())?;
    let mut response = page::see_other(&format!("../{next}"))?;
    set_cookie(&mut response, &cookie, SESSION_TIME)?;
    Ok(response)
}

/// `POST /console/logout`
pub(super) async fn log_out(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    SentForm::read(&app, &visitor, &headers, body).await?.finish()?;
    if let Some(cookie) = cookie(&headers) {
        app.sessions().end(cookie);
    }
    let mut response = page::see_other("../login")?;
    set_cookie(&mut response, "", Duration::ZERO)?;
    Ok(response)
}

fn set_cookie(response: &mut Response, value: &str, time: Duration) -> Result<(), HttpProblem> {
    let seconds = time.as_secs();
    let text = format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}");
    let text = HeaderValue::from_str(&text);
    let text = text.map_err(|error| HttpProblem::internal("internal", error))?;
    response.headers_mut().insert(header::SET_COOKIE, text);
    Ok(())
}

/// What leads on after the login: a page of the console, and nothing else.
fn page_named(next: &str) -> &str {
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let is_page = PAGES.iter().any(|page| page.trim_start_matches('/') == path);
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_page && is_plain && path != "login" { next } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_leads_to_pages_of_the_console_alone() {
        assert_eq!(page_named("space?id=a&at=3"), "space?id=a&at=3");
        for other in [
            "//evil.example",
            "https://evil.example/",
            "../x",
            "space\\x",
            "login",
            "v1",
            "space\r\nx",
        ] {
            assert_eq!(page_named(other), "", "{other:?}");
        }
    }
}
