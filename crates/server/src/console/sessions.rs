//! Who looks at the console: a token is traded for a session, which only the server can tell from
//! others; its forms carry a token of their own.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use spacefold_console::LoginPage;

use super::{
    PAGES,
    forms::SentForm,
    page::{self, Visitor},
};
use crate::{app::App, parameters::Parameters, problem::HttpProblem};

/// What anybody may ask of the console.
pub(crate) const OPEN_PATHS: [&str; 2] = ["/login", "/console/login"];

const COOKIE: &str = "spacefold_session";

/// Sessions that are known at a time: a new one takes the place of the oldest.
const MAX_SESSIONS: usize = 1_024;

/// How long a session is good.
const SESSION_TIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Bytes that are guessed by nobody.
const SECRET_BYTES: usize = 32;

struct Session {
    token: String,
    form_token: String,
    began: Instant,
}

/// The sessions of a server. They end with it.
pub(crate) struct Sessions {
    /// By the hash of what their cookie has.
    known: Mutex<HashMap<[u8; 32], Session>>,
    /// What the forms carry of those who have none.
    form_token: String,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { known: Mutex::default(), form_token: secret().unwrap_or_default() }
    }

    /// Whoever has no session.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor { form_token: self.form_token.clone(), is_logged_in: false }
    }

    /// The token of a session, and who looks with it.
    fn find(&self, cookie: &str) -> Option<(String, Visitor)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, session| session.began.elapsed() < SESSION_TIME);
        let session = known.get(blake3::hash(cookie.as_bytes()).as_bytes())?;
        let visitor = Visitor { form_token: session.form_token.clone(), is_logged_in: true };
        Some((session.token.clone(), visitor))
    }

    /// Begins a session with a token that is good: what its cookie has.
    fn begin(&self, token: String) -> Result<String, HttpProblem> {
        let (cookie, form_token) = (secret()?, secret()?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_SESSIONS {
            let oldest = known.iter().min_by_key(|(_, session)| session.began);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                known.remove(&oldest);
            }
        }
        let session = Session { token, form_token, began: Instant::now() };
        known.insert(*blake3::hash(cookie.as_bytes()).as_bytes(), session);
        Ok(cookie)
    }

    fn end(&self, cookie: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(blake3::hash(cookie.as_bytes()).as_bytes());
    }
}

fn secret() -> Result<String, HttpProblem> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "there is no randomness");
        HttpProblem::internal("internal", "the server has no randomness")
    })?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

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
    given.finish()?;
    let login = LoginPage { next: page_named(&next).to_owned(), was_refused: false };
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
        let login = LoginPage { next: next.to_owned(), was_refused: true };
        return Ok(page::html(StatusCode::UNAUTHORIZED, login.render(&page::closed_frame(&app))));
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

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let sessions = Sessions::new();
        let cookie = sessions.begin("sfk1_x".to_owned()).unwrap();
        let (token, visitor) = sessions.find(&cookie).unwrap();
        assert_eq!(token, "sfk1_x");
        assert_ne!(visitor.form_token, sessions.visitor().form_token);
        assert!(sessions.find("other").is_none());
        sessions.end(&cookie);
        assert!(sessions.find(&cookie).is_none());
    }

    #[test]
    fn sessions_do_not_grow_without_end() {
        let sessions = Sessions::new();
        let first = sessions.begin("first".to_owned()).unwrap();
        for _ in 0..MAX_SESSIONS {
            sessions.begin("more".to_owned()).unwrap();
        }
        assert!(sessions.find(&first).is_none());
        assert_eq!(sessions.known.lock().unwrap().len(), MAX_SESSIONS);
    }
}
