//! Who has come how far.

use maud::{Markup, html};
use spacefold::subscribe::{DurableSubscription, SubscriberInfo};

use crate::{
    frame::PageFrame,
    text::{counted, grouped},
};

/// The subscriptions of a store.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionsPage {
    /// Those whose place is kept.
    pub durable: Vec<DurableSubscription>,
    /// Those that are open in the process that serves.
    pub open: Vec<SubscriberInfo>,
}

impl SubscriptionsPage {
    /// The page, whole.
    #[must_use]
    pub fn render(&self, frame: &PageFrame) -> String {
        let parked: usize = self.durable.iter().map(|it| it.parked).sum();
        let body = html! {
            div.heading { h1 { "Subscriptions" } }
            @if parked > 0 {
                p.warning { (counted(u64::try_from(parked).unwrap_or(u64::MAX), "event is", "events are")) " parked." }
            }
            section.card aria-labelledby="durable-title" {
                h2 #durable-title { "Durable " span.quiet { "their place is kept" } }
                @if self.durable.is_empty() {
                    p.quiet { "There are none. A durable subscription goes on where it was, whatever happens to its process." }
                } @else {
                    div.scroll tabindex="0" role="region" aria-label="Durable subscriptions" {
                        table {
                            thead { tr {
                                th scope="col" { "name" } th.figure scope="col" { "position" } th.figure scope="col" { "lag" }
                                th.figure scope="col" { "parked" } th scope="col" { "received by" } th scope="col" { "filter" }
                                @if !frame.is_read_only { th scope="col" { "change" } }
                            } }
                            tbody { @for it in &self.durable { (self.row(frame, it)) } }
                        }
                    }
                }
            }
            section.card aria-labelledby="open-title" {
                h2 #open-title { "Open here " span.quiet { "for as long as they are read" } }
                @if self.open.is_empty() {
                    p.quiet { "Nobody listens in this process." }
                } @else {
                    div.scroll tabindex="0" role="region" aria-label="Open subscriptions" {
                        table {
                            thead { tr { th scope="col" { "name" } th.figure scope="col" { "position" } th.figure scope="col" { "lag" } } }
                            tbody {
                                @for it in &self.open {
                                    tr {
                                        th scope="row" { @if it.name.is_empty() { span.quiet { "without a name" } } @else { (it.name) } }
                                        td.figure { (grouped(it.position.get())) }
                                        td.figure { (lag(it.lag)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        };
        frame.page("Subscriptions", &body)
    }

    fn row(&self, frame: &PageFrame, it: &DurableSubscription) -> Markup {
        let fields = |what: &str, button: &str| {
            html! {
                input type="hidden" name="name" value=(it.name);
                @if what == "reset" {
                    label.sr for=(format!("after-{}", it.name)) { "Position for " (it.name) }
                    input.short #{ "after-" (it.name) } name="after" inputmode="numeric" pattern="[0-9]+" required placeholder="position" autocomplete="off";
                }
                button { (button) }
            }
        };
        html! {
            tr {
                th scope="row" { (it.name) }
                td.figure { @match it.position { Some(position) => (grouped(position.get())), None => span.bad { "damaged" } } }
                td.figure { (lag(it.lag)) }
                td.figure { @if it.parked > 0 { span.bad { (it.parked) } } @else { "0" } }
                td { @if it.is_owned { "somebody" } @else { span.quiet { "nobody" } } }
                td.mono { @if let Some(filter) = &it.filter { (filter) } }
                @if !frame.is_read_only {
                    td.actions {
                        @if it.is_owned {
                            span.quiet { "while nobody receives" }
                        } @else {
                            (frame.form("console/subscriptions/reset", &fields("reset", "Go on after")))
                            (frame.form("console/subscriptions/remove", &fields("remove", "Remove")))
                        }
                    }
                }
            }
        }
    }
}

fn lag(events: u64) -> Markup {
    html! { @if events == 0 { span.good { "none" } } @else { (grouped(events)) } }
}
