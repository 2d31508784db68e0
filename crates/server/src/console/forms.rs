//! Forms that change something: of this site, by whoever has the page that they are on.

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use tokio::time::timeout;

use crate::{
    app::App,
    body::{next_bytes, too_large, too_slow},
    parameters::Parameters,
    problem::HttpProblem,
    visitor::Visitor,
};

/// Bytes of a form.
const MAX_FORM_BYTES: usize = 16 << 10;

/// The fields of a form that may be done.
pub(super) struct SentForm(Parameters);

impl SentForm {
    pub(super) async fn read(
        app: &App,
        visitor: &Visitor,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Self, HttpProblem> {
        // That it is this site's the guard has seen, where it is said: here it has to be.
        if !headers.contains_key(header::ORIGIN) {
            return Err(forged("a form says which site it is of: Origin"));
        }
        let said = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let is_form = said
            .is_some_and(|it| it.split(';').next() == Some("application/x-www-form-urlencoded"));
        if !is_form {
            let detail = "a form is application/x-www-form-urlencoded";
            return Err(HttpProblem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                detail,
            ));
        }
        let text =
            timeout(app.limits().body_timeout, collect(body)).await.map_err(|_| too_slow())??;
        let mut fields = Parameters::of_query(&text)?;
        let token = fields.text("form_token")?.unwrap_or_default();
        // Of hashes: how long it takes tells nothing.
        let is_known = !token.is_empty()
            && blake3::hash(token.as_bytes()) == blake3::hash(visitor.form_token.as_bytes());
        if !is_known {
            return Err(forged("the form is of another session: load its page again"));
        }
        Ok(Self(fields))
    }

    /// A field, which may be empty.
    pub(super) fn text(&mut self, name: &'static str) -> Result<String, HttpProblem> {
        Ok(self.0.text(name)?.unwrap_or_default())
    }

    pub(super) fn number(&mut self, name: &'static str) -> Result<Option<u64>, HttpProblem> {
        self.0.number(name)
    }

    pub(super) fn finish(self) -> Result<(), HttpProblem> {
        self.0.finish()
    }
}

fn forged(detail: &str) -> HttpProblem {
    HttpProblem::new(StatusCode::FORBIDDEN, "forged_form", detail)
}

async fn collect(mut body: Body) -> Result<String, HttpProblem> {
    let mut text = Vec::new();
    while let Some(bytes) = next_bytes(&mut body).await? {
        if text.len() + bytes.len() > MAX_FORM_BYTES {
            return Err(too_large(u64::try_from(MAX_FORM_BYTES).unwrap_or(u64::MAX)));
        }
        text.extend_from_slice(&bytes);
    }
    String::from_utf8(text).map_err(|error| HttpProblem::bad_request("invalid_form", error))
}
