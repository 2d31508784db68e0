//! Tokens: who may do what, for whoever has one. Only a hash of each is kept.

mod pattern;
mod token_error;
mod token_file;

use std::{collections::BTreeSet, fmt, str::FromStr};

use spacefold::Timestamp;

pub use self::{
    pattern::SpacePattern,
    token_error::TokenError,
    token_file::{KeptToken, TokenFile},
};

/// What a token may grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenRight {
    /// To read states, events and content.
    Read,
    /// To append events.
    Append,
    /// To command spaces, and to put content.
    Command,
    /// To look at the store itself: `/v1/info`.
    Admin,
}

impl TokenRight {
    /// Every right.
    pub const ALL: [Self; 4] = [Self::Read, Self::Append, Self::Command, Self::Admin];

    /// Its name, as it is kept and said.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Append => "append",
            Self::Command => "command",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for TokenRight {
    type Err = String;

    /// Reads the name of a right.
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|right| right.name() == text);
        found
            .ok_or_else(|| format!("{text:?} is no right: expected read, append, command or admin"))
    }
}

impl fmt::Display for TokenRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a token is good for.
///
/// ```
/// use spacefold_server::{TokenGrant, TokenRight};
/// let grant = TokenGrant::new([TokenRight::Read], ["team/*".parse()?]);
/// assert!(grant.spaces[0].matches("team/handbook") && !grant.spaces[0].matches("teams"));
/// # Ok::<(), spacefold_server::TokenError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenGrant {
    /// What may be done.
    pub rights: BTreeSet<TokenRight>,
    /// With which spaces: those that any of these is of.
    pub spaces: Vec<SpacePattern>,
    /// From when on no longer; `None` for ever.
    pub expires_at: Option<Timestamp>,
    /// Whose it is, for people.
    pub label: String,
}

impl TokenGrant {
    /// These rights over these spaces, for ever.
    #[must_use]
    pub fn new(
        rights: impl IntoIterator<Item = TokenRight>,
        spaces: impl IntoIterator<Item = SpacePattern>,
    ) -> Self {
        Self {
            rights: rights.into_iter().collect(),
            spaces: spaces.into_iter().collect(),
            expires_at: None,
            label: String::new(),
        }
    }

    /// The grant up to a time.
    #[must_use]
    pub const fn until(mut self, time: Timestamp) -> Self {
        self.expires_at = Some(time);
        self
    }

    /// The grant, said whose it is.
    #[must_use]
    pub fn labelled(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }
}
