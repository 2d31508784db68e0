//! The sessions of the console: a token is traded for one, which only the server can tell from
//! others; its forms carry a token of their own.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{problem::HttpProblem, visitor::Visitor};

/// Sessions that are known at a time: a new one takes the place of the oldest.
const MAX_SESSIONS: usize = 1_024;

/// How long a session is good.
pub(crate) const SESSION_TIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Bytes that are guessed by nobody.
const SECRET_BYTES: usize = 32;

struct ConsoleSession {
    token: String,
    form_token: String,
    began: Instant,
}

/// The sessions of a server. They end with it.
pub(crate) struct ConsoleSessions {
    /// By the hash of what their cookie has.
    known: Mutex<HashMap<[u8; 32], ConsoleSession>>,
    /// What the forms carry of those who have none.
    form_token: String,
}

impl ConsoleSessions {
    pub(crate) fn new() -> Self {
        Self { known: Mutex::default(), form_token: secret().unwrap_or_default() }
    }

    /// Whoever has no session.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor { form_token: self.form_token.clone(), is_logged_in: false }
    }

    /// The token of a session, and who looks with it.
    pub(crate) fn find(&self, cookie: &str) -> Option<(String, Visitor)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, session| session.began.elapsed() < SESSION_TIME);
        let session = known.get(blake3::hash(cookie.as_bytes()).as_bytes())?;
        let visitor = Visitor { form_token: session.form_token.clone(), is_logged_in: true };
        Some((session.token.clone(), visitor))
    }

    /// Begins a session with a token that is good: what its cookie has.
    pub(crate) fn begin(&self, token: String) -> Result<String, HttpProblem> {
        let (cookie, form_token) = (secret()?, secret()?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_SESSIONS {
            let oldest = known.iter().min_by_key(|(_, session)| session.began);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                known.remove(&oldest);
            }
        }
        let session = ConsoleSession { token, form_token, began: Instant::now() };
        known.insert(*blake3::hash(cookie.as_bytes()).as_bytes(), session);
        Ok(cookie)
    }

    pub(crate) fn end(&self, cookie: &str) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let sessions = ConsoleSessions::new();
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
        let sessions = ConsoleSessions::new();
        let first = sessions.begin("first".to_owned()).unwrap();
        for _ in 0..MAX_SESSIONS {
            sessions.begin("more".to_owned()).unwrap();
        }
        assert!(sessions.find(&first).is_none());
        assert_eq!(sessions.known.lock().unwrap().len(), MAX_SESSIONS);
    }
}
