//! Events as they come.

use maud::{Markup, html};
use spacefold::{Position, event::RecordedEvent};

use crate::{
    frame::PageFrame,
    link::PageLink,
    space::about,
    text::{self, grouped, position_in, space_link, trace_link},
};

/// The newest events, and those that come.
#[derive(Clone, Debug, Default)]
pub struct LivePage {
    /// The space that they are of, or an empty text for all.
    pub space_id: String,
    /// The type that they are of, or an empty text for all.
    pub event_type: String,
    /// The newest ones, newest first.
    pub events: Vec<RecordedEvent>,
    /// How far they go: what comes, comes after it.
    pub through: Position,
}

impl LivePage {
    /// The page, whole.
    #[must_use]
    pub fn render(&self, frame: &PageFrame) -> String {
        let again = PageLink::to("live")
            .with_some("space", (!self.space_id.is_empty()).then_some(&self.space_id))
            .with_some("type", (!self.event_type.is_empty()).then_some(&self.event_type));
        let stream = PageLink::to("console/events")
            .with("after", self.through)
            .with_some("space", (!self.space_id.is_empty()).then_some(&self.space_id))
            .with_some("type", (!self.event_type.is_empty()).then_some(&self.event_type));
        let body = html! {
            div.heading { h1 { "Live" } }
            section.card data-live=(stream) {
                form.filters method="get" action="live" {
                    div { label for="live-space" { "Space" }
                        input #live-space name="space" value=(self.space_id) placeholder="all" maxlength="512" autocomplete="off" spellcheck="false"; }
                    div { label for="live-type" { "Type" }
                        input #live-type name="type" value=(self.event_type) placeholder="all, or document.*" maxlength="256" autocomplete="off" spellcheck="false"; }
                    button { "Show" }
                    button.primary type="button" data-pause hidden aria-pressed="false" { "Pause" }
                    p.live-state role="status" {
                        span data-state { "as of now; " a href=(again) { "again" } " for what came since" }
                        span.quiet { " at position " }
                        span.mono data-through { (grouped(self.through.get())) }
                    }
                }
                div.scroll tabindex="0" role="region" aria-label="Events, the newest first" {
                    table.tail {
                        thead { tr {
                            th.figure scope="col" { "position" } th scope="col" { "recorded" } th scope="col" { "space" }
                            th scope="col" { "type" } th scope="col" { "what" } th scope="col" { "who" } th scope="col" { "trace" }
                        } }
                        tbody data-tail {
                            @for event in &self.events { (row(event)) }
                        }
                    }
                }
                @if self.events.is_empty() {
                    p.quiet.empty { "Nothing of that kind yet." }
                }
            }
        };
        frame.page("Live", &body)
    }
}

fn row(recorded: &RecordedEvent) -> Markup {
    let event = &recorded.event;
    html! {
        tr {
            td.figure { (position_in(&event.space_id, recorded.position)) }
            td { (text::time(recorded.recorded_at)) }
            td { (space_link(&event.space_id)) }
            td.type { (event.type_name()) }
            td.about { (about(recorded)) }
            td { (event.source.as_deref().unwrap_or_default()) }
            td { @if let Some(id) = &event.correlation_id { (trace_link(id)) } }
        }
    }
}
