//! What is folded, and how far.

use maud::{Markup, html};
use spacefold::projection::ProjectionInfo;

use crate::{
    frame::PageFrame,
    text::{counted, grouped},
};

/// The projections of a store.
#[derive(Clone, Debug, Default)]
pub struct ProjectionsPage {
    /// Each of them.
    pub projections: Vec<ProjectionInfo>,
}

impl ProjectionsPage {
    /// The page, whole.
    #[must_use]
    pub fn render(&self, frame: &PageFrame) -> String {
        let body = html! {
            div.heading { h1 { "Projections" } }
            @for it in self.projections.iter().filter(|it| it.paused.is_some()) {
                (paused(frame, it))
            }
            section.card {
                div.scroll tabindex="0" role="region" aria-label="Projections" {
                    table {
                        thead { tr {
                            th scope="col" { "name" } th.figure scope="col" { "version" } th.figure scope="col" { "position" }
                            th.figure scope="col" { "lag" } th scope="col" { "state" } th.figure scope="col" { "skipped" }
                        } }
                        tbody {
                            @for it in &self.projections {
                                tr {
                                    th scope="row" { (it.name) }
                                    td.figure { (it.version) }
                                    td.figure { (grouped(it.position.get())) }
                                    td.figure { @if it.lag == 0 { span.good { "none" } } @else { (grouped(it.lag)) } }
                                    td { (state(frame, it)) }
                                    td.figure { (it.skipped.len()) }
                                }
                            }
                        }
                    }
                }
                p.quiet { "What is folded can be folded anew at any time: " code { "spacefold rebuild" } "." }
            }
        };
        frame.page("Projections", &body)
    }
}

fn state(frame: &PageFrame, it: &ProjectionInfo) -> Markup {
    html! {
        @if it.paused.is_some() {
            span.bad { "paused" }
        } @else if let Some(building) = it.building {
            label {
                "version " (building.version) " is built "
                progress max=(frame.durable_head) value=(building.position) {}
            }
        } @else if it.lag > 0 {
            span { "folds" }
        } @else {
            span.good { "up to date" }
        }
    }
}

fn paused(frame: &PageFrame, it: &ProjectionInfo) -> Markup {
    let Some(paused) = &it.paused else { return html! {} };
    let fields = |button: &str| {
        html! {
            input type="hidden" name="name" value=(it.name);
            button { (button) }
        }
    };
    html! {
        section.card.problem-card {
            h2 { (it.name) " is paused at position " (grouped(paused.position.get())) }
            p.mono { (paused.reason) }
            p.quiet { (counted(it.lag, "event waits", "events wait")) " behind it." }
            @if !frame.is_read_only {
                div.group {
                    (frame.form("console/projections/resume", &fields("Try again")))
                    (frame.form("console/projections/skip", &fields("Skip this event")))
                }
            }
        }
    }
}
