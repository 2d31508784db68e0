//! Which spaces a token is for.

use std::{fmt, str::FromStr};

use spacefold::event::MAX_ID_BYTES;

use super::token_error::TokenError;

/// Spaces by their ids: a text in which each `*` stands for any text, none too, whatever is in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpacePattern(String);

impl FromStr for SpacePattern {
    type Err = TokenError;

    /// Reads a pattern of 1 to [`MAX_ID_BYTES`] bytes.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        match text.len() {
            1..=MAX_ID_BYTES => Ok(Self(text.to_owned())),
            bytes => Err(TokenError::PatternLength { bytes }),
        }
    }
}

impl fmt::Display for SpacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SpacePattern {
    /// Whether it is of every space.
    #[must_use]
    pub fn is_every(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }

    /// Whether it is of a space with this id. Cost: the bytes of both, for each `*` at the most.
    #[must_use]
    pub fn matches(&self, space_id: &str) -> bool {
        let Some((begin, rest)) = self.0.split_once('*') else { return self.0 == space_id };
        let Some(mut left) = space_id.strip_prefix(begin) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return left.ends_with(part);
            }
            match left.find(part) {
                Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("*", "", true),
            ("*", "a", true),
            ("team/*", "team/a/b", true),
            ("team/*", "team/", true),
            ("team/*", "team", false),
            ("team/*", "my-team/a", false),
            ("*.md", "a.md", true),
            ("*.md", "a.md.x", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a**", "a", true),
            ("handbook", "handbook", true),
            ("handbook", "handbook2", false),
            ("Handbook", "handbook", false),
            ("é*", "éa", true),
        ];
        for (pattern, space_id, matches) in cases {
            let pattern: SpacePattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(space_id), matches, "{pattern} of {space_id}");
        }
        assert!("".parse::<SpacePattern>().is_err());
    }
}
