//! What an answer is known by, and for how long it holds.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use spacefold::{Position, Revision, content::ContentHash, log::TimelineId};

use crate::problem::HttpProblem;

/// A strong entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag(String);

impl EntityTag {
    /// Of the state of a space now, and what is to be named in `If-Match`.
    pub(crate) fn of_revision(revision: Revision) -> Self {
        Self(format!("\"{revision}\""))
    }

    /// Of a document as it is now.
    pub(crate) fn of_document(updated: Position) -> Self {
        Self(format!("\"d{updated}\""))
    }

    /// Of what a URL gives of a position: another one in each timeline.
    pub(crate) fn of_position(timeline: TimelineId, position: impl fmt::Display) -> Self {
        Self(format!("\"{timeline}.{position}\""))
    }

    pub(crate) fn of_content(hash: ContentHash) -> Self {
        Self(format!("\"{hash}\""))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("\"\""))
    }

    /// Whether a client has this already.
    pub(crate) fn is_known_to(&self, headers: &HeaderMap) -> bool {
        let lists = headers.get_all(header::IF_NONE_MATCH).iter();
        let mut tags = lists.filter_map(|it| it.to_str().ok()).flat_map(|list| list.split(','));
        tags.any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.0
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// How long an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheRule {
    /// For ever: it is of a position, and the URL names the timeline.
    Immutable,
    /// As long as the server says so when it is asked.
    Revalidate,
    /// It does not.
    NoStore,
}

impl CacheRule {
    pub(crate) const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Immutable => "max-age=31536000, immutable",
            Self::Revalidate => "no-cache",
            Self::NoStore => "no-store",
        })
    }
}

/// What the headers of a request that writes say of the revision of its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RevisionCondition {
    /// `If-Match: "<revision>"`.
    Exact(Revision),
    /// `If-Match: *`.
    Exists,
    /// `If-None-Match: *`.
    None,
}

impl RevisionCondition {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, HttpProblem> {
        let (matching, other) =
            (text(headers, header::IF_MATCH)?, text(headers, header::IF_NONE_MATCH)?);
        let invalid = |detail: &str| Err(HttpProblem::bad_request("invalid_condition", detail));
        match (matching, other) {
            (None, None) => Ok(None),
            (None, Some("*")) => Ok(Some(Self::None)),
            (None, Some(_)) => invalid("If-None-Match of what writes is *: there is no such space"),
            (Some("*"), None) => Ok(Some(Self::Exists)),
            (Some(tag), None) => {
                let digits = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                let digits = digits.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
                match digits.and_then(|digits| digits.parse().ok()) {
                    Some(revision) => Ok(Some(Self::Exact(Revision::new(revision)))),
                    None => invalid("If-Match is one revision in quotes, or *"),
                }
            }
            (Some(_), Some(_)) => invalid("If-Match and If-None-Match contradict each other"),
        }
    }
}

/// A header that is there once at the most.
pub(crate) fn text(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, HttpProblem> {
    let mut values = headers.get_all(&name).iter();
    let (first, second) = (values.next(), values.next());
    let invalid = |why: &str| {
        let detail = format_args!("header {name}: {why}");
        HttpProblem::bad_request("invalid_header", detail).field("header", name.as_str())
    };
    if second.is_some() {
        return Err(invalid("it is there several times"));
    }
    let text = first.map(|value| value.to_str().map(str::trim));
    text.transpose().map_err(|_| invalid("it is no visible ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_tag_is_found_in_a_list() {
        let tag = EntityTag::of_revision(Revision::new(7));
        for known in ["\"7\"", "W/\"7\"", "\"1\", \"7\"", "*"] {
            assert!(tag.is_known_to(&headers(header::IF_NONE_MATCH, known)), "{known}");
        }
        for other in ["7", "\"77\"", "\"\"", "w/\"7\""] {
            assert!(!tag.is_known_to(&headers(header::IF_NONE_MATCH, other)), "{other}");
        }
    }

    #[test]
    fn conditions_in_headers_are_one_revision() {
        let of = |name, value: &str| RevisionCondition::of(&headers(name, value));
        let exact = RevisionCondition::Exact(Revision::new(3));
        assert_eq!(of(header::IF_MATCH, "\"3\"").unwrap(), Some(exact));
        assert_eq!(of(header::IF_MATCH, "*").unwrap(), Some(RevisionCondition::Exists));
        assert_eq!(of(header::IF_NONE_MATCH, "*").unwrap(), Some(RevisionCondition::None));
        for wrong in ["3", "W/\"3\"", "\"3\", \"4\"", "\"d3\"", "\"\"", "\"+3\""] {
            assert!(of(header::IF_MATCH, wrong).is_err(), "{wrong}");
        }
        assert!(of(header::IF_NONE_MATCH, "\"3\"").is_err());
        assert_eq!(RevisionCondition::of(&HeaderMap::new()).unwrap(), None);
    }
}
