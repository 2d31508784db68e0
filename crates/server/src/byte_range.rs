//! Which bytes of a content are asked for.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{entity_tag::EntityTag, problem::HttpProblem};

/// Bytes from the first to the one before the last, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl ByteRange {
    /// The one range that is asked for, of content with so many bytes. `None` where all of it is to be
    /// answered: no range is asked for, several are, it is malformed, or the client has other content.
    pub(crate) fn of(
        headers: &HeaderMap,
        bytes: u64,
        tag: &EntityTag,
    ) -> Result<Option<Self>, HttpProblem> {
        let is_same = |of: &HeaderValue| of.as_bytes() == tag.as_str().as_bytes();
        if headers.get(header::IF_RANGE).is_some_and(|of| !is_same(of)) {
            return Ok(None);
        }
        let mut values = headers.get_all(header::RANGE).iter();
        let said = values.next().and_then(|value| value.to_str().ok());
        let range = said.and_then(|said| said.trim().strip_prefix("bytes="));
        let ends =
            range.filter(|_| values.next().is_none()).and_then(|range| range.split_once('-'));
        let Some((first, last)) = ends.map(|(first, last)| (first.trim(), last.trim())) else {
            return Ok(None);
        };
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| is_number)
        };
        let (start, end) = match (first, last) {
            ("", last) => match number(last) {
                Some(count) => (bytes.saturating_sub(count), bytes),
                None => return Ok(None),
            },
            (first, "") => match number(first) {
                Some(first) => (first, bytes),
                None => return Ok(None),
            },
            (first, last) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => {
                    (first, last.saturating_add(1).min(bytes))
                }
                _ => return Ok(None),
            },
        };
        if start >= end {
            return Err(unsatisfiable(bytes));
        }
        Ok(Some(Self { start, end }))
    }

    pub(crate) const fn len(self) -> u64 {
        self.end - self.start
    }

    /// `Content-Range`, of content with so many bytes.
    pub(crate) fn header(self, bytes: u64) -> HeaderValue {
        let text = format!("bytes {}-{}/{bytes}", self.start, self.end - 1);
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("bytes */*"))
    }
}

fn unsatisfiable(bytes: u64) -> HttpProblem {
    let detail = format_args!("the content has {bytes} bytes, and none of these");
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    let problem = HttpProblem::new(status, "range_not_satisfiable", detail).field("bytes", bytes);
    match HeaderValue::from_str(&format!("bytes */{bytes}")) {
        Ok(range) => problem.header(header::CONTENT_RANGE, range),
        Err(_) => problem,
    }
}

#[cfg(test)]
mod tests {
    use spacefold::content::ContentHash;

    use super::*;

    #[test]
    fn one_range_is_answered_and_everything_else_whole() {
        let tag = EntityTag::of_content(ContentHash::of(b"a"));
        let of = |range: &str, bytes| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().unwrap());
            ByteRange::of(&headers, bytes, &tag).map(|it| it.map(|it| (it.start, it.end)))
        };
        let cases = [
            ("bytes=0-0", Some((0, 1))),
            ("bytes=2-", Some((2, 10))),
            ("bytes=-3", Some((7, 10))),
            ("bytes=-30", Some((0, 10))),
            ("bytes=5-99", Some((5, 10))),
            ("bytes=0-18446744073709551615", Some((0, 10))),
            ("bytes=1-2,4-5", None),
            ("bytes=5-2", None),
            ("bytes=+1-2", None),
            ("lines=1-2", None),
            ("bytes=x", None),
            ("bytes=-", None),
        ];
        for (range, expected) in cases {
            assert_eq!(of(range, 10).unwrap(), expected, "{range}");
        }
        for range in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(of(range, 10).unwrap_err().code(), "range_not_satisfiable", "{range}");
        }
        assert!(of("bytes=0-", 0).is_err());
        let mut other = HeaderMap::new();
        other.insert(header::RANGE, "bytes=0-0".parse().unwrap());
        other.insert(header::IF_RANGE, "\"other\"".parse().unwrap());
        assert_eq!(ByteRange::of(&other, 10, &tag).unwrap(), None);
    }
}
