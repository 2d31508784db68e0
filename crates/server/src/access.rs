//! Who a request comes from, as far as that counts: what it may do, and of which spaces.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use spacefold::event::EventFilter;

use crate::{
    problem::HttpProblem,
    tokens::{SpacePattern, TokenGrant, TokenRight},
};

/// What the caller of a request may do.
#[derive(Clone, Debug)]
pub(crate) enum CallerAccess {
    /// Everything: nobody is asked who they are.
    Everything,
    /// What a token grants.
    Granted(Arc<TokenGrant>),
}

impl<S: Send + Sync> FromRequestParts<S> for CallerAccess {
    type Rejection = HttpProblem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpProblem> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| HttpProblem::internal("internal", "nobody has looked who asks"))
    }
}

impl CallerAccess {
    /// Fails where the caller may not do this at all.
    pub(crate) fn require(&self, right: TokenRight) -> Result<(), HttpProblem> {
        match self {
            Self::Granted(grant) if !grant.rights.contains(&right) => {
                let detail = format_args!("the token does not grant {:?}", right.name());
                let problem = HttpProblem::new(StatusCode::FORBIDDEN, "right_missing", detail);
                Err(problem.field("right", right.name()))
            }
            _ => Ok(()),
        }
    }

    /// Fails where the caller may not do this with a space, whether that is there or not.
    pub(crate) fn require_of(&self, right: TokenRight, space_id: &str) -> Result<(), HttpProblem> {
        self.require(right)?;
        self.require_sight(space_id)
    }

    pub(crate) fn require_sight(&self, space_id: &str) -> Result<(), HttpProblem> {
        if self.sees(space_id) {
            return Ok(());
        }
        let detail = format_args!("the token is not for space {space_id:?}");
        let problem = HttpProblem::new(StatusCode::FORBIDDEN, "space_not_allowed", detail);
        Err(problem.field("space_id", space_id))
    }

    /// Fails where the caller may not do this, or not with every space.
    pub(crate) fn require_everywhere(&self, right: TokenRight) -> Result<(), HttpProblem> {
        self.require(right)?;
        if self.sees_everything() {
            return Ok(());
        }
        let detail = "this takes a token for all spaces";
        Err(HttpProblem::new(StatusCode::FORBIDDEN, "space_not_allowed", detail))
    }

    /// Fails for a filter that may pass events which the caller does not see.
    pub(crate) fn require_sight_of(&self, filter: &EventFilter) -> Result<(), HttpProblem> {
        if self.sees_everything() {
            return Ok(());
        }
        let Some(spaces) = filter.space_ids() else {
            let detail = "a filter of this token names its spaces";
            return Err(HttpProblem::new(StatusCode::FORBIDDEN, "space_not_allowed", detail));
        };
        spaces.iter().try_for_each(|space_id| self.require_sight(space_id))
    }

    /// Whether every space is seen.
    pub(crate) fn sees_everything(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Granted(grant) => grant.spaces.iter().any(SpacePattern::is_every),
        }
    }

    pub(crate) fn sees(&self, space_id: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Granted(grant) => grant.spaces.iter().any(|pattern| pattern.matches(space_id)),
        }
    }
}
