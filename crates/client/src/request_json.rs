//! What requests say in their bodies.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use spacefold::{
    AppendCondition, SpaceEvent,
    event::{EventFilter, EventQuery, id_text},
    log::ExpectedRevision,
};

use crate::request_target::patterns_of;

/// A filter, as `docs/http.md` has it.
pub(crate) fn filter_json(filter: &EventFilter) -> Value {
    let mut said = Map::new();
    let mut say = |key: &str, value: Value| drop(said.insert(key.to_owned(), value));
    if let Some(space_ids) = filter.space_ids() {
        say("space", json!(space_ids));
    }
    let patterns = patterns_of(filter);
    if !patterns.is_empty() {
        say("type", json!(patterns));
    }
    if !filter.wanted_tags().is_empty() {
        say("tag", json!(filter.wanted_tags()));
    }
    let stores: Vec<String> = filter.unwanted_stores().iter().map(|id| id_text(*id)).collect();
    if !stores.is_empty() {
        say("not_from", json!(stores));
    }
    let texts = [
        ("document", filter.document_id()),
        ("source", filter.wanted_source()),
        ("correlation", filter.wanted_correlation_id()),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            say(key, text.into());
        }
    }
    Value::Object(said)
}

/// Whether no event passes a filter: such a one cannot be said.
pub(crate) fn selects_nothing(filter: &EventFilter) -> bool {
    let names_no_space = filter.space_ids().is_some_and(BTreeSet::is_empty);
    names_no_space || filter.type_patterns().is_empty()
}

/// The filters of a query that some event may pass; none where no event does.
pub(crate) fn filters_json(query: &EventQuery) -> Option<Value> {
    let filters = query.filters().iter().filter(|filter| !selects_nothing(filter));
    let filters: Vec<Value> = filters.map(filter_json).collect();
    (!filters.is_empty()).then(|| filters.into())
}

/// A condition: a space may be there several times, with what is expected of it each time.
pub(crate) fn condition_json(condition: &AppendCondition) -> String {
    let mut said = "{\"expected\":{".to_owned();
    let expected = condition.expected_revisions().iter();
    let expected = expected.filter_map(|(space_id, expected)| {
        let expected = match expected {
            ExpectedRevision::Any => return None,
            ExpectedRevision::NoSpace => json!("none"),
            ExpectedRevision::Exists => json!("exists"),
            ExpectedRevision::Exact(revision) => json!(revision),
        };
        Some(format!("{}:{expected}", json!(space_id)))
    });
    said.push_str(&expected.collect::<Vec<_>>().join(","));
    said.push_str("},\"no_event_matching\":");
    let unmatched = condition.unmatched_queries().filter_map(|(query, after)| {
        filters_json(query).map(|filters| json!({ "filters": filters, "after": after }))
    });
    said.push_str(&unmatched.collect::<Value>().to_string());
    said.push('}');
    said
}

/// The body of an append. The events are in the interchange form, digit by digit.
pub(crate) fn append_json(events: &[SpaceEvent], condition: &AppendCondition) -> String {
    let mut body = "{\"events\":[".to_owned();
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(&event.to_append_json());
    }
    body.push_str("],\"condition\":");
    body.push_str(&condition_json(condition));
    body.push('}');
    body
}

#[cfg(test)]
mod tests {
    use spacefold::{EventType, Position, Revision, event::TypePattern};

    use super::*;

    #[test]
    fn what_is_expected_of_a_space_twice_is_said_twice() {
        let condition = AppendCondition::exact("a", Revision::new(1))
            .and_expected("a", ExpectedRevision::Exact(Revision::new(2)))
            .and_expected("\"b", ExpectedRevision::NoSpace)
            .and_expected("c", ExpectedRevision::Any)
            .and_no_event_matching(EventFilter::all().tags(["t"]), Position::new(7))
            .and_no_event_matching(EventFilter::all().spaces([""; 0]), Position::new(8));
        assert_eq!(
            condition_json(&condition),
            r#"{"expected":{"a":1,"a":2,"\"b":"none"},"no_event_matching":[{"after":7,"filters":[{"tag":["t"]}]}]}"#
        );
    }

    #[test]
    fn filters_say_all_of_their_parts() {
        let begin: TypePattern = "com.example.*".parse().unwrap();
        let filter = EventFilter::all()
            .spaces(["a", "b"])
            .types([begin, EventType::SpaceDeleted.into()])
            .tags(["t"])
            .document("d")
            .source("s")
            .correlation_id("c")
            .not_from([1; 16]);
        assert_eq!(
            filter_json(&filter),
            json!({
                "space": ["a", "b"],
                "type": ["space.deleted", "com.example.*"],
                "tag": ["t"],
                "document": "d",
                "source": "s",
                "correlation": "c",
                "not_from": ["01010101-0101-0101-0101-010101010101"],
            })
        );
        assert_eq!(filter_json(&EventFilter::all()), json!({}));
        assert!(selects_nothing(&EventFilter::all().types([EventType::SpaceDeleted; 0])));
        assert!(!selects_nothing(&EventFilter::all()));
    }
}
