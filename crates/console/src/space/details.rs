//! Everything of a space but its documents.

use maud::{Markup, html};
use spacefold::Snapshot;

use super::{SpacePage, count};
use crate::text::{self, cut, grouped};

/// Entries of a list that are shown.
const SHOWN_ENTRIES: usize = 100;

/// Characters of a value that are shown.
const VALUE_CHARS: usize = 400;

pub(super) fn details(page: &SpacePage, state: &Snapshot) -> Markup {
    let variables = state.variables();
    let references = state.references();
    let conflicts = state.conflicts();
    let renders = state.renders();
    let stale = state.stale_documents();
    let dangling = state.dangling_references();
    let document = |id: &str| {
        let known = state.document(id).map_or(id, |document| document.path());
        let link = page.link_without_document().with("at", page.at).with("document", id);
        html! { a href=(link) title=(id) { (known) } }
    };
    html! {
        dl.fields {
            div { dt { "created" } dd { (text::maybe_time(state.created_at())) } }
            div { dt { "updated" } dd { (text::time(state.updated_at())) } }
            div { dt { "sync" } dd { (state.sync().status.name()) } }
            @if let Some((position, time)) = state.sync().last_completed {
                div { dt { "last synced" } dd { (text::time(time)) ", position " (grouped(position.get())) } }
            }
            div { dt { "state hash" } dd.mono { (cut(&state.state_hash().to_string(), 20)) } }
            @if state.anomalies().count() > 0 {
                div { dt { "ignored" } dd { (grouped(state.anomalies().count())) " events that did not fit its state" } }
            }
        }
        (list("Conflicts", conflicts.len(), &html! {
            @for (id, conflict) in conflicts.iter().take(SHOWN_ENTRIES) {
                li.bad { (document(id)) " since position " (conflict.position()) }
            }
        }))
        (list("Renders", renders.len(), &html! {
            @for (id, render) in renders.iter().take(SHOWN_ENTRIES) {
                li.bad[render.error().is_some()] {
                    @match id { Some(id) => (document(id)), None => "the space" }
                    " " (render.status().name())
                    @if let Some(error) = render.error() { ": " (cut(error, VALUE_CHARS)) }
                }
            }
        }))
        (list("Stale documents", stale.len(), &html! {
            @for id in stale.iter().take(SHOWN_ENTRIES) { li { (document(id)) } }
        }))
        (list("References that lead nowhere", dangling.len(), &html! {
            @for (id, reference) in dangling.iter().take(SHOWN_ENTRIES) {
                li.bad { (document(id)) " → " (reference.target) }
            }
        }))
        (list("Variables", variables.len(), &html! {
            @for (name, value) in variables.iter().take(SHOWN_ENTRIES) {
                li { span.mono { (name) } " = " span.mono.value { (cut(&value.to_string(), VALUE_CHARS)) } }
            }
        }))
        (list("References", references.len(), &html! {
            @for (id, reference) in references.iter().take(SHOWN_ENTRIES) {
                li { (document(id)) " → " (reference.target)
                    @if let Some(kind) = &reference.kind { span.quiet { " " (kind) } } }
            }
        }))
    }
}

fn list(title: &str, entries: usize, rows: &Markup) -> Markup {
    html! {
        @if entries > 0 {
            h2 { (title) " " span.quiet { (grouped(count(entries))) } }
            ul.plain { (rows) }
            @if entries > SHOWN_ENTRIES {
                p.quiet { "The first " (SHOWN_ENTRIES) "." }
            }
        }
    }
}
