//! The condition of an append or a command, as it is written down.

use axum::http::HeaderMap;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Visitor},
};
use spacefold::{
    AppendCondition, Position, Revision,
    event::{EventQuery, MAX_QUERY_FILTERS},
    log::ExpectedRevision,
};

use crate::{
    access::CallerAccess,
    bounded::{Bounded, Entries, ObjectOf},
    entity_tag::RevisionCondition,
    problem::HttpProblem,
    selection::{WrittenFilter, WrittenQuery, query_of},
};

/// Spaces whose revision a condition names, and parts about events that it has.
const MAX_CONDITION_PARTS: usize = 4_096;

/// `{"expected": {SPACE: REVISION | "none" | "exists"}, "no_event_matching": [{"filter": …, "after": N}]}`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenCondition {
    expected: Entries<WrittenRevision, MAX_CONDITION_PARTS>,
    no_event_matching: Bounded<ObjectOf<WrittenNoEvent>, MAX_QUERY_FILTERS>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNoEvent {
    #[serde(default)]
    filter: Option<ObjectOf<WrittenFilter>>,
    /// Several, of which an event has to pass any.
    #[serde(default)]
    filters: Option<WrittenQuery>,
    #[serde(default)]
    after: u64,
}

struct WrittenRevision(ExpectedRevision);

impl<'de> Deserialize<'de> for WrittenRevision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RevisionText;
        impl Visitor<'_> for RevisionText {
            type Value = ExpectedRevision;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a revision, \"none\" or \"exists\"")
            }

            fn visit_u64<E>(self, revision: u64) -> Result<ExpectedRevision, E> {
                Ok(ExpectedRevision::Exact(Revision::new(revision)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ExpectedRevision, E> {
                match text {
                    "none" => Ok(ExpectedRevision::NoSpace),
                    "exists" => Ok(ExpectedRevision::Exists),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(RevisionText).map(Self).map_err(D::Error::custom)
    }
}

impl WrittenCondition {
    /// The condition: what does not hold is answered with what was found, so that it is about nothing
    /// but what the caller sees.
    pub(crate) fn condition(self, access: &CallerAccess) -> Result<AppendCondition, HttpProblem> {
        let mut condition = AppendCondition::none();
        for (space_id, WrittenRevision(expected)) in self.expected.0 {
            access.require_sight(&space_id)?;
            condition = condition.and_expected(space_id, expected);
        }
        if self.no_event_matching.0.len() > MAX_QUERY_FILTERS {
            let detail = format_args!("no_event_matching has at most {MAX_QUERY_FILTERS} parts");
            return Err(HttpProblem::bad_request("limit_exceeded", detail));
        }
        for ObjectOf(part) in self.no_event_matching.0 {
            let query: EventQuery = match (part.filter, part.filters) {
                (Some(ObjectOf(filter)), None) => filter.filter()?.into(),
                (None, Some(filters)) => query_of(filters)?,
                _ => {
                    let detail = "a part of no_event_matching has a filter, or filters";
                    return Err(HttpProblem::bad_request("invalid_body", detail));
                }
            };
            query.filters().iter().try_for_each(|filter| access.require_sight_of(filter))?;
            condition = condition.and_no_event_matching(query, Position::new(part.after));
        }
        Ok(condition)
    }
}

/// What the headers ask of the one space that a request is about.
pub(crate) fn of_headers(
    headers: &HeaderMap,
    space_id: impl FnOnce() -> Result<String, HttpProblem>,
) -> Result<AppendCondition, HttpProblem> {
    let Some(asked) = RevisionCondition::of(headers)? else { return Ok(AppendCondition::none()) };
    let expected = match asked {
        RevisionCondition::Exact(revision) => ExpectedRevision::Exact(revision),
        RevisionCondition::Exists => ExpectedRevision::Exists,
        RevisionCondition::None => ExpectedRevision::NoSpace,
    };
    Ok(AppendCondition::none().and_expected(space_id()?, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_whole_or_refused() {
        let of = |json: &str| {
            let written: Result<WrittenCondition, _> = serde_json::from_str(json);
            let written = written.map_err(|error| error.to_string())?;
            written.condition(&CallerAccess::Everything).map_err(|it| it.to_string())
        };
        let json = r#"{
            "expected": {"a": 3, "b": "none", "c": "exists"},
            "no_event_matching": [
                {"filter": {"tag": ["course:c1"], "type": "com.example.*"}, "after": 7},
                {"filters": [{"space": "a"}, {"source": "x"}]}
            ]
        }"#;
        use spacefold::event::{EventFilter, TypePattern};
        let tagged = EventFilter::all().tags(["course:c1"]);
        let tagged = tagged.types(["com.example.*".parse::<TypePattern>().unwrap()]);
        let any = [EventFilter::all().spaces(["a"]), EventFilter::all().source("x")];
        let expected = AppendCondition::exact("a", Revision::new(3))
            .and_expected("b", ExpectedRevision::NoSpace)
            .and_expected("c", ExpectedRevision::Exists)
            .and_no_event_matching(tagged, Position::new(7))
            .and_no_event_matching(EventQuery::any_of(any), Position::START);
        assert_eq!(of(json), Ok(expected));
        assert_eq!(of("{}"), Ok(AppendCondition::none()));
        for wrong in [
            r#"{"expected": {"a": -1}}"#,
            r#"{"expected": {"a": 1.0}}"#,
            r#"{"expected": {"a": "any"}}"#,
            r#"{"expect": {}}"#,
            r#"{"no_event_matching": [{}]}"#,
            r#"{"no_event_matching": [{"filter": {}, "filters": []}]}"#,
            r#"{"no_event_matching": [{"filter": {"types": "a.b"}}]}"#,
            r#"{"no_event_matching": [{"filter": {"type": "a"}}]}"#,
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
