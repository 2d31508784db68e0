//! A filter as it is written down: what is answered is what may be sent.

use serde::Serialize;
use spacefold::event::{EventFilter, EventTypes, id_text};

#[derive(Serialize)]
pub(crate) struct PrintedFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tag: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_from: Vec<String>,
}

impl From<&EventFilter> for PrintedFilter {
    fn from(filter: &EventFilter) -> Self {
        let patterns = filter.type_patterns();
        let is_every_type = filter.event_types() == EventTypes::ALL && patterns.len() == 1;
        Self {
            space: filter.space_ids().map(|ids| ids.iter().cloned().collect()),
            r#type: (!is_every_type).then(|| patterns.iter().map(ToString::to_string).collect()),
            tag: filter.wanted_tags().iter().cloned().collect(),
            document: filter.document_id().map(str::to_owned),
            source: filter.wanted_source().map(str::to_owned),
            correlation: filter.wanted_correlation_id().map(str::to_owned),
            not_from: filter.unwanted_stores().iter().copied().map(id_text).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::WrittenFilter;

    #[test]
    fn what_is_answered_may_be_sent() {
        let id = "\"00000000-0000-0000-0000-000000000007\"";
        let filters = [
            "{}".to_owned(),
            r#"{"space":["a","b"],"tag":["t"]}"#.to_owned(),
            r#"{"type":["document.*"],"document":"d","source":"s","correlation":"c"}"#.to_owned(),
            r#"{"type":["com.example.*","space.created"]}"#.to_owned(),
            format!(r#"{{"not_from":[{id}]}}"#),
        ];
        let parsed =
            |text: &str| serde_json::from_str::<WrittenFilter>(text).unwrap().filter().unwrap();
        for text in filters {
            let filter = parsed(&text);
            let printed = serde_json::to_string(&PrintedFilter::from(&filter)).unwrap();
            assert_eq!(parsed(&printed), filter, "{text} as {printed}");
        }
    }
}
