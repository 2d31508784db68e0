//! What a client takes: `Accept`, as the list that it is.

use axum::http::{HeaderMap, StatusCode, header};

use crate::problem::HttpProblem;

/// A form that an answer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    Json,
    NdJson,
    EventStream,
    /// A state in the encoding that it is stored in.
    State,
}

impl MediaType {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::NdJson => "application/x-ndjson",
            Self::EventStream => "text/event-stream",
            Self::State => "application/vnd.spacefold.state",
        }
    }
}

/// The form among `offered` that the client likes best; the first of those that it likes as well as
/// each other, and the first of all where it does not say.
pub(crate) fn negotiated(
    headers: &HeaderMap,
    offered: &[MediaType],
) -> Result<MediaType, HttpProblem> {
    let said: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok()).collect();
    let ranges: Vec<AcceptedRange> =
        said.iter().flat_map(|list| list.split(',')).filter_map(AcceptedRange::of).collect();
    let likes = |offer: &MediaType| {
        let matching = ranges.iter().filter(|range| range.specificity(*offer) > 0);
        matching.max_by_key(|range| range.specificity(*offer)).map_or(0, |range| range.thousandths)
    };
    let first = offered.first().copied();
    let best = if ranges.is_empty() {
        first
    } else {
        // The last of the greatest is taken: from behind, the first that is offered.
        offered.iter().rev().copied().filter(|it| likes(it) > 0).max_by_key(likes)
    };
    best.ok_or_else(|| {
        let names: Vec<&str> = offered.iter().map(|it| it.name()).collect();
        let detail = format!("the answer is one of {}, and none is accepted", names.join(", "));
        HttpProblem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail)
            .field("offered", names)
    })
}

/// A media range, and how much it is liked.
struct AcceptedRange<'a> {
    name: &'a str,
    thousandths: u32,
}

impl<'a> AcceptedRange<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let quality = parts.find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case("q").then_some(value.trim())
        });
        let thousandths = quality.map_or(Some(1_000), thousandths)?;
        Some(Self { name, thousandths })
    }

    /// How closely it names a form; 0 where it does not.
    fn specificity(&self, offer: MediaType) -> u32 {
        let kind = offer.name().split('/').next().unwrap_or_default();
        let of_kind = self.name.strip_suffix("/*");
        match self.name {
            name if name.eq_ignore_ascii_case(offer.name()) => 3,
            "*/*" => 1,
            _ if of_kind.is_some_and(|it| it.eq_ignore_ascii_case(kind)) => 2,
            _ => 0,
        }
    }
}

/// A weight from 0 to 1, with up to three digits.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_weight = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u32 = if is_weight { format!("{part:0<3}").parse().ok()? } else { return None };
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_a_list_with_weights() {
        use MediaType::{EventStream, Json, NdJson};
        let offered = [Json, NdJson, EventStream];
        let cases = [
            ("", Some(Json)),
            ("*/*", Some(Json)),
            ("application/x-ndjson", Some(NdJson)),
            ("text/event-stream, application/json;q=0.5", Some(EventStream)),
            ("application/json;q=0.1, application/*;q=0.9", Some(NdJson)),
            ("text/*", Some(EventStream)),
            ("Text/Event-Stream ; Q=1.000", Some(EventStream)),
            ("application/json;q=0, */*", Some(NdJson)),
            ("text/html, */*;q=0.1", Some(Json)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("application/json;q=2", Some(Json)),
            (",,;", Some(Json)),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(negotiated(&headers, &offered).ok(), expected, "{accept:?}");
        }
    }
}
