//! One document of a space: what it is, who made it so, what changed in it.

use maud::{Markup, html};
use spacefold::{
    Snapshot,
    state::{BlamedEvent, DocumentBlame},
};

use super::SpacePage;
use crate::{
    text::{self, grouped, trace_link},
    text_diff::text_diff,
};

/// Bytes of a text that are shown of a document.
pub const MAX_SHOWN_TEXT_BYTES: u64 = 256 << 10;

/// The text of a document at a position, or why it is not shown.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ShownText {
    /// The text.
    Text(String),
    /// Why there is none.
    None(String),
}

/// One document.
#[derive(Clone, Debug)]
pub struct DocumentView {
    /// Its id.
    pub document_id: String,
    /// Which events made it what it is at the position; `None` where that is not known.
    pub blame: Option<DocumentBlame>,
    /// Its text at the position.
    pub text: ShownText,
    /// Its text at pin A and at pin B, where A is pinned.
    pub pinned: Option<(ShownText, ShownText)>,
}

pub(super) fn document(page: &SpacePage, state: &Snapshot, view: &DocumentView) -> Markup {
    let found = state.document(&view.document_id);
    html! {
        h2.path { (found.map_or(view.document_id.as_str(), |document| document.path())) }
        @if let Some(document) = found {
            dl.fields {
                div { dt { "id" } dd.mono { (view.document_id) } }
                @if let Some(hash) = document.content_hash() {
                    div { dt { "content" } dd.mono { (hash.to_string()) } }
                }
                div { dt { "added" } dd { (step(page, document.added_position())) } }
                div { dt { "updated" } dd { (step(page, document.updated_position())) } }
                @for (key, value) in document.attributes().iter() {
                    div { dt { (key) } dd.mono { (text::cut(&value.to_string(), 400)) } }
                }
            }
        } @else {
            p { "There is no such document at this position." }
        }
        @if let Some(blame) = &view.blame {
            h2 { "Who made it so" }
            table.blame {
                thead { tr { th scope="col" { "part" } th scope="col" { "position" } th scope="col" { "when" } th scope="col" { "who" } th scope="col" { "trace" } } }
                tbody {
                    (blamed(page, "path", Some(&blame.path)))
                    (blamed(page, "content", blame.content.as_ref()))
                    (blamed(page, "attributes", blame.attributes.as_ref()))
                }
            }
        }
        @if let Some((before, after)) = &view.pinned {
            h2 { "Its text from A to B" }
            (difference(before, after))
        }
        @if found.is_some() {
            h2 { "Its text" }
            @match &view.text {
                ShownText::Text(shown) => pre.text tabindex="0" { (shown) },
                ShownText::None(why) => p.quiet { (why) },
            }
        }
    }
}

fn difference(before: &ShownText, after: &ShownText) -> Markup {
    match (before, after) {
        (ShownText::Text(before), ShownText::Text(after)) => text_diff(before, after),
        (ShownText::None(why), _) => html! { p.quiet { "At A: " (why) } },
        (_, ShownText::None(why)) => html! { p.quiet { "At B: " (why) } },
    }
}

fn step(page: &SpacePage, position: spacefold::Position) -> Markup {
    html! {
        "position " a href=(page.link().with("at", position)) { (grouped(position.get())) }
    }
}

fn blamed(page: &SpacePage, part: &str, event: Option<&BlamedEvent>) -> Markup {
    let Some(event) = event else { return html! {} };
    html! {
        tr {
            th scope="row" { (part) }
            td { a href=(page.link().with("at", event.position)) { (grouped(event.position.get())) } }
            td { (text::time(event.recorded_at)) }
            td { (event.source.as_deref().unwrap_or("–")) }
            td { @if let Some(correlation_id) = &event.correlation_id { (trace_link(correlation_id)) } }
        }
    }
}
