//! The documents of a space, a page of them.

use maud::{Markup, html};
use spacefold::{Snapshot, state::Document};

use super::{SpacePage, count};
use crate::{link::PageLink, text::grouped};

/// Documents of a page.
const PAGE_DOCUMENTS: usize = 200;

/// Characters of a content hash that are shown.
const HASH_CHARS: usize = 8;

impl SpacePage {
    pub(super) fn documents(&self, state: &Snapshot) -> Markup {
        let after = self.documents_after.as_ref();
        let after = after.map(|(path, id)| (path.as_str(), id.as_str()));
        let wanted = |id: &str, document: &Document| {
            self.search.is_empty()
                || document.path().contains(&self.search)
                || id.contains(&self.search)
        };
        let mut rows = state.documents_after(after, PAGE_DOCUMENTS + 1, wanted);
        let is_more = rows.len() > PAGE_DOCUMENTS;
        rows.truncate(PAGE_DOCUMENTS);
        let next = rows.last().filter(|_| is_more).map(|(id, document)| {
            let link = self.link().with("at", self.at);
            link.with("after", document.path()).with("after_id", id)
        });
        let all = count(state.document_count());
        html! {
            section.card.documents aria-label="Documents" {
                form.search method="get" action="space" role="search" {
                    input type="hidden" name="id" value=(self.space_id);
                    input type="hidden" name="at" value=(self.at);
                    @for (name, pin) in [("a", self.pin_a), ("b", self.pin_b)] {
                        @if let Some(pin) = pin {
                            input type="hidden" name=(name) value=(pin);
                        }
                    }
                    label.sr for="q" { "Search the documents" }
                    input #q type="search" name="q" value=(self.search) placeholder="Search the documents"
                        maxlength="512" autocomplete="off" spellcheck="false";
                    button { "Search" }
                }
                @if rows.is_empty() {
                    p.quiet.empty {
                        @if self.search.is_empty() { "No documents yet." }
                        @else { "No document has " q { (self.search) } " in its path." }
                    }
                } @else {
                    ul.rows data-rows {
                        @for (id, document) in &rows {
                            (self.row(id, document, state.is_stale(id)))
                        }
                    }
                }
                p.foot.quiet {
                    (grouped(count(rows.len()))) " of " (grouped(all)) " shown"
                    @if after.is_some() {
                        " · " a href=(self.link().with("at", self.at)) { "from the first" }
                    }
                    @if let Some(next) = next {
                        " · " a href=(next) { "the next ones" }
                    }
                }
            }
        }
    }

    fn row(&self, id: &str, document: &Document, is_stale: bool) -> Markup {
        let link = PageLink::to("space").with("id", &self.space_id).with("at", self.at);
        let link = link.with_some("a", self.pin_a).with_some("b", self.pin_b).with("document", id);
        let link = link.with_some("q", (!self.search.is_empty()).then_some(&self.search));
        let (folder, name) = match document.path().rfind('/') {
            Some(at) => document.path().split_at(at + 1),
            None => ("", document.path()),
        };
        let hash = document.content_hash().map(|hash| hash.to_string());
        let hash: String = hash.unwrap_or_default().chars().take(HASH_CHARS).collect();
        let is_here = document.updated_position() == self.at;
        let is_chosen = self.document_id() == Some(id);
        html! {
            li class=(if is_here { "here" } else { "" }) data-id=(id) data-version=(document.updated_position()) data-path=(document.path()) {
                a href=(link) aria-current=[is_chosen.then_some("true")] {
                    span.path { span.folder { (folder) } span.name { (name) } }
                    @if is_stale { span.badge.warn { "stale" } }
                    @if is_here { span.badge { "just now" } }
                    span.hash { (hash) }
                }
            }
        }
    }
}
