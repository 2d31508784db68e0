//! All that belongs to a correlation id, over all spaces.

use maud::{Markup, html};
use spacefold::{Timestamp, event::RecordedEvent};

use crate::{
    frame::PageFrame,
    link::PageLink,
    space::about,
    text::{self, counted, position_in, space_link},
};

/// Lanes that are drawn.
const MAX_LANES: usize = 24;

/// The events of a correlation id.
#[derive(Clone, Debug, Default)]
pub struct TracePage {
    /// The correlation id, or an empty text.
    pub correlation_id: String,
    /// Its events, in order.
    pub events: Vec<RecordedEvent>,
    /// What the next page begins with, where there are more.
    pub next: Option<u64>,
}

impl TracePage {
    /// The page, whole.
    #[must_use]
    pub fn render(&self, frame: &PageFrame) -> String {
        let body = html! {
            div.heading { h1 { "Trace" } }
            section.card {
                form.filters method="get" action="trace" {
                    div.wide { label for="correlation" { "Correlation id" }
                        input #correlation name="correlation" value=(self.correlation_id) required maxlength="512" autocomplete="off" spellcheck="false"; }
                    button.primary { "Show" }
                }
                @if self.correlation_id.is_empty() {
                    p.quiet.empty { "What belongs together has the same correlation id: a request, a commit, a run. "
                        "Every event that has one leads here." }
                } @else if self.events.is_empty() {
                    p.quiet.empty { "No event that you may see has this correlation id." }
                } @else {
                    (self.lanes())
                    (self.table())
                }
            }
        };
        frame.page("Trace", &body)
    }

    /// A lane a space, a mark an event.
    fn lanes(&self) -> Markup {
        let mut spaces: Vec<&str> = Vec::new();
        for event in &self.events {
            if !spaces.contains(&event.event.space_id.as_str()) && spaces.len() < MAX_LANES {
                spaces.push(&event.event.space_id);
            }
        }
        let times = self.events.iter().map(|event| event.recorded_at);
        let (first, last) = (times.clone().min(), times.max());
        let is_one_moment = first == last;
        // Where everything happened at once, the order is what there is to show.
        let share = |index: usize, time: Timestamp| {
            let (Some(first), Some(last)) = (first, last) else { return 0 };
            let (since, span) = if is_one_moment {
                (
                    i64::try_from(index).unwrap_or(0),
                    i64::try_from(self.events.len()).unwrap_or(1) - 1,
                )
            } else {
                (time.as_micros() - first.as_micros(), last.as_micros() - first.as_micros())
            };
            i64::try_from(i128::from(since) * 980 / i128::from(span.max(1))).unwrap_or(0)
        };
        html! {
            p { (counted(u64::try_from(self.events.len()).unwrap_or(u64::MAX), "event", "events")) " in "
                (counted(u64::try_from(spaces.len()).unwrap_or(u64::MAX), "space", "spaces"))
                @if is_one_moment { span.quiet { ", at one moment: in their order" } } }
            table.lanes {
                caption.sr { "The events of each space, along time" }
                @for space_id in &spaces {
                    tr {
                        th scope="row" { (space_link(space_id)) }
                        td {
                            svg height="18" width="100%" role="img" aria-label=(format!("events in {space_id}")) {
                                rect.rail x="0" y="8" width="100%" height="2" {}
                                @for (index, event) in self.events.iter().enumerate().filter(|(_, event)| event.event.space_id == *space_id) {
                                    @let x = share(index, event.recorded_at) + 10;
                                    circle cx=(format!("{}.{}%", x / 10, x % 10)) cy="9" r="5" {
                                        title { (event.position) " " (event.event.type_name()) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        let next = self.next.map(|from| {
            PageLink::to("trace").with("correlation", &self.correlation_id).with("from", from)
        });
        html! {
            div.scroll tabindex="0" role="region" aria-label="Its events, in order" {
                table {
                    thead { tr {
                        th.figure scope="col" { "position" } th scope="col" { "recorded" } th scope="col" { "space" }
                        th scope="col" { "type" } th scope="col" { "what" } th scope="col" { "who" }
                    } }
                    tbody {
                        @for event in &self.events {
                            tr {
                                td.figure { (position_in(&event.event.space_id, event.position)) }
                                td { (text::time(event.recorded_at)) }
                                td { (space_link(&event.event.space_id)) }
                                td.type { (event.event.type_name()) }
                                td.about { (about(event)) }
                                td { (event.event.source.as_deref().unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
            @if let Some(next) = next { p.foot { a href=(next) { "The next ones" } } }
        }
    }
}
