//! What changed between two positions of a space.

use maud::{Markup, html};
use serde_json::Value;
use spacefold::Change;

use super::{SpacePage, count, event::shown};
use crate::text::{cut, grouped};

/// Changes that are shown.
const SHOWN_CHANGES: usize = 300;

/// Characters of a side that are shown.
const SIDE_CHARS: usize = 160;

pub(super) fn changes(page: &SpacePage, changes: &[Change]) -> Markup {
    let (Some(a), b) = (page.pin_a, page.pin_b.unwrap_or(page.at)) else {
        return html! {
            h2 { "What changed?" }
            p { "Go to a position and pin " b { "A" } " there, go to another and pin " b { "B" } ". "
                "Until there is a B, it is where you are." }
        };
    };
    html! {
        h2 { "From " span.pin-name.a { "A " (grouped(a.get())) } " to " span.pin-name.b { "B " (grouped(b.get())) } }
        @if changes.is_empty() {
            p.quiet { "Nothing changed between the two." }
        } @else {
            (summary(changes))
            ul.changes {
                @for change in changes.iter().take(SHOWN_CHANGES) {
                    (one(page, change))
                }
            }
            @if changes.len() > SHOWN_CHANGES {
                p.quiet { "The first " (SHOWN_CHANGES) " of " (grouped(count(changes.len()))) "; the command that has all of them is under Copy as." }
            }
        }
    }
}

/// How many of each kind.
fn summary(changes: &[Change]) -> Markup {
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    for change in changes {
        match kinds.iter_mut().find(|(kind, _)| *kind == change.kind()) {
            Some((_, number)) => *number += 1,
            None => kinds.push((change.kind(), 1)),
        }
    }
    html! {
        ul.facts {
            @for (kind, number) in kinds {
                li { strong { (grouped(number)) } " " (kind.replace('_', " ")) }
            }
        }
    }
}

fn one(page: &SpacePage, change: &Change) -> Markup {
    let json: Value = serde_json::from_str(&change.to_json()).unwrap_or_default();
    let side = |name: &str| json.get(name).filter(|side| !side.is_null()).map(side_text);
    let (before, after) = (side("before"), side("after"));
    let class = match (&before, &after) {
        (None, Some(_)) => "came",
        (Some(_), None) => "gone",
        _ => "changed",
    };
    html! {
        li class=(class) {
            span.kind { (change.kind().replace('_', " ")) }
            @if let Some(document_id) = change.document_id() {
                a.subject href=(page.link_without_document().with("at", page.pin_b.unwrap_or(page.at)).with("document", document_id)) {
                    (path_of(page, change, document_id))
                }
            } @else if let Some(name) = json.get("name").and_then(Value::as_str) {
                span.subject { (name) }
            }
            span.sides {
                @if let Some(before) = before { del { (before) } }
                @if let Some(after) = after { ins { (after) } }
            }
        }
    }
}

/// What a document is called: its path where it is known.
fn path_of(page: &SpacePage, change: &Change, document_id: &str) -> String {
    let known = match change {
        Change::DocumentAdded { after: document, .. }
        | Change::DocumentRemoved { before: document, .. } => Some(document.path.clone()),
        _ => None,
    };
    let now = page.state.as_ref().and_then(|state| state.document(document_id));
    known
        .or_else(|| now.map(|document| document.path().to_owned()))
        .unwrap_or_else(|| document_id.to_owned())
}

fn side_text(side: &Value) -> String {
    // Of an added document the path is its subject already.
    let text = match side.as_object() {
        Some(object) if object.contains_key("path") => {
            object.get("content_hash").map(shown).filter(|hash| hash != "null").unwrap_or_default()
        }
        _ => shown(side),
    };
    cut(&text, SIDE_CHARS)
}
