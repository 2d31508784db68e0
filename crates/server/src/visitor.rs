//! Who looks at the console, as the guard has found out.

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::problem::HttpProblem;

/// Who looks.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// What the forms of the session carry.
    pub(crate) form_token: String,
    pub(crate) is_logged_in: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = HttpProblem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpProblem> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| HttpProblem::internal("internal", "nobody has looked who visits"))
    }
}
