//! Paths and parameters of requests.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use spacefold::{
    Moment,
    event::{EventFilter, id_text},
};

/// What a parameter has as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// The path of a request and what is behind its question mark.
#[derive(Clone, Debug)]
pub(crate) struct RequestTarget {
    text: String,
    has_parameters: bool,
}

impl RequestTarget {
    /// A path that has no ids.
    pub(crate) fn path(path: &str) -> Self {
        Self { text: path.to_owned(), has_parameters: false }
    }

    /// One more part of the path: an id, whatever is in it.
    pub(crate) fn id(mut self, id: &str) -> Self {
        self.text.push('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !id.is_empty() && id.bytes().all(is_plain) {
            self.text.push_str(id);
        } else {
            // Dots and slashes do not survive every proxy.
            self.text.push('~');
            BASE64_URL_SAFE_NO_PAD.encode_string(id, &mut self.text);
        }
        self
    }

    /// One more part of the path, of letters, digits, `-` and `_`.
    pub(crate) fn part(mut self, part: impl fmt::Display) -> Self {
        self.text.push('/');
        self.text.extend(utf8_percent_encode(&part.to_string(), PLAIN));
        self
    }

    /// A parameter.
    pub(crate) fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.text.push(if self.has_parameters { '&' } else { '?' });
        self.has_parameters = true;
        self.text.push_str(name);
        self.text.push('=');
        self.text.extend(utf8_percent_encode(&value.to_string(), PLAIN));
        self
    }

    /// A parameter, where it has a value.
    pub(crate) fn with_some(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// As of when; now without it.
    pub(crate) fn at(self, moment: Option<Moment>) -> Self {
        match moment {
            Some(Moment::Position(position)) => self.with("at", position),
            Some(Moment::Time(time)) => self.with("as_of", time),
            _ => self,
        }
    }

    /// The parts of a filter.
    pub(crate) fn filter(mut self, filter: &EventFilter) -> Self {
        for space_id in filter.space_ids().into_iter().flatten() {
            self = self.with("space", space_id);
        }
        for pattern in patterns_of(filter) {
            self = self.with("type", pattern);
        }
        for tag in filter.wanted_tags() {
            self = self.with("tag", tag);
        }
        for store in filter.unwanted_stores() {
            self = self.with("not_from", id_text(*store));
        }
        self.with_some("document", filter.document_id())
            .with_some("source", filter.wanted_source())
            .with_some("correlation", filter.wanted_correlation_id())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// The types that a filter names; none where every type passes.
pub(crate) fn patterns_of(filter: &EventFilter) -> Vec<String> {
    let patterns: Vec<String> = filter.type_patterns().iter().map(ToString::to_string).collect();
    if patterns == ["*"] { Vec::new() } else { patterns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_every_byte_and_parameters_keep_what_they_say() {
        let target = RequestTarget::path("/v1/spaces").id("hand-book_1").part("diff");
        let target = target.with("from", 3).with("document", "a&b=c d/ü").at(None);
        assert_eq!(
            target.as_str(),
            "/v1/spaces/hand-book_1/diff?from=3&document=a%26b%3Dc%20d%2F%C3%BC"
        );
        for (id, segment) in [("..", "/~Li4"), ("a/b", "/~YS9i"), ("", "/~"), ("~", "/~fg")] {
            assert_eq!(RequestTarget::path("").id(id).as_str(), segment);
        }
    }
}
