//! Ids in paths: as they are, escaped, or as `~` and base64url, since `.`, `..` and slashes do not
//! survive every client and proxy.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use spacefold::event::MAX_ID_BYTES;

use crate::problem::HttpProblem;

/// The parts of a path that its pattern names.
pub(crate) struct PathIds(RawPathParams);

impl<S: Send + Sync> FromRequestParts<S> for PathIds {
    type Rejection = HttpProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpProblem> {
        let found = RawPathParams::from_request_parts(parts, state).await;
        found.map(Self).map_err(|error| HttpProblem::bad_request("invalid_path", error))
    }
}

impl PathIds {
    /// The text of a part, as it is.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    /// The id that a part stands for.
    pub(crate) fn id(&self, name: &'static str) -> Result<String, HttpProblem> {
        let text = self.text(name);
        id_of_segment(text).map_err(|why| {
            let detail = format_args!("{name} in the path: {why}");
            HttpProblem::bad_request("invalid_path", detail).field("part", name)
        })
    }
}

fn id_of_segment(text: &str) -> Result<String, String> {
    let id = match text.strip_prefix('~') {
        None => text.to_owned(),
        Some(encoded) => {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded);
            let bytes = bytes.map_err(|error| format!("behind ~ is base64url: {error}"))?;
            String::from_utf8(bytes).map_err(|error| format!("what ~ stands for: {error}"))?
        }
    };
    match id.len() {
        1..=MAX_ID_BYTES => Ok(id),
        bytes => Err(format!("an id has 1 to {MAX_ID_BYTES} bytes, this one has {bytes}")),
    }
}

/// An id as a part of a path that every client and proxy leaves alone.
pub(crate) fn segment_of_id(id: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_dot_inside = |byte: u8| byte == b'.' && !id.starts_with('.');
    if !id.is_empty() && id.bytes().all(|byte| is_plain(byte) || is_dot_inside(byte)) {
        return id.to_owned();
    }
    format!("~{}", BASE64_URL_SAFE_NO_PAD.encode(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_comes_back_from_its_segment() {
        let every_char: Vec<String> =
            (0..=0x2ff).filter_map(char::from_u32).map(String::from).collect();
        let ids = ["handbook", "a.b", ".", "..", "~", "~YQ", "a/b", "%2f", "a b", "€", "\0", "?#"];
        for id in ids.into_iter().map(str::to_owned).chain(every_char) {
            let segment = segment_of_id(&id);
            assert!(segment.bytes().all(|byte| byte.is_ascii_graphic()), "{segment}");
            assert!(!segment.starts_with('.') && !segment.contains(['/', '%', '?', '#']));
            assert_eq!(id_of_segment(&segment).as_ref(), Ok(&id));
        }
        assert_eq!(segment_of_id("handbook"), "handbook");
        for refused in ["", "~", "~a", "~=", "~YQ==", "~_w", &"x".repeat(513)] {
            assert!(id_of_segment(refused).is_err(), "{refused}");
        }
    }
}
