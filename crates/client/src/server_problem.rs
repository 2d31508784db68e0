//! What a server says of a request that it did not do, and which error of the library that was.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};
use spacefold::{
    Position, SnapshotError,
    content::{ContentError, ContentHash},
};

use crate::request_effects::RequestEffects;

/// A problem as a server of spacefold answers it (`application/problem+json`).
#[derive(Clone, Debug, PartialEq)]
pub struct ServerProblem {
    status: u16,
    code: String,
    detail: String,
    is_retryable: bool,
    effects: RequestEffects,
    fields: Map<String, Value>,
}

impl std::error::Error for ServerProblem {}

impl fmt::Display for ServerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

#[derive(Deserialize)]
struct WrittenProblem {
    code: String,
    detail: String,
    retryable: bool,
    effects: WrittenEffects,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenEffects {
    None,
    Unknown,
}

impl ServerProblem {
    /// The problem that is the body of an answer; none where it is not one.
    pub(crate) fn read(status: u16, body: &[u8]) -> Option<Self> {
        let written: WrittenProblem = serde_json::from_slice(body).ok()?;
        let effects = match written.effects {
            WrittenEffects::None => RequestEffects::None,
            WrittenEffects::Unknown => RequestEffects::Unknown,
        };
        let WrittenProblem { code, detail, retryable, fields, .. } = written;
        Some(Self { status, code, detail, is_retryable: retryable, effects, fields })
    }

    /// The status of the answer, such as 404.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Its name for programs, such as `unknown_space`: `docs/http.md` lists them.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What people are told.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.is_retryable
    }

    /// Whether the request may have been done.
    #[must_use]
    pub const fn effects(&self) -> RequestEffects {
        self.effects
    }

    /// What the problem says beside that, such as `rule` and `found` of a command that was refused.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// A field that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.field(name)?.as_str()
    }

    fn position(&self, name: &str) -> Option<Position> {
        self.field(name)?.as_u64().map(Position::new)
    }

    /// The error of the library that it stands for, where it is about a state: an unknown space, or a
    /// position beyond the head.
    ///
    /// # Examples
    /// ```no_run
    /// use spacefold::SnapshotError;
    /// # fn asked(error: &spacefold_client::ClientError) {
    /// let error = error.problem().and_then(|problem| problem.snapshot_error());
    /// assert!(matches!(error, Some(SnapshotError::UnknownSpace { .. })));
    /// # }
    /// ```
    #[must_use]
    pub fn snapshot_error(&self) -> Option<SnapshotError> {
        match self.code.as_str() {
            "unknown_space" => {
                let space_id = self.text("space_id")?.to_owned();
                Some(SnapshotError::UnknownSpace { space_id })
            }
            "beyond_head" => {
                let (asked, head) = (self.position("asked")?, self.position("head")?);
                Some(SnapshotError::BeyondHead { asked, head })
            }
            _ => None,
        }
    }

    /// The error of the library that it stands for, where content is not there or damaged.
    #[must_use]
    pub fn content_error(&self) -> Option<ContentError> {
        let hash: ContentHash = self.text("hash")?.parse().ok()?;
        match self.code.as_str() {
            "content_missing" => Some(ContentError::Missing { hash }),
            _ => None,
        }
    }
}
