//! Why a server's answer is not there.

use std::{io, time::Duration};

use crate::{request_effects::RequestEffects, server_problem::ServerProblem};

/// Why a request was not answered as it was meant to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server refused it, and says why.
    #[error(transparent)]
    Problem(#[from] Box<ServerProblem>),
    /// No connection could be made: it was not done.
    #[error("{endpoint} cannot be reached: {source}")]
    Unreachable {
        /// Who was asked.
        endpoint: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server went silent.
    #[error("{endpoint} was silent for {limit:?}, {what}")]
    TimedOut {
        /// Who was asked.
        endpoint: String,
        /// In the midst of what.
        what: &'static str,
        /// The [time-out](crate::ClientOptions) that is over.
        limit: Duration,
        /// Whether it may have been done.
        effects: RequestEffects,
    },
    /// The connection ended before the answer did.
    #[error("the connection to {endpoint} ended before its answer: {source}")]
    Broken {
        /// Who was asked.
        endpoint: String,
        /// What was noticed.
        source: io::Error,
        /// Whether it may have been done.
        effects: RequestEffects,
    },
    /// What answers is no server of spacefold, or of another version: its answer is not what was asked for.
    #[error("{endpoint} answered what spacefold does not: {what}")]
    Unexpected {
        /// Who was asked.
        endpoint: String,
        /// What is wrong with it.
        what: String,
        /// Whether it may have been done.
        effects: RequestEffects,
    },
    /// The request cannot be said over HTTP, such as an idempotency key or a token with a line break in it. It
    /// was not sent.
    #[error("the request cannot be said over HTTP: {what}")]
    Unsayable {
        /// What is wrong with it.
        what: String,
    },
    /// What was to be sent could not be read. It was not done.
    #[error("what is to be sent cannot be read: {0}")]
    Source(#[source] io::Error),
}

impl ClientError {
    /// Whether the request may have been done.
    #[must_use]
    pub fn effects(&self) -> RequestEffects {
        match self {
            Self::Problem(problem) => problem.effects(),
            Self::Unreachable { .. } | Self::Unsayable { .. } | Self::Source(_) => {
                RequestEffects::None
            }
            Self::TimedOut { effects, .. }
            | Self::Broken { effects, .. }
            | Self::Unexpected { effects, .. } => *effects,
        }
    }

    /// What the server said, where it did.
    #[must_use]
    pub fn problem(&self) -> Option<&ServerProblem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the same request may well succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.is_retryable(),
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::TimedOut { .. }
            | Self::Unexpected { .. }
            | Self::Unsayable { .. }
            | Self::Source(_) => false,
        }
    }
}
